"""What is too old to be sent becomes a dead letter instead; looked at before each attempt.

What is of no use any more holds up nothing: all of a lane's window that is too old leaves at once.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from agent.deliver.hand import Hand
from agent.deliver.house import House, Way
from agent.deliver.letters import letter_of, unsendable
from agent.deliver.waiting import Waiting
from agent.logs import get_log
from agent.message import EXPIRED, Answer, DeadLetter, Message

log = get_log("deliver")

_LONGEST = timedelta.max.total_seconds() - 1.0
"""Seconds: older than this is told as this old."""


async def timely(
    window: list[Message], way: Way | None, house: House, waiting: Waiting, *, failures: int = 0
) -> list[Message]:
    """Those that may still be sent; the others are dead letters when this returns.

    `failures` are those of this process that the messages do not know of.
    """
    if way is None or way.delivery.expire is None:
        return window
    now = house.clock.now()
    late = [message for message in window if is_late(message, way, now)]
    if not late:
        return window
    # Together, since each costs the disk a write that must be waited for.
    await asyncio.gather(*(_bury(message, way, house, waiting, now, failures) for message in late))
    await waiting.over()
    log.warning(EXPIRED, job=late[0].job, messages=len(late), first=late[0].origin, last=late[-1].origin)
    return [message for message in window if not is_late(message, way, now)]


async def _bury(  # noqa: PLR0917
    message: Message, way: Way, house: House, waiting: Waiting, now: float, failures: int
) -> None:
    left = await Hand(message).rest()
    letter = letter_of_late(left, way, at=now, attempts=message.attempts + failures)
    await waiting.store(lambda: house.spool.bury(message, letter), attempts=letter.attempts)
    if message.file is not None:
        house.settled()


def is_late(message: Message, way: Way, now: float) -> bool:
    """Whether it is of no use any more, by the job as it is written now."""
    expire = way.delivery.expire
    return expire is not None and now - _born(message) > expire.after.total_seconds()


def letter_of_late(message: Message, way: Way, *, at: float, attempts: int) -> DeadLetter:
    """Of a message that is not sent, or not again, since it is too old; with the reason in one line."""
    assert way.delivery.expire is not None
    what = "it was spooled at" if message.as_of is None else "its youngest record is of"
    age = timedelta(seconds=round(min(at - _born(message), _LONGEST)))
    said = f"too old: {what} {_told(_born(message))}, {age} ago (expire.after: {way.delivery.expire.after})"
    request = unsendable(message, method=way.route.target.method, url=way.route.url)
    answer = Answer(status=None, reason=said)
    letter = letter_of(message, request, answer, reason=EXPIRED, at=at, failures=0)
    return replace(letter, attempts=attempts)


def _born(message: Message) -> float:
    return message.spooled_at if message.as_of is None else message.as_of


def _told(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):  # a database knows years that Python does not
        return f"{seconds:.0f} seconds from 1970"
