"""Which runs start now, wait for their turn, are skipped, or are not started any more.

    due ──┬─ none of this job is under way ─▶ run (at most `collect.concurrency` at the same moment)
          ├─ overlap: skip ─────────────────▶ recorded as skipped; after file events once more at its end
          ├─ overlap: queue ────────────────▶ behind it
          ├─ windows (:since, :until) ──────▶ behind it, once
          ├─ paused by a person ────────────▶ recorded as skipped; announced as missed when it is resumed
          └─ three runs in a row died with the process ─▶ quarantined until the job's text changes

Everything here happens in the event loop; the runs themselves in threads.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent.clock import Clock
from agent.collect.catch_up import CatchUp
from agent.collect.full import Full
from agent.collect.looks import Looks
from agent.collect.quarantine import Quarantine
from agent.collect.result import RunResult, try_again
from agent.collect.slots import MOST_WAITING, Slots
from agent.collect.tally import CollectSnapshot, Tally
from agent.collect.wanted import Wanted, still_collecting
from agent.collect.worker import HINTS, Worker, fault
from agent.config.model import AgentSettings, Job, uses_window
from agent.cores import anywhere
from agent.errors import AgentError, UsageError
from agent.logs import get_log
from agent.pull.tools import Tools
from agent.sources.asking import Databases
from agent.spool import PauseRow, Spool
from agent.window import Window

log = get_log("collect")

# Occurrences of one job that may wait behind its run (`overlap: queue`).
_QUEUE = 100
_NO_WINDOWS = "the job was changed: its source uses neither since nor until any more"


class Collector:
    """Owns the runs of all jobs."""

    def __init__(
        self,
        spool: Spool,
        settings: AgentSettings,
        clock: Clock,
        *,
        on_settled: Callable[[], None] = lambda: None,
        poll: float = 2.0,
        tools: Callable[[], Tools] | None = None,
        databases: Databases | None = None,
    ) -> None:
        """`on_settled` is called in the loop when files may be moved away.

        `poll`: seconds between two looks whether a full spool has room again. `tools`: for sources that
        are asked for documents; made anew for each run, in the loop.
        """
        self._spool = spool
        self._settings = settings
        self._clock = clock
        self._on_settled = on_settled
        self._tools = tools
        self._jobs: Mapping[str, Job] = {}
        self._held: Mapping[str, PauseRow] = {}
        self._active: dict[str, Wanted] = {}
        self._queues: dict[str, deque[Wanted]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._looks, self._tally = Looks(clock, self.due), Tally(spool)
        self._quarantine = Quarantine(spool)
        self._full = Full(spool, clock, self._tally)
        self._stop = threading.Event()
        self._worker = Worker(
            spool=spool,
            settings=settings,
            clock=clock,
            stop=self._stop,
            poll=poll,
            slots=Slots(settings.collect_concurrency, self._stop),
            databases=databases,
            paused=self._paused,
        )
        self._pool: ThreadPoolExecutor | None = None

    # ------------------------------------------------------------------------------ from outside

    async def start(self) -> None:
        """Get ready; runs start when they are due."""
        self._stop.clear()
        await asyncio.to_thread(_folder, self._worker.temp)
        self._pool = ThreadPoolExecutor(
            self._settings.collect_concurrency + MOST_WAITING,
            thread_name_prefix="collect",
            initializer=anywhere,
        )

    async def stop(self, grace: float) -> bool:
        """End all runs at their next chunk; whether they did within `grace` seconds. Twice is fine."""
        self._stop.set()
        self._looks.keep(())
        for queue in self._queues.values():
            for wanted in queue:
                wanted.answer(RunResult(state="skipped", reason="the agent stops"))
        self._queues.clear()
        late: set[asyncio.Task[None]] = set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace)
        if late:
            log.warning("runs did not end in time", jobs=sorted(self._active))
            for wanted in self._active.values():  # whoever waits for one would wait for ever
                wanted.answer(RunResult(state="stopped", reason="it did not end before the agent stopped"))
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        return not late

    def set_jobs(self, jobs: Mapping[str, Job]) -> None:
        """From now on these. Runs under way end as they began; a changed text ends a quarantine."""
        self._jobs = dict(jobs)
        self._quarantine.keep(jobs)
        self._looks.keep(jobs)

    def hold(self, held: Mapping[str, PauseRow]) -> None:
        """These jobs are paused, and no others: runs under way end as they began, none is started."""
        self._held = dict(held)

    def due(self, name: str, time: float, trigger: str) -> None:
        """It is time for a run of this job. Called in the event loop; never blocks, never raises."""
        if name not in self._jobs or self._stop.is_set() or self._pool is None:
            return
        wanted = Wanted(job=name, due=time, trigger=trigger)
        if reason := self._paused(name):
            if trigger not in HINTS:
                self._tally.skip(wanted, reason)
        elif name in self._active:
            self._due_again(name, wanted)
        else:
            self._begin(self._jobs[name], wanted)

    def _due_again(self, name: str, wanted: Wanted) -> None:
        """While a run of it is under way."""
        trigger = wanted.trigger
        queue = self._queues.setdefault(name, deque())
        if trigger in HINTS:
            # The run under way may have listed its files already: look once more, however many hints.
            if not any(other.trigger in HINTS for other in queue):
                queue.append(wanted)
        elif uses_window(self._jobs[name].source):
            if not any(other.trigger == trigger for other in queue):
                queue.append(wanted)
        elif not any(schedule.overlap == "queue" for schedule in self._jobs[name].schedules):
            self._tally.skip(wanted, still_collecting(self._active[name]))
        elif len(queue) >= _QUEUE:
            self._tally.skip(wanted, f"{_QUEUE} runs wait already")
        else:
            queue.append(wanted)

    def _paused(self, name: str) -> str:
        """Why; "" when it is not. Also called in the threads of runs."""
        held = self._held.get(name)
        return held.said if held is not None else ""

    async def run_now(self, name: str, limit: int | None = None) -> RunResult:
        """Run a job once, behind a run that is under way; what it came to.

        `limit`: no further file is begun once so many records are spooled. Raises UsageError when there
        is no such job, AgentError when nothing is collected any more.
        """
        return await self._in_turn(Wanted(job=name, due=self._clock.now(), trigger="push", limit=limit))

    async def run_window(
        self, name: str, window: Window, backfill: int, cancelled: Callable[[], bool]
    ) -> RunResult:
        """Pull one window of the past, behind what waits already. Raises as `run_now` does."""
        wanted = Wanted(job=name, due=window.end, trigger="backfill", window=window, backfill=backfill)
        wanted.cancelled = cancelled
        return await self._in_turn(wanted)

    async def _in_turn(self, wanted: Wanted) -> RunResult:
        job = self.job(wanted.job)
        if self._stop.is_set() or self._pool is None:
            raise AgentError("the agent is stopping", hint="try again when it runs")
        if reason := self._paused(wanted.job):
            raise AgentError(reason, hint=f"push-agent resume {wanted.job}, then try again")
        wanted.result = asyncio.get_running_loop().create_future()
        if wanted.job in self._active:
            self._queues.setdefault(wanted.job, deque()).append(wanted)
        else:
            self._begin(job, wanted)
        return await wanted.result

    def job(self, name: str) -> Job:
        """As it runs now. Raises UsageError when there is no such job."""
        if name not in self._jobs:
            raise UsageError(f"there is no job {name!r}", hint="push-agent status lists them")
        return self._jobs[name]

    def doing(self, name: str) -> str:
        """What the job's run does now; "" when there is none."""
        return self._active[name].doing if name in self._active else ""

    def snapshot(self) -> CollectSnapshot:
        """Where things stand."""
        return CollectSnapshot(
            collecting={name: wanted.doing for name, wanted in self._active.items()},
            quarantined=self._quarantine.reasons(),
            runs=dict(self._tally.runs),
            skipped=dict(self._tally.skipped),
        )

    # ------------------------------------------------------------------------------ one occurrence

    def _begin(self, job: Job, wanted: Wanted) -> None:
        self._active[wanted.job] = wanted
        task = asyncio.create_task(self._live(job, wanted), name=f"collect {wanted.job}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self, job: Job, wanted: Wanted) -> None:
        """One run from its start to what follows from it; whatever happens, the next one can start."""
        try:
            if wanted.window is None and uses_window(job.source):
                result = await self._catch_up(job).go(wanted)
            elif wanted.window is not None and not uses_window(job.source):
                result = RunResult(state="failed", reason=_NO_WINDOWS)
            else:
                result = await self._outcome(job, wanted)
        finally:
            self._active.pop(wanted.job, None)
        wanted.answer(result)
        if result.settled:
            self._on_settled()
        if result.look_again_at is not None and job.name in self._jobs and not self._stop.is_set():
            self._looks.plan(job.name, result.look_again_at)
        self._next(job.name)

    def _catch_up(self, job: Job) -> CatchUp:
        return CatchUp(job=job, spool=self._spool, clock=self._clock, tally=self._tally, run=self._outcome)

    async def _outcome(self, job: Job, wanted: Wanted) -> RunResult:
        """One run, counted. Never raises."""
        result = await self._run(job, wanted)
        self._tally.note(job, result)
        return result

    async def _run(self, job: Job, wanted: Wanted) -> RunResult:
        try:
            if reason := self._paused(job.name) or await self._quarantine.reason(job):
                self._tally.skip(wanted, reason)
                return RunResult(state="skipped", reason=reason)
            # Who waits for a run by hand waits for room too; one of the schedule takes no thread for that.
            if wanted.result is None and (reason := await self._full.why_full(job.name)):
                return self._full.skip(wanted, reason)
            if self._stop.is_set() or self._pool is None:
                return RunResult(state="stopped", reason="the agent stopped before it began")
            loop = asyncio.get_running_loop()
            tools = self._tools() if self._tools is not None else None
            return await loop.run_in_executor(self._pool, self._worker.run, job, wanted, tools)
        except AgentError as error:
            reason = error.message
        except Exception as error:  # noqa: BLE001 - a bug in one run must not end the daemon
            log.bug("a run failed by a fault of push-agent", error, job=job.name)
            reason = fault(error)
        again = min(try_again(job, self._clock.now()), default=None)
        return RunResult(state="failed", reason=reason, look_again_at=again, settled=True)

    # ------------------------------------------------------------------------------ what follows

    def _next(self, name: str) -> None:
        queue = self._queues.get(name)
        if not queue or self._stop.is_set():
            return
        wanted = queue.popleft()
        if name in self._jobs:
            self._begin(self._jobs[name], wanted)
        else:
            wanted.answer(RunResult(state="skipped", reason="the job was removed"))
            self._next(name)


def _folder(path: Path) -> None:
    """Make it; what a killed process left in it goes: the state folder is ours alone."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in path.glob("render-*"):
        shutil.rmtree(left, ignore_errors=True)
