"""One lane: the oldest message, an attempt, then ack, wait or dead letter; then the next.

    oldest ─▶ too old? bury ─▶ attempt (`trying`) ─▶ what it came to (`deciding`)
      ▲                                                 │
      └──────── one message at a time ──────────────────┘

A message leaves only when its ack is committed, and only then the lane's next one is sent.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.deliver.compaction import newest
from agent.deliver.deciding import Deciding
from agent.deliver.expiry import timely
from agent.deliver.hand import Hand
from agent.deliver.house import House, Way
from agent.deliver.trying import Trying
from agent.deliver.waiting import StoppingError, Waiting
from agent.errors import AgentError, NotSignedIn
from agent.logs import get_log
from agent.message import Message, lane_number
from agent.pacing import backoff
from agent.spool import Pending

log = get_log("deliver")

WINDOW = 64
"""Messages that a lane holds in hand."""
WINDOW_BYTES = 8_000_000
LOOK_AHEAD = range(WINDOW // 2, WINDOW // 8, -1)
"""Messages left in hand when more are asked for: not the same for all lanes, which often go in step."""
SESSION_WAIT = 60.0
"""Seconds before a session that named no time is asked again; a change of it is noticed at once."""


class Lane:
    """Runs as one task, as long as there is something to send."""

    def __init__(self, job: str, number: int, house: House, *, gone: Callable[[Lane], None]) -> None:
        self.job = job
        self.number = number
        self.woken = True
        """Something may have been appended since the spool was last asked."""
        self.waiting = Waiting(job, number, house)
        self._window: list[Message] = []
        """What of the window has not left yet; the first one is being sent."""
        self._ahead: Pending[list[Message]] | None = None
        """What lies behind a window that was sent to its end."""
        self._look_ahead = LOOK_AHEAD[lane_number(number) % len(LOOK_AHEAD)]
        self._house = house
        self._gone = gone
        self._trying = Trying(job, number, house, self.waiting)
        self._deciding = Deciding(job, house, self.waiting)

    async def run(self) -> None:
        """Send until nothing is left. A bug stops neither the lane nor the daemon, and loses nothing."""
        try:
            while await self._guarded():
                pass
        except StoppingError:
            return

    async def _guarded(self) -> bool:
        kind = "error"
        try:
            return await self._send_window()
        except StoppingError:
            raise
        except AgentError as error:
            kind, reason = "spool", error.message
        except Exception as error:  # noqa: BLE001 - the boundary: the messages are in the spool, whatever it is
            reason = type(error).__name__
            log.bug("a lane met a bug and goes on", error, job=self.job, lane=lane_number(self.number))
        self._deciding.mishaps += 1
        await self.waiting.rest(kind, reason, backoff(self._deciding.mishaps, self._house.random))
        return True

    async def _send_window(self) -> bool:
        """Send what the spool gives now; False when it gave nothing and nothing was appended meanwhile."""
        window = await self._next_window()
        way = self._house.way_of(self.job)
        found = await timely(window, way, self._house, self.waiting)
        self._window = await newest(found, way, self._house, self.waiting)
        ahead: Pending[list[Message]] | None = None
        while self._window:
            message, *rest = self._window
            if ahead is None and len(window) == WINDOW and len(rest) <= self._look_ahead:
                # While the target is waited for; what is small enough to come in so many has room twice.
                ahead = self._oldest(after=window[-1].id)
            self._trying.following = rest[0] if rest else None
            await self._send(message)
            if self._window and self._window[0] is message:
                self._window = self._window[1:]
            self._deciding.mishaps = 0
            self.waiting.busy = False
            if self.waiting.stopping:
                raise StoppingError
        self._ahead = ahead  # only now: what is behind a window comes after all of it
        if not window and not self.woken:
            # In the same step as the look at `woken`: a wake that comes later makes a new lane.
            self._gone(self)
            return False
        return True

    async def _next_window(self) -> list[Message]:
        ahead, self._ahead = self._ahead, None
        self.waiting.look_again = False
        if ahead is not None and (window := await ahead):
            return window  # `woken` stays: the spool was asked a while ago
        self.woken = False
        return await self._oldest()

    def _oldest(self, after: int = 0) -> Pending[list[Message]]:
        spool = self._house.spool
        return spool.oldest(self.job, self.number, after=after, limit=WINDOW, max_bytes=WINDOW_BYTES)

    async def _send(self, message: Message) -> None:
        """Until the message is delivered or buried, in parts where it must be, however long that takes."""
        hand = Hand(message)
        self._deciding.begin()
        while True:
            self.waiting.changed.clear()
            way = self._house.way_of(self.job) or await self._way()
            failures = self._deciding.failures
            if way.delivery.expire is not None and not await timely(
                [hand.message], way, self._house, self.waiting, failures=failures
            ):
                return
            if self.waiting.look_again:
                self.waiting.look_again = False
                self._window = await newest(self._window, way, self._house, self.waiting, failures=failures)
                if not self._window or self._window[0] is not message:
                    return
            try:
                if message.form:
                    await self._deciding.fit(hand)
                if hand.progress is not None:
                    await hand.begin()
                tried = await self._trying.attempt(way, hand.part)
                if tried is not None and await self._deciding.decide(way, hand, tried):
                    await self.waiting.over()
                    return
            except NotSignedIn as error:
                seconds = SESSION_WAIT if error.retry_after is None else max(error.retry_after, 0.1)
                change = way.connection.session.changed()
                await self.waiting.rest("session", error.message, seconds, until=change)

    async def _way(self) -> Way:
        """As soon as there is one."""
        while True:
            self.waiting.changed.clear()
            way = self._house.way_of(self.job)
            if way is not None:
                return way
            held = self._house.held(self.job)
            if held is not None:
                left = None if held.until is None else max(held.until - self._house.clock.now(), 1.0)
                await self.waiting.rest("paused", held.said, left)
                continue
            await self.waiting.rest("no route", f"there is no job {self.job} to say where it goes", None)
