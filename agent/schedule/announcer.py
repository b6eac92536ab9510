"""How announcements leave the scheduler: in order, a slice at a time, delayed by jitter, remembered.

    run, skip → outbox → announce / skipped → what was last due, in the memory
                  ↑
    delayed (jitter) by moment

Ten thousand jobs that are due at midnight must not hold the event loop: the outbox is emptied in
slices of a few milliseconds. What was last due is written after it was announced, so that a crash in
between repeats an occurrence rather than losing it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count, islice
from typing import Protocol, TypeAlias

from agent.clock import Clock
from agent.errors import AgentError
from agent.logs import get_log

log = get_log("schedule")

Announce: TypeAlias = Callable[[str, float, str], None]
"""job, time (seconds since 1970), trigger."""
Skipped: TypeAlias = Callable[[str, float, str], None]
"""job, time (seconds since 1970), reason."""

# Seconds of the event loop in one go; it must never stall for more than 50 ms.
_SLICE = 0.01
# Written together: one transaction's worth, and no longer a hold on the loop than a slice.
_WRITTEN_TOGETHER = 200


class Memory(Protocol):
    """Where the last due times survive a restart; the spool is one."""

    def last_due(self, job: str, ident: str) -> Awaitable[float | None]:
        """The occurrence that was dealt with last; None when this schedule was never seen."""

    def set_last_due(self, job: str, ident: str, due: float) -> Awaitable[None]:
        """Remember it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """One thing to say. `reason` is empty when the occurrence runs."""

    job: str
    ident: str
    """Of the schedule; empty: not remembered (file events have no due time)."""
    due: float
    trigger: str
    reason: str = ""


class Announcer:
    """Says notices on the event loop. `alive` tells whether a job still has that schedule.

    Of a job that is `paused` nothing is said.
    """

    def __init__(  # noqa: PLR0917 - each is of another kind
        self,
        announce: Announce,
        skipped: Skipped,
        memory: Memory,
        clock: Clock,
        alive: Callable[[str, str], bool],
        paused: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._announce = announce
        self._skipped = skipped
        self._memory = memory
        self._clock = clock
        self._alive = alive
        self._paused = paused
        self._outbox: deque[Notice] = deque()
        self._draining = False
        self._delayed: list[tuple[float, int, Notice]] = []
        self._order = count()
        self._unwritten: dict[tuple[str, str], float] = {}
        self._written = asyncio.Event()
        self._failing = False

    def say(self, notice: Notice) -> None:
        """As soon as the loop is free, in order."""
        self._outbox.append(notice)
        if not self._draining:
            self._draining = True
            asyncio.get_running_loop().call_soon(self._drain)

    def say_later(self, notice: Notice, moment: float) -> None:
        """At `moment`, by `release`."""
        heapq.heappush(self._delayed, (moment, next(self._order), notice))

    def upcoming(self) -> float | None:
        """When the first delayed notice wants to be said."""
        return self._delayed[0][0] if self._delayed else None

    def release(self) -> None:
        """Say the delayed notices whose moment has come."""
        now = self._clock.now()
        while self._delayed and self._delayed[0][0] <= now:
            self.say(heapq.heappop(self._delayed)[2])

    def shift(self, seconds: float) -> None:
        """The wall clock was set: what is delayed waits as long as it would have."""
        self._delayed = [(moment + seconds, order, notice) for moment, order, notice in self._delayed]

    def remember(self, job: str, ident: str, due: float) -> None:
        """Write the last due time soon; several of one schedule become one write."""
        if ident:
            self._unwritten[job, ident] = due
            self._written.set()

    async def write(self) -> None:
        """The task that writes what is to be remembered, for ever."""
        while True:
            await self._written.wait()
            self._written.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write all that is to be remembered now."""
        while self._unwritten:
            keys = list(islice(self._unwritten, _WRITTEN_TOGETHER))
            part = [(key, self._unwritten.pop(key)) for key in keys]
            try:
                await asyncio.gather(*(self._memory.set_last_due(*key, due) for key, due in part))
            except AgentError as error:
                if not self._failing:
                    log.warning("cannot remember what was due", reason=error.message)
                self._failing = True
            else:
                self._failing = False

    def _drain(self) -> None:
        until = self._clock.monotonic() + _SLICE
        while self._outbox and self._clock.monotonic() < until:
            self._emit(self._outbox.popleft())
        if self._outbox:
            asyncio.get_running_loop().call_soon(self._drain)
        else:
            self._draining = False

    def _emit(self, notice: Notice) -> None:
        if not self._alive(notice.job, notice.ident) or self._paused(notice.job):
            return  # what fell into a pause is not remembered: it is found as missed when the job is resumed
        try:
            if notice.reason:
                self._skipped(notice.job, notice.due, notice.reason)
            else:
                self._announce(notice.job, notice.due, notice.trigger)
        except Exception as error:  # noqa: BLE001 - one job's fault must not silence the others
            log.bug("announcing failed", error, job=notice.job)
        self.remember(notice.job, notice.ident, notice.due)
