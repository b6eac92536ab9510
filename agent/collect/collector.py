"""Which runs start now, wait for their turn, are skipped, or are not started any more.

    due ──┬─ none of this job is under way ─▶ run (at most `collect.concurrency` at the same moment)
          ├─ overlap: skip ─────────────────▶ recorded as skipped; after file events once more at its end
          ├─ overlap: queue ────────────────▶ behind it
          └─ three runs in a row died with the process ─▶ quarantined until the job's text changes

Everything here happens in the event loop; the runs themselves in threads.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from agent.clock import Clock
from agent.collect.quarantine import Quarantine
from agent.collect.result import RunResult, try_again
from agent.collect.run import collect_job
from agent.collect.wanted import ThreadHands, Wanted
from agent.config.model import AgentSettings, Job
from agent.errors import AgentError, UsageError
from agent.logs import get_log
from agent.render import Context
from agent.sources.asking import Databases
from agent.spool import Spool

log = get_log("collect")

# Occurrences of one job that may wait behind its run (`overlap: queue`).
_QUEUE = 100
# What tells that files changed, not that a time has come: never worth a record of its own.
_HINTS = frozenset({"watch", "settle"})
_NOTHING = RunResult(state="done")


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectSnapshot:
    """What the collector does, and has done since it started."""

    collecting: Mapping[str, str] = field(default_factory=dict)
    """Job → what its run does now."""
    quarantined: Mapping[str, str] = field(default_factory=dict)
    """Job → why it is not started any more."""
    runs: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(job, state) → runs."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Job → occurrences that did not run."""


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
        databases: Databases | None = None,
    ) -> None:
        """`on_settled` is called in the loop when files may be moved away.

        `poll`: seconds between two looks whether a full spool has room again.
        """
        self._spool = spool
        self._settings = settings
        self._clock = clock
        self._on_settled = on_settled
        self._poll = poll
        self._databases = databases
        self._jobs: Mapping[str, Job] = {}
        self._active: dict[str, Wanted] = {}
        self._queues: dict[str, deque[Wanted]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._quarantine = Quarantine(spool)
        self._failing: dict[str, str] = {}
        self._runs: Counter[tuple[str, str]] = Counter()
        self._skipped: Counter[str] = Counter()
        self._stop = threading.Event()
        self._pool: ThreadPoolExecutor | None = None

    # ------------------------------------------------------------------------------ from outside

    async def start(self) -> None:
        """Get ready; runs start when they are due."""
        self._stop.clear()
        await asyncio.to_thread(_folder, self._temp)
        self._pool = ThreadPoolExecutor(self._settings.collect_concurrency, thread_name_prefix="collect")

    async def stop(self, grace: float) -> bool:
        """End all runs at their next chunk; whether they did within `grace` seconds. Twice is fine."""
        self._stop.set()
        for task in self._looks.values():
            task.cancel()
        for queue in self._queues.values():
            for wanted in queue:
                wanted.answer(RunResult(state="skipped", reason="the agent stops"))
        self._queues.clear()
        late: set[asyncio.Task[None]] = set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace)
        if late:
            log.warning("runs did not end in time", jobs=sorted(self._active))
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        return not late

    def set_jobs(self, jobs: Mapping[str, Job]) -> None:
        """From now on these. Runs under way end as they began; a changed text ends a quarantine."""
        self._jobs = dict(jobs)
        self._quarantine.keep({name: job.sha256 for name, job in jobs.items()})
        for name in [name for name in self._looks if name not in jobs]:
            self._looks.pop(name).cancel()

    def due(self, name: str, time: float, trigger: str) -> None:
        """It is time for a run of this job. Called in the event loop; never blocks, never raises."""
        if name not in self._jobs or self._stop.is_set() or self._pool is None:
            return
        wanted = Wanted(job=name, due=time, trigger=trigger)
        if name not in self._active:
            self._begin(self._jobs[name], wanted)
            return
        queue = self._queues.setdefault(name, deque())
        if trigger in _HINTS:
            # The run under way may have listed its files already: look once more, however many hints.
            if not any(other.trigger in _HINTS for other in queue):
                queue.append(wanted)
        elif not any(schedule.overlap == "queue" for schedule in self._jobs[name].schedules):
            self._skip(wanted, f"the run of {_clock(self._active[name].due)} was still collecting")
        elif len(queue) >= _QUEUE:
            self._skip(wanted, f"{_QUEUE} runs wait already")
        else:
            queue.append(wanted)

    async def run_now(self, name: str, limit: int | None = None) -> RunResult:
        """Run a job once, behind a run that is under way; what it came to.

        `limit`: no further file is begun once so many records are spooled. Raises UsageError when there
        is no such job, AgentError when nothing is collected any more.
        """
        if name not in self._jobs:
            raise UsageError(f"there is no job {name!r}", hint="push-agent status lists them")
        if self._stop.is_set() or self._pool is None:
            raise AgentError("the agent is stopping", hint="try again when it runs")
        result: asyncio.Future[RunResult] = asyncio.get_running_loop().create_future()
        wanted = Wanted(job=name, due=self._clock.now(), trigger="push", limit=limit, result=result)
        if name in self._active:
            self._queues.setdefault(name, deque()).append(wanted)
        else:
            self._begin(self._jobs[name], wanted)
        return await result

    def snapshot(self) -> CollectSnapshot:
        """Where things stand."""
        return CollectSnapshot(
            collecting={name: wanted.doing for name, wanted in self._active.items()},
            quarantined=self._quarantine.reasons(),
            runs=dict(self._runs),
            skipped=dict(self._skipped),
        )

    # ------------------------------------------------------------------------------ one occurrence

    @property
    def _temp(self) -> Path:
        return self._settings.state / "tmp"

    def _begin(self, job: Job, wanted: Wanted) -> None:
        self._active[wanted.job] = wanted
        task = asyncio.create_task(self._live(job, wanted), name=f"collect {wanted.job}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self, job: Job, wanted: Wanted) -> None:
        """One run from its start to what follows from it; whatever happens, the next one can start."""
        try:
            result = await self._outcome(job, wanted)
        finally:
            self._active.pop(wanted.job, None)
        self._note(job, result)
        wanted.answer(result)
        if result.settled:
            self._on_settled()
        if result.look_again_at is not None:
            self._look_again(job.name, result.look_again_at)
        self._next(job.name)

    async def _outcome(self, job: Job, wanted: Wanted) -> RunResult:
        try:
            if reason := await self._quarantine.reason(job):
                self._skip(wanted, reason)
                return RunResult(state="skipped", reason=reason)
            assert self._pool is not None
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._in_thread, job, wanted)
        except AgentError as error:
            reason = error.message
        except Exception as error:  # noqa: BLE001 - a bug in one run must not end the daemon
            log.bug("a run failed by a fault of push-agent", error, job=job.name)
            reason = _fault(error)
        again = min(try_again(job, self._clock.now()), default=None)
        return RunResult(state="failed", reason=reason, look_again_at=again, settled=True)

    def _in_thread(self, job: Job, wanted: Wanted) -> RunResult:
        """The run itself, with its row in the spool. Blocks."""
        ctx = Context(
            temp=self._temp,
            memory=self._settings.collect_memory,
            threads=self._settings.collect_threads,
            clock=self._clock,
            cancelled=self._stop.is_set,
            databases=self._databases,
        )
        run = self._spool.start_run(job.name, wanted.due, wanted.trigger, job.sha256).result()
        try:
            hands = ThreadHands(wanted, self._stop)
            result = collect_job(job, run, self._spool, ctx, hands=hands, limit=wanted.limit, poll=self._poll)
        except Exception as error:
            reason = error.message if isinstance(error, AgentError) else _fault(error)
            self._spool.end_run(run, state="failed", reason=reason).result()
            raise
        assert result.state != "skipped"
        if wanted.trigger in _HINTS and result == _NOTHING:
            # File events come in swarms: what they found counts, not that they came.
            self._spool.forget_run(job.name, run).result()
            return RunResult(state="skipped")
        self._spool.end_run(run, state=result.state, reason=result.reason).result()
        return result

    # ------------------------------------------------------------------------------ what follows

    def _note(self, job: Job, result: RunResult) -> None:
        """Count it; say a failure once until it changes, and its end."""
        if result.state != "skipped":
            self._runs[job.name, result.state] += 1
        if result.state == "failed":
            if self._failing.get(job.name) != result.reason:
                log.warning("a run failed", job=job.name, reason=result.reason)
            self._failing[job.name] = result.reason
        elif result.state == "done" and result.messages and self._failing.pop(job.name, None) is not None:
            log.info("runs succeed again", job=job.name)

    def _skip(self, wanted: Wanted, reason: str) -> None:
        self._skipped[wanted.job] += 1
        log.debug("a run is skipped", job=wanted.job, reason=reason)
        self._spool.skip(wanted.job, wanted.due, wanted.trigger, reason)

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

    def _look_again(self, name: str, moment: float) -> None:
        """A file was still being written: look when it may be complete, without waiting for the schedule."""
        if name not in self._jobs or self._stop.is_set():
            return
        if (earlier := self._looks.pop(name, None)) is not None:
            earlier.cancel()
        self._looks[name] = asyncio.create_task(self._wait_and_look(name, moment), name=f"settle {name}")

    async def _wait_and_look(self, name: str, moment: float) -> None:
        await self._clock.sleep(max(moment - self._clock.now(), 0.0))
        self._looks.pop(name, None)
        self.due(name, moment, "settle")


def _fault(error: BaseException) -> str:
    return f"a fault of push-agent: {type(error).__name__}: {error}"


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S")


def _folder(path: Path) -> None:
    """Make it; what a killed process left in it goes: the state folder is ours alone."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in path.glob("render-*"):
        shutil.rmtree(left, ignore_errors=True)
