"""One run in its worker thread, with its row in the spool from the first moment to the last."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agent.clock import Clock
from agent.collect.files import StoppedError
from agent.collect.result import RunResult
from agent.collect.run import collect_job
from agent.collect.slots import Slots
from agent.collect.wanted import ThreadHands, Wanted
from agent.config.model import AgentSettings, Job, RawBody, holds_window
from agent.errors import AgentError
from agent.pull.tools import Tools
from agent.render import Context
from agent.sources.asking import Databases
from agent.spool import Spool

# What tells that files changed, not that a time has come: never worth a record of its own.
HINTS: Final = frozenset({"watch", "settle"})
_NOTHING = RunResult(state="done")


def fault(error: BaseException) -> str:
    """A bug of ours, in one line."""
    return f"a fault of push-agent: {type(error).__name__}: {error}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """What every run is given."""

    spool: Spool
    settings: AgentSettings
    clock: Clock
    stop: threading.Event
    poll: float
    slots: Slots
    databases: Databases | None = None
    paused: Callable[[str], str] = lambda _: ""
    """Job → why none of its runs begins; "" when they do."""

    @property
    def temp(self) -> Path:
        """Where runs keep what does not fit into memory."""
        return self.settings.state / "tmp"

    def run(self, job: Job, wanted: Wanted, tools: Tools | None) -> RunResult:
        """The run itself, with its row in the spool, once there is a slot for it. Blocks."""
        try:
            with self.slots.hold():
                if reason := self.paused(job.name):  # since it began to wait for its turn
                    if wanted.trigger not in HINTS:
                        self.spool.skip(job.name, wanted.due, wanted.trigger, reason).result()
                    return RunResult(state="skipped", reason=reason)
                return self._run(job, wanted, tools)
        except StoppedError:
            return RunResult(state="stopped", reason="the agent stopped before it began")

    def _run(self, job: Job, wanted: Wanted, tools: Tools | None) -> RunResult:
        ctx = Context(
            temp=self.temp,
            memory=self.settings.collect_memory,
            threads=self.settings.collect_threads,
            clock=self.clock,
            cancelled=lambda: self.stop.is_set() or wanted.cancelled(),
            window=wanted.window,
            backfill=wanted.backfill is not None,
            databases=self.databases,
            aside=self.slots.aside,
            fit=self._fit(job),
        )
        run, ends = self._start(job, wanted), wanted.window is not None
        try:
            hands = ThreadHands(wanted, self.stop)
            limit = wanted.limit if wanted.window is None else None  # no window is done in part
            result = collect_job(
                job, run, self.spool, ctx, hands=hands, limit=limit, poll=self.poll, tools=tools
            )
        except Exception as error:
            reason = error.message if isinstance(error, AgentError) else fault(error)
            self.spool.end_run(run, state="failed", reason=reason, durable=ends).result()
            raise
        assert result.state != "skipped"
        if wanted.window is None and wanted.trigger in HINTS and result == _NOTHING:
            # File events come in swarms: what they found counts, not that they came.
            self.spool.forget_run(job.name, run).result()
            return RunResult(state="skipped")
        self.spool.end_run(run, state=result.state, reason=result.reason, durable=ends).result()
        return replace(result, first_run=run, last_run=run)

    def _fit(self, job: Job) -> int | None:
        """What delivery has learned of the target: bodies of this size come through."""
        if isinstance(job.body, RawBody) or job.body.per != "batch":
            return None
        fit = self.spool.fits().result().get(job.name)
        return fit.size if fit is not None and fit.size < job.batch.bytes else None

    def _start(self, job: Job, wanted: Wanted) -> int:
        if wanted.window is None:
            return self.spool.start_run(job.name, wanted.due, wanted.trigger, job.sha256).result()
        return self.spool.start_window(
            job.name,
            wanted.due,
            wanted.trigger,
            job.sha256,
            wanted.window,
            hold=holds_window(job.source, backfill=wanted.backfill is not None),
            backfill=wanted.backfill,
        ).result()
