"""A clock that a test moves: it never waits in real time.

    clock = FakeClock()
    task = asyncio.create_task(something(clock))
    await clock.advance(30)      # everything that slept for 30 s or less has gone on

`FakeClock(auto=True)` moves by itself: a sleep costs nothing and the clock jumps to its end.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools

START = 1_800_000_000.0
"""2027-01-15T08:00:00Z."""

_TURNS = 20
"""Rounds of the event loop that woken tasks get before the clock moves on."""


class FakeClock:
    """Implements `agent.clock.Clock`."""

    def __init__(self, *, now: float = START, boottime: float = 1_000.0, auto: bool = False) -> None:
        self.wall = now
        self.boot = boottime
        self.mono = boottime
        self.auto = auto
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self.wall

    def boottime(self) -> float:
        return self.boot

    def monotonic(self) -> float:
        return self.mono

    async def sleep(self, seconds: float) -> None:
        if self.auto:
            self._move(max(seconds, 0.0))
            await asyncio.sleep(0)
            return
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.mono + seconds, next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Let time pass: whoever sleeps wakes at its own moment, in order."""
        end = self.mono + seconds
        await turns()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._move(max(due - self.mono, 0.0))
            if not future.done():
                future.set_result(None)
                await turns()
        self._move(end - self.mono)
        await turns()

    def tick(self, seconds: float) -> None:
        """Let time pass without waking anybody (also from code that is not a coroutine)."""
        self._move(seconds)

    def step_wall(self, seconds: float) -> None:
        """Somebody sets the wall clock (or NTP steps it)."""
        self.wall += seconds

    def suspend(self, seconds: float) -> None:
        """The machine sleeps: the monotonic clock, and with it every timer, stands still."""
        self.wall += seconds
        self.boot += seconds

    @property
    def sleeping(self) -> int:
        """How many sleep now."""
        return sum(not future.done() for _, _, future in self._sleepers)

    def _move(self, seconds: float) -> None:
        self.wall += seconds
        self.boot += seconds
        self.mono += seconds


async def turns(count: int = _TURNS) -> None:
    """Let everything that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)
