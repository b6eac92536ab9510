"""How a lane waits: visibly, interruptibly, with one line in the log when it begins and one at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from agent.deliver.house import House
from agent.logs import get_log
from agent.message import lane_number
from agent.pacing import Block, backoff
from agent.spool import LaneWait

log = get_log("deliver")


class StoppingError(Exception):
    """The lane was asked to stop and has nothing in flight. Not an error of anybody."""


class Waiting:
    """The waits of one lane."""

    def __init__(self, job: str, lane: int, house: House) -> None:
        self._now: LaneWait | None = None
        self._gate: Callable[[], Block | None] | None = None
        self.changed = asyncio.Event()
        """The job's way is another one."""
        self.look_again = False
        """What is in hand may not be the newest any more: something was appended, or the way changed."""
        self.stopping = False
        self.busy = False
        """A request is in flight, or its outcome is not yet stored: not to be cancelled without need."""
        self._job = job
        self._lane = lane
        self._house = house
        self._kind = ""
        self._since = 0.0
        self._stored = ""
        """The kind of wait that the spool knows of."""
        self._row_may_stand = True  # also one that the last process left in the spool

    @property
    def now(self) -> LaneWait | None:
        """Why the lane waits; None: it sends, or waits for its turn."""
        if self._gate is None or (block := self._gate()) is None:
            return self._now
        return LaneWait(
            job=self._job,
            lane=self._lane,
            kind=block.kind,
            reason=block.reason,
            since=block.since,
            until=block.until,
            attempts=0,
        )

    async def stand(self, gate: Callable[[], Block | None]) -> None:
        """The lane stands at a gate, until `passed`; if that is shut, it is seen. Raises StoppingError."""
        self.busy = False
        if self.stopping:
            raise StoppingError
        self._gate = gate
        row = self.now
        if row is not None:
            self._row_may_stand = True
            self._house.news()
            if row.kind != self._stored:  # once for an absence, not for each probe of it
                await self._store_wait(row)

    def passed(self) -> None:
        """It stands there no more."""
        self._gate = None

    async def rest(
        self,
        kind: str,
        reason: str,
        seconds: float | None,
        *,
        attempts: int = 0,
        until: Coroutine[Any, Any, None] | None = None,
    ) -> None:
        """Wait for so long, for another way, or for `until`, whatever comes first. Raises StoppingError."""
        row = self._say(kind, reason, seconds, attempts)
        # It listens from now on: what changes while the wait is stored must not be missed.
        change = None if until is None else asyncio.ensure_future(until)
        try:
            await self._store_wait(row)
            self.busy = False
            if self.stopping:
                raise StoppingError
            waits: list[Awaitable[object]] = [self.changed.wait()]
            if change is not None:
                waits.append(change)
            if seconds is not None:
                waits.append(self._house.clock.sleep(seconds))
            await first_of(*waits)
        finally:
            if change is not None:
                change.cancel()
        self._now = None

    async def _store_wait(self, row: LaneWait) -> None:
        try:
            await self._house.spool.set_wait(row)
            self._stored = row.kind
        except Exception as error:  # noqa: BLE001 - only `status` without the daemon misses it
            log.debug("a wait is not stored", job=self._job, reason=str(error))

    async def store(self, work: Callable[[], Awaitable[None]], *, attempts: int) -> None:
        """Until it is stored: to send again instead would be a repeat that nobody needs."""
        failures = 0
        while True:
            try:
                await work()
                break
            except Exception as error:  # noqa: BLE001 - whatever the spool says, the outcome must not be lost
                failures += 1
                wait = backoff(failures, self._house.random)
                self._say("spool", f"the outcome cannot be stored yet: {error}", wait, attempts)
                await self._house.clock.sleep(wait)
        self._now = None

    async def over(self) -> None:
        """A message has left: whatever the lane waited for is over."""
        if not self._row_may_stand:
            return
        self._row_may_stand = False
        self._stored = ""
        if self._kind:
            seconds = round(self._house.clock.now() - self._since, 1)
            say = log.debug if self._kind == "paused" else log.info
            say("a lane goes on", job=self._job, lane=lane_number(self._lane), after_seconds=seconds)
            self._kind = ""
        try:
            await self._house.spool.clear_wait(self._job, self._lane)
        except Exception as error:  # noqa: BLE001 - the next message tries again
            self._row_may_stand = True
            log.debug("a wait is not cleared", job=self._job, reason=str(error))

    def _say(self, kind: str, reason: str, seconds: float | None, attempts: int) -> LaneWait:
        now = self._house.clock.now()
        if kind != self._kind:
            number = lane_number(self._lane)
            # Of a pause the log tells once, where a person began it; not again for each of 64 lanes.
            say = log.debug if kind == "paused" else log.warning
            say("a lane waits", job=self._job, lane=number, kind=kind, reason=reason)
            self._since = self._since if self._kind else now
            self._kind = kind
        self._row_may_stand = True
        self._now = LaneWait(
            job=self._job,
            lane=self._lane,
            kind=kind,
            reason=reason,
            since=self._since,
            until=None if seconds is None else now + seconds,
            attempts=attempts,
        )
        self._house.news()
        return self._now


async def first_of(*waits: Awaitable[object]) -> None:
    """Wait for the first one to end; the others are cancelled. What it raised is not looked at."""
    tasks = [asyncio.ensure_future(each) for each in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
