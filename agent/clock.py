"""Time, passed in: whoever waits or looks at a clock takes a `Clock`, so that a test can be one."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What the agent asks of time. All in seconds."""

    def now(self) -> float:
        """The wall clock: seconds since 1970 in UTC. May jump."""

    def boottime(self) -> float:
        """A clock that never jumps and goes on while the machine sleeps (CLOCK_BOOTTIME)."""

    def monotonic(self) -> float:
        """A clock that never jumps and stands still while the machine sleeps."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def boottime(self) -> float:
        """CLOCK_BOOTTIME."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def monotonic(self) -> float:
        """CLOCK_MONOTONIC."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait without holding the event loop."""
        await asyncio.sleep(seconds)
