"""What the daemon shows of itself: health, figures, the live half of a snapshot."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

from agent.clock import Clock
from agent.engine import Engine
from agent.errors import Problem
from agent.message import JsonValue
from agent.reload import Change, Reloader
from agent.schedule.scheduler import Scheduler
from agent.stall import StallMonitor
from agent.status import Figures, Histogram, Snapshot, to_json
from agent.status_parts import ConfigStatus, RejectedFile
from agent.survey import Live, survey


class LiveView:
    """The daemon, looked at; the pages and the control socket show it."""

    def __init__(
        self,
        config: Path,
        *,
        engine: Engine,
        reloader: Reloader,
        scheduler: Scheduler,
        stall: StallMonitor,
        clock: Clock,
    ) -> None:
        self._config = config
        self._engine = engine
        self._reloader = reloader
        self._scheduler = scheduler
        self._stall = stall
        self._clock = clock
        self._started_at = clock.now()
        self._ready = False

    def started(self) -> None:
        """Everything runs from now on."""
        self._ready = True

    def unhealthy(self) -> str:
        """Why this process should be restarted; "" when it is well."""
        return "" if self._engine.spool.is_alive else "the thread of the spool has ended"

    def unready(self) -> str:
        """What is still missing; "" when it collects and delivers."""
        return "" if self._ready else "starting"

    async def snapshot(self) -> Snapshot:
        """All of it, at this moment."""
        engine = self._engine
        collecting = engine.collector.snapshot()
        live = Live(
            started_at=self._started_at,
            config=self._config_status(),
            jobs=self._reloader.plan.jobs,
            next_due=self._scheduler.next_due,
            connections=dict(engine.connections),
            collecting=collecting.collecting,
            quarantined=collecting.quarantined,
            waits=engine.deliverer.snapshot().waits,
            unmoved=engine.finisher.stuck,
            used_bytes=await engine.spool.used_bytes(),
            max_bytes=engine.spool.max_bytes,
            max_messages=engine.spool.limits.total.max_messages,
            recovered=engine.spool.recovered is not None,
        )
        return await asyncio.to_thread(survey, engine.settings.state, self._clock.now(), live)

    async def status(self) -> dict[str, JsonValue]:
        """The snapshot as JSON."""
        return to_json(await self.snapshot())

    async def figures(self) -> Figures:
        """The snapshot and what was counted since the start."""
        delivery = self._engine.deliverer.snapshot()
        collecting = self._engine.collector.snapshot()
        return Figures(
            snapshot=await self.snapshot(),
            attempts=delivery.attempts,
            request_seconds={
                job: Histogram(bounds=one.bounds, counts=one.counts, sum=one.sum)
                for job, one in delivery.seconds.items()
            },
            splits=delivery.splits,
            runs=collecting.runs,
            skipped=collecting.skipped,
            longest_stall=self._stall.longest,
        )

    def _config_status(self) -> ConfigStatus:
        plan, change = self._reloader.plan, self._reloader.last_change
        return ConfigStatus(
            folder=str(self._config),
            loaded_at=self._reloader.loaded_at,
            jobs=len(plan.jobs),
            connections=len(plan.connections) + len(plan.databases),
            rejected=rejected_files(change),
        )


def rejected_files(change: Change) -> tuple[RejectedFile, ...]:
    """The problems of a reload, file by file."""
    problems: defaultdict[str, list[Problem]] = defaultdict(list)
    for problem in change.rejected:
        problems[problem.file].append(problem)
    return tuple(
        RejectedFile(file=file, kept=any(file.endswith(kept) for kept in change.kept), problems=tuple(found))
        for file, found in problems.items()
    )


def change_json(change: Change) -> dict[str, JsonValue]:
    """What `push-agent reload` is told."""
    return {
        "summary": str(change),
        "added": list(change.added),
        "changed": list(change.changed),
        "removed": list(change.removed),
        "unchanged": len(change.unchanged),
        "connections": list(change.connections),
        "restart": list(change.restart),
        "kept": list(change.kept),
        "rejected": len({problem.file for problem in change.rejected}),
        "problems": [str(problem) for problem in change.rejected],
    }
