from __future__ import annotations

import asyncio

import pytest

from agent.clock import SystemClock
from agent.stall import StallMonitor


class LateClock(SystemClock):
    """Wakes up late by what the script says."""

    def __init__(self, *late: float) -> None:
        self.time = 100.0
        self.late = list(late)

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        if not self.late:
            raise asyncio.CancelledError
        self.time += seconds + self.late.pop(0)


async def test_keeps_the_longest_stall_and_says_a_long_one(caplog: pytest.LogCaptureFixture) -> None:
    monitor = StallMonitor(LateClock(0.01, 2.5, 0.3))
    with pytest.raises(asyncio.CancelledError):
        await monitor.run()
    assert monitor.longest == pytest.approx(2.5)
    assert [record.getMessage() for record in caplog.records] == ["the event loop stood still"]
