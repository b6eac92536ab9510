from __future__ import annotations

import asyncio

import pytest

from agent.clock import SystemClock
from agent.stall import BEAT, RESTING_BEAT, StallMonitor


class LateClock(SystemClock):
    """Wakes up late by what the script says."""

    def __init__(self, *late: float) -> None:
        self.time = 100.0
        self.late = list(late)
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        if not self.late:
            raise asyncio.CancelledError
        self.slept.append(seconds)
        self.time += seconds + self.late.pop(0)


async def test_keeps_the_longest_stall_and_says_a_long_one(caplog: pytest.LogCaptureFixture) -> None:
    monitor = StallMonitor(LateClock(0.01, 2.5, 0.3))
    with pytest.raises(asyncio.CancelledError):
        await monitor.run()
    assert monitor.longest == pytest.approx(2.5)
    assert [record.getMessage() for record in caplog.records] == ["the event loop stood still"]


async def test_looks_often_while_the_loop_works_and_seldom_while_it_rests() -> None:
    clock = LateClock(0.0, 0.0, 0.0, 0.0)
    # processor time before and after each beat: rests, works, works, rests
    used = iter([0.0, 0.0, 0.0, 0.010, 0.010, 0.014, 0.014, 0.014, 0.014])
    with pytest.raises(asyncio.CancelledError):
        await StallMonitor(clock, used=lambda: next(used)).run()
    assert clock.slept == [BEAT, RESTING_BEAT, BEAT, BEAT]


async def test_sees_what_really_holds_the_loop() -> None:
    monitor = StallMonitor(SystemClock())
    task = asyncio.create_task(monitor.run())
    await asyncio.sleep(0)
    deadline = SystemClock().monotonic() + 0.2
    while SystemClock().monotonic() < deadline:
        pass  # held on purpose
    while not monitor.longest:  # noqa: ASYNC110 - the loop is what is looked at
        await asyncio.sleep(0)
    task.cancel()
    assert monitor.longest >= 0.2 - RESTING_BEAT
