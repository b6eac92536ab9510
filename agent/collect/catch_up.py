"""The run of a job whose source reads `:since` and `:until`: all windows that are due, in order.

Each window is a run of its own, with its own row. Between two of them the thread goes to whoever waits.
What fails ends it: the window is wanted, and the next run begins with it. Where rows are written late
(`settle`), a window is pulled that much after its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime

from agent.clock import Clock
from agent.collect.result import RunResult, merged
from agent.collect.tally import Tally
from agent.collect.wanted import Wanted
from agent.collect.windows import Grid, next_window, one_by_one, zone_of
from agent.collect.worker import fault
from agent.config.model import Job, window_delay
from agent.errors import AgentError
from agent.logs import get_log
from agent.spool import Spool
from agent.window import Window

log = get_log("collect")


@dataclass(frozen=True, kw_only=True, slots=True)
class CatchUp:
    """Of one occurrence of one job."""

    job: Job
    spool: Spool
    clock: Clock
    tally: Tally
    run: Callable[[Job, Wanted], Awaitable[RunResult]]
    """Pulls one window. Never raises."""

    async def go(self, wanted: Wanted) -> RunResult:
        """What the windows came to together. Never raises."""
        results: list[RunResult] = []
        grid = Grid.of(self.job)
        try:
            reason = await self._all(wanted, grid, results)
        except AgentError as error:
            self._failed(results, error.message)
        except Exception as error:  # noqa: BLE001 - whoever waits for the run is to be told
            log.bug("windows cannot be told", error, job=self.job.name)
            self._failed(results, fault(error))
        result = merged(results) if results else RunResult(state="skipped", reason=reason)
        return replace(result, look_again_at=self._later(grid))

    def _failed(self, results: list[RunResult], reason: str) -> None:
        results.append(RunResult(state="failed", reason=reason))
        self.tally.note(self.job, results[-1])

    def _later(self, grid: Grid) -> float | None:
        """When a window that has ended may be pulled; None: there is none."""
        now, delay = self.clock.now(), window_delay(self.job.source)
        if not delay:
            return None
        following = grid.after(now - delay)
        return following + delay if following is not None and following <= now else None

    async def _all(self, wanted: Wanted, grid: Grid, results: list[RunResult]) -> str:
        """Why there was none, where there was none."""
        while (window := await self._next(grid)) is not None:
            result = await self.run(self.job, wanted.about(window))
            results.append(result)
            if result.state != "done":
                break
            if wanted.limit is not None and sum(each.records for each in results) >= wanted.limit:
                break
        return "" if results else self._nothing(grid)

    async def _next(self, grid: Grid) -> Window | None:
        mark = await self.spool.window_mark(self.job.name)
        now = self.clock.now() - window_delay(self.job.source)
        # In a thread: looking back for the last occurrence of a rare cron text takes milliseconds.
        window = await asyncio.to_thread(next_window, grid, mark, now, each=one_by_one(self.job))
        if window is None and mark is None and (first := await asyncio.to_thread(grid.last, now)) is not None:
            # A date that comes once has no occurrence before it: it is where the windows begin.
            await self.spool.begin_windows(self.job.name, first)
        return window

    def _nothing(self, grid: Grid) -> str:
        following = grid.after(self.clock.now())
        if following is None:
            return "no window is due, and none ever will be: the schedule has no time to come"
        ends = datetime.fromtimestamp(following, zone_of(self.job)).isoformat(timespec="seconds")
        return f"no window is due: the next one ends at {ends}"
