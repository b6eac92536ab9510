"""A file was still being written: its job looks when it may be complete, without waiting for the schedule."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from agent.clock import Clock


class Looks:
    """At most one of each job is planned: the earliest reason asks again for the others."""

    def __init__(self, clock: Clock, due: Callable[[str, float, str], None]) -> None:
        self._clock = clock
        self._due = due
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def plan(self, job: str, moment: float) -> None:
        """Look at `moment` (wall clock), in place of what was planned."""
        if (earlier := self._tasks.pop(job, None)) is not None:
            earlier.cancel()
        self._tasks[job] = asyncio.create_task(self._wait(job, moment), name=f"settle {job}")

    def keep(self, jobs: Collection[str]) -> None:
        """Forget all others."""
        for name in [name for name in self._tasks if name not in jobs]:
            self._tasks.pop(name).cancel()

    async def _wait(self, job: str, moment: float) -> None:
        await self._clock.sleep(max(moment - self._clock.now(), 0.0))
        self._tasks.pop(job, None)
        self._due(job, moment, "settle")
