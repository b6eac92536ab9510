"""Without a daemon: one run of one job, or what a person asks of the sign-in.

Each takes the state's lock, does its work with the same engine as the daemon, and lets go.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from agent.clock import Clock
from agent.collect import RunResult
from agent.config import Loaded
from agent.config.model import AgentSettings, HttpSource, Plan
from agent.custody import act, rekey
from agent.deliver import LaneWait
from agent.engine import Engine
from agent.errors import ConfigError, StateError
from agent.message import JsonValue
from agent.reload import Change

_GRACE = 10.0
# Seconds between two words on how far it is.
_BEAT = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """What came of it."""

    run: RunResult
    delivered: int
    """Records that the target took."""
    waits: LaneWait | None
    """Why something is left in the spool; None: nothing is."""


async def push_once(
    job: str,
    limit: int | None,
    *,
    config: Path,
    settings: AgentSettings,
    loaded: Loaded,
    clock: Clock,
    say: Callable[[str], None],
) -> Pushed:
    """Run `job` and deliver. What cannot be delivered now stays in the spool, for the daemon.

    Raises StateLocked when a daemon runs, ConfigError when the job cannot be prepared.
    """
    async with _engine_of(job, config=config, settings=settings, loaded=loaded, clock=clock) as engine:
        progress = asyncio.create_task(_tell(engine, job, clock, say))
        try:
            run = await engine.collector.run_now(job, limit)
            waits = await engine.deliverer.drained(job)
        finally:
            progress.cancel()
            await engine.stop(_GRACE)
        await engine.finisher.sweep()
        return Pushed(run=run, delivered=_delivered(engine, job), waits=waits)


async def backfill_once(
    job: str,
    span: tuple[str, str, str],
    *,
    config: Path,
    settings: AgentSettings,
    loaded: Loaded,
    clock: Clock,
    say: Callable[[dict[str, JsonValue]], None],
) -> dict[str, JsonValue]:
    """Pull the windows of a span (from, to, step) and deliver; `say` is told how far it is, now and then.

    Ends early when it is cancelled: asked for again, it goes on. Raises as `push_once` does, UsageError
    when the span means nothing.
    """
    async with _engine_of(job, config=config, settings=settings, loaded=loaded, clock=clock) as engine:
        row = await engine.backfills.begin(job, *span)
        waiting = asyncio.create_task(engine.backfills.wait(job), name="backfill")
        waits = None
        try:
            while not waiting.done():
                say(engine.backfills.as_json(await engine.spool.backfill(row.id)))
                await asyncio.wait({waiting}, timeout=_BEAT)
            waits = await engine.deliverer.drained(job)
        finally:
            await engine.backfills.stop(row.id)
            await engine.stop(_GRACE)
            waiting.cancel()
        answer = engine.backfills.as_json(await engine.spool.backfill(row.id))
        return {**answer, "delivered": _delivered(engine, job), "waits": waits.reason if waits else None}


@contextlib.asynccontextmanager
async def _engine_of(
    job: str, *, config: Path, settings: AgentSettings, loaded: Loaded, clock: Clock
) -> AsyncIterator[Engine]:
    """An engine for one job, started. Whoever uses it stops it; here the state folder is let go."""
    chosen = loaded.plan.jobs[job]
    connection = loaded.plan.connections[chosen.target.connection]
    connections = {connection.name: connection}
    if isinstance(chosen.source, HttpSource):
        connections[chosen.source.connection] = loaded.plan.connections[chosen.source.connection]
    plan = Plan(
        settings=settings, connections=connections, databases=loaded.plan.databases, jobs={job: chosen}
    )
    engine = await asyncio.to_thread(Engine.open, settings, config, clock, owner="push")
    try:
        prepared = await engine.prepare(plan, {}, Change(added=(job,)))
        if prepared.rejected:
            raise ConfigError(tuple(each.problem for each in prepared.rejected))
        engine.swap(prepared)
        await engine.start(job)  # the lanes of other jobs go on waiting for the reasons they have
        try:
            yield engine
        finally:
            await engine.stop(_GRACE)  # twice is fine
    finally:
        await asyncio.to_thread(engine.close)


def _delivered(engine: Engine, job: str) -> int:
    sums = engine.deliverer.snapshot().delivered.get(job)
    return sums.records if sums else 0


async def act_once(
    action: str, name: str, *, config: Path, settings: AgentSettings, plan: Plan, clock: Clock
) -> dict[str, JsonValue]:
    """`push-agent auth refresh|login|forget`. Nothing is collected or delivered.

    Raises StateLocked when a daemon runs, ConfigError, and what `agent.custody.act` raises.
    """
    engine = await asyncio.to_thread(Engine.open, settings, config, clock, owner=f"auth {action}")
    try:
        try:
            if (connection := plan.connections.get(name)) is not None:
                opened = await engine.opened(connection)
                assert opened is not None
                engine.connections[name] = opened
            answer = await act(engine, action, name, known=plan.connections)
        finally:
            for one in engine.connections.values():
                await one.close(grace=1.0)
        row = await engine.spool.session(name)
        if action == "forget" and row is not None and row.sealed is not None:
            hint = "make room on its disk, then forget it again"
            raise StateError(f"the tokens of {name} could not be erased from {settings.state}", hint=hint)
        return answer
    finally:
        await asyncio.to_thread(engine.close)


async def rekey_once(*, config: Path, settings: AgentSettings, clock: Clock) -> dict[str, JsonValue]:
    """`push-agent auth rekey`. Raises StateLocked when a daemon runs, UsageError, StateError."""
    engine = await asyncio.to_thread(Engine.open, settings, config, clock, owner="auth rekey")
    try:
        return await rekey(engine)
    finally:
        await asyncio.to_thread(engine.close)


async def _tell(engine: Engine, job: str, clock: Clock, say: Callable[[str], None]) -> None:
    while True:
        await clock.sleep(_BEAT)
        doing = engine.collector.snapshot().collecting.get(job, "delivering")
        say(f"{doing}; delivered {_delivered(engine, job):,} records")
