"""Without a daemon: one run of one job, the rest of some jobs, or what a person asks of the sign-in.

Each takes the state's lock, does its work with the same engine as the daemon, and lets go.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.clock import Clock
from agent.collect import RunResult
from agent.config import Loaded
from agent.config.model import AgentSettings, HttpSource, Plan
from agent.custody import act, rekey
from agent.draining import Draining
from agent.engine import Engine
from agent.errors import ConfigError, StateError
from agent.following import Following, Left, Mark
from agent.message import JsonValue
from agent.pauses.wish import Wish
from agent.reload import Change

_GRACE = 10.0
_FULL = ("waiting: the spool is full", "waiting: spool is full")
# Seconds between two words on how far it is.
_BEAT = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """What came of it."""

    run: RunResult
    delivered: int
    """Records that the target took."""
    dead: int
    """Dead letters of its run."""
    waits: str
    """Why something is left in the spool; "": nothing is."""


async def push_once(
    job: str,
    limit: int | None,
    *,
    config: Path,
    settings: AgentSettings,
    loaded: Loaded,
    clock: Clock,
    say: Callable[[str], None],
    patience: float | None = None,
) -> Pushed:
    """Run `job` and deliver. What cannot be delivered now stays in the spool, for the daemon.

    Ends when nothing is left or a lane must wait; with `patience` it goes on so many seconds through waits.

    Raises StateLocked when a daemon runs, ConfigError when the job cannot be prepared.
    """
    async with _engine_of([job], config=config, settings=settings, loaded=loaded, clock=clock) as engine:
        progress = asyncio.create_task(_tell(engine, job, clock, say))
        try:
            run, mark = await _pushed(engine, job, limit, patience)
            waits = await _until_gone(engine, [job], patience)
            dead = (await Following(engine).since(mark)).dead
        finally:
            progress.cancel()
            await engine.stop(_GRACE)
        await engine.finisher.sweep()
        return Pushed(run=run, delivered=_delivered(engine, job), dead=dead, waits=waits)


async def _pushed(
    engine: Engine, job: str, limit: int | None, patience: float | None
) -> tuple[RunResult, Mark]:
    """The run; it is stopped where it waits for room in the spool that the target does not make now."""
    pushing = asyncio.create_task(Following(engine).push(job, limit), name="push")
    end = asyncio.get_running_loop().time() + (patience or 0.0)
    try:
        while not pushing.done():
            await asyncio.wait({pushing}, timeout=_BEAT)
            full = engine.collector.doing(job).startswith(_FULL)
            stuck = full and any(wait.job == job for wait in engine.deliverer.snapshot().waits)
            if stuck and asyncio.get_running_loop().time() >= end:
                await engine.collector.stop(_GRACE)
        return await pushing
    finally:
        pushing.cancel()


async def drain_once(
    jobs: Sequence[str],
    *,
    reason: str,
    config: Path,
    settings: AgentSettings,
    loaded: Loaded,
    clock: Clock,
    say: Callable[[list[Left]], None],
    patience: float | None,
    resume: bool,
) -> tuple[list[Left], str]:
    """Deliver what these jobs have in the spool; what is left, and why. Their collecting is paused.

    `say` is told how far it is, now and then. With `resume` they collect again, however this ends.
    Raises as `push_once` does, and what `Draining.begin` raises.
    """
    async with _engine_of(jobs, config=config, settings=settings, loaded=loaded, clock=clock) as engine:
        draining, following = Draining(engine), Following(engine)
        drain = await draining.begin(Wish(jobs=tuple(jobs), reason=reason))
        progress = asyncio.create_task(_tell_left(following, jobs, clock, say))
        try:
            waits = await _until_gone(engine, jobs, patience, patient=True)
        finally:
            progress.cancel()
            await engine.stop(_GRACE)
            if resume:
                await draining.end(drain)
        await engine.finisher.sweep()
        return await following.of(jobs), waits


async def _until_gone(
    engine: Engine, jobs: Sequence[str], seconds: float | None, *, patient: bool = False
) -> str:
    """Until nothing of them is left, "", or why something is.

    Waits of lanes are waited through when there is a limit to it, or `patient`.
    """
    why = ""
    try:
        async with asyncio.timeout(seconds):
            for job in jobs:
                while (wait := await engine.deliverer.drained(job)) is not None:
                    why = wait.reason
                    if seconds is None and not patient:
                        return why
                    await asyncio.sleep(_BEAT)
                why = ""
    except TimeoutError:
        return f"the time is up after {seconds:g} s" + (f": {why}" if why else "")
    return ""


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
    async with _engine_of([job], config=config, settings=settings, loaded=loaded, clock=clock) as engine:
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
    jobs: Sequence[str], *, config: Path, settings: AgentSettings, loaded: Loaded, clock: Clock
) -> AsyncIterator[Engine]:
    """An engine for these jobs, started. Whoever uses it stops it; here the state folder is let go."""
    chosen = {job: loaded.plan.jobs[job] for job in jobs}
    names = {job.target.connection for job in chosen.values()}
    names |= {job.source.connection for job in chosen.values() if isinstance(job.source, HttpSource)}
    connections = {name: loaded.plan.connections[name] for name in names}
    plan = Plan(settings=settings, connections=connections, databases=loaded.plan.databases, jobs=chosen)
    engine = await asyncio.to_thread(Engine.open, settings, config, clock, owner="push")
    try:
        prepared = await engine.prepare(plan, {}, Change(added=tuple(jobs)))
        if prepared.rejected:
            raise ConfigError(tuple(each.problem for each in prepared.rejected))
        engine.swap(prepared)
        await engine.start(jobs[0])  # the lanes of other jobs go on waiting for the reasons they have
        for job in jobs[1:]:
            engine.deliverer.wake(job)
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


async def _tell_left(
    following: Following, jobs: Sequence[str], clock: Clock, say: Callable[[list[Left]], None]
) -> None:
    while True:
        say(await following.of(jobs))
        await clock.sleep(_BEAT)
