"""`delivery.latest_by`: what a newer message makes useless is not sent, nor tried again.

All of a lane's window that is superseded leaves at once, in one transaction, each with a trace (see
`agent.spool.supersede`). It is looked at when a window is taken, and before an attempt when something was
appended since.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.deliver.house import House, Way
from agent.deliver.waiting import Waiting
from agent.logs import get_log
from agent.message import Message

log = get_log("deliver")


async def newest(
    window: list[Message], way: Way | None, house: House, waiting: Waiting, *, failures: int = 0
) -> list[Message]:
    """Those that are still worth sending; the others have left when this returns.

    `failures` are those of this process that the first of them does not know of.
    """
    if way is None or way.delivery.latest_by is None:
        return window
    if all(message.subject is None for message in window):
        return window
    gone: set[int] = set()

    async def leave() -> None:
        gone.update(await house.spool.supersede(window, failures=failures))

    await waiting.store(leave, attempts=window[0].attempts + failures)
    if not gone:
        return window
    await waiting.over()
    _tell([message for message in window if message.id in gone])
    if any(message.file is not None for message in window if message.id in gone):
        house.settled()
    return [message for message in window if message.id not in gone]


def _tell(left: Sequence[Message]) -> None:
    first, last = left[0], left[-1]
    log.info("superseded", job=first.job, messages=len(left), first=first.origin, last=last.origin)
