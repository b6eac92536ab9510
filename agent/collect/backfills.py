"""Backfills: the windows of a span of the past, in order, by a person's wish (`push --from --to`).

asked ─▶ its row (taken up where it was) ─▶ window ─▶ run ─▶ window ─▶ … ─▶ done
                                               └ failed, stopped, killed: the row says how far it is

A window of a backfill waits its turn among the job's other runs, so the same job never runs twice at once
and its schedule goes on in between; how far the windows of the schedule are is not touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agent.clock import Clock
from agent.collect.asked import Asked, asked
from agent.collect.result import RunResult
from agent.config.model import Job
from agent.errors import AgentError, StateError, UsageError
from agent.logs import get_log
from agent.message import JsonValue
from agent.phrases import rfc3339
from agent.spool import BackfillRow, BackfillState, Spool
from agent.window import Window

log = get_log("collect")


class Runs(Protocol):
    """What the collector is for a backfill."""

    def job(self, name: str) -> Job:
        """Raises UsageError when there is none."""

    async def run_window(
        self, name: str, window: Window, backfill: int, cancelled: Callable[[], bool]
    ) -> RunResult:
        """One window, when it is its turn. Raises UsageError, AgentError."""

    def doing(self, name: str) -> str:
        """What the job's run does now; "" when there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Going:
    wish: Asked
    task: asyncio.Task[None]
    begun: asyncio.Future[BackfillRow]


class Backfills:
    """Those of all jobs; at most one of each job goes on."""

    def __init__(self, runs: Runs, spool: Spool, clock: Clock) -> None:
        self._runs = runs
        self._spool = spool
        self._clock = clock
        self._going: dict[str, _Going] = {}
        self._stopped: set[int] = set()

    async def close(self) -> None:
        """After the collector was stopped: what it cut off is written down."""
        await asyncio.gather(*(one.task for one in self._going.values()), return_exceptions=True)

    async def begin(self, name: str, since: str, until: str, step: str) -> BackfillRow:
        """Begin one, go on with one, or join the one that goes on. Raises UsageError, StateError."""
        job = self._runs.job(name)
        wish = asked(job, since, until, step, now=self._clock.now())
        while (going := self._going.get(name)) is not None:
            row = await asyncio.shield(going.begun)
            if row.id in self._stopped:
                await self.wait(name)
            elif going.wish.same_as(wish):
                return await self._spool.backfill(row.id)
            else:
                hint = "push-agent status shows how far it is"
                raise UsageError(f"another backfill of {name} goes on", hint=hint)
        # Taken before the first wait: two who ask at once are not two.
        begun: asyncio.Future[BackfillRow] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._live(name, wish, begun), name=f"backfill {name}")
        self._going[name] = _Going(wish=wish, task=task, begun=begun)
        return await asyncio.shield(begun)  # it begins, whoever leaves meanwhile

    async def stop(self, ident: int) -> None:
        """End at the next chunk of the window under way; asked for again, it goes on with that window."""
        self._stopped.add(ident)

    async def wait(self, name: str) -> None:
        """Until the job's backfill goes on no more."""
        if name in self._going:
            await asyncio.wait({self._going[name].task})

    async def answer(self, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """For the control socket: `start` (job, from, to, step), `state` and `stop` (id)."""
        action, ident = arguments.get("action"), arguments.get("id")
        if action == "start":
            words = [arguments.get(key) for key in ("job", "from", "to", "step")]
            job, since, until, step = (word if isinstance(word, str) else "" for word in words)
            return self.as_json(await self.begin(job, since, until, step))
        if not isinstance(ident, int) or action not in {"state", "stop"}:
            raise AgentError("backfill wants an action (start, state, stop) and what belongs to it")
        if action == "stop":
            await self.stop(ident)
        try:
            return self.as_json(await self._spool.backfill(ident))
        except LookupError as error:
            raise UsageError(str(error)) from error

    def as_json(self, row: BackfillRow) -> dict[str, JsonValue]:
        """A row and what goes on; moments as RFC 3339."""
        going = row.job in self._going and row.state == "running"
        return {
            "id": row.id,
            "job": row.job,
            "state": row.state,
            "reason": row.reason,
            "since": rfc3339(row.since),
            "until": rfc3339(row.until),
            "step": row.step,
            "done": rfc3339(row.done),
            "windows": row.windows,
            "records": row.records,
            "messages": row.messages,
            "doing": self._runs.doing(row.job) if going else "",
        }

    async def _live(self, name: str, wish: Asked, begun: asyncio.Future[BackfillRow]) -> None:
        try:
            await self._go(name, wish, begun)
        finally:
            del self._going[name]

    async def _go(self, name: str, wish: Asked, begun: asyncio.Future[BackfillRow]) -> None:
        try:
            row = await self._spool.open_backfill(name, wish.since, wish.until, wish.step)
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            begun.set_exception(error)
            return
        self._stopped.discard(row.id)
        begun.set_result(row)
        log.info("a backfill begins", job=name, since=rfc3339(row.done), until=rfc3339(row.until))
        state, reason = await self._windows(name, wish, row)
        try:
            await self._spool.turn_backfill(row.id, state, reason)
        except StateError as error:  # the next start finds it running, and says that it stopped
            log.warning("a backfill's end is not noted", job=name, reason=error.message)
        log.info("a backfill ends", job=name, state=state, reason=reason)

    async def _windows(self, name: str, wish: Asked, row: BackfillRow) -> tuple[BackfillState, str]:
        """How it ended, and why."""

        def cancelled() -> bool:
            return row.id in self._stopped

        done = row.done
        while (window := wish.steps.window_from(done)) is not None:
            if cancelled():
                return "stopped", "it was stopped"
            try:
                result = await self._runs.run_window(name, window, row.id, cancelled)
            except UsageError as error:
                return "failed", error.message
            except AgentError as error:  # the agent stops
                return "stopped", error.message
            if result.state == "failed":
                return "failed", f"{window}: {result.reason}"
            if result.state != "done":
                return "stopped", "it was stopped" if cancelled() else result.reason
            done = window.end
        return "done", ""
