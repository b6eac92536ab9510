"""The steps of a reload, and when one happens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from agent.clock import Clock
from agent.config.load import Loaded, load
from agent.config.model import Connection, Job, Plan
from agent.errors import AgentError, ConfigError, Problem
from agent.logs import get_log
from agent.reload.change import Change, diff, settle_into
from agent.reload.fingerprint import FOLDERS, Fingerprint, look
from agent.reload.settle import AT_THE_START, WRITER, settled
from agent.reload.texts import Texts
from agent.reload.world import Memory, Prepared, World
from agent.watch import FolderWatch, Subscription

log = get_log("reload")

RESCAN = 30.0
"""Seconds between looks at the content of all files, whatever events said."""


class Loader(Protocol):
    """`agent.config.load`."""

    def __call__(self, folder: Path, *, last_good: Mapping[str, bytes] | None = None) -> Loaded:
        """Blocking."""


class Reloader:
    """Keeps `plan` what the files say. Call all of it from the event loop."""

    def __init__(
        self, config_dir: Path, world: World, memory: Memory, clock: Clock, *, loader: Loader = load
    ) -> None:
        self._folder = config_dir
        self._world = world
        self._memory = memory
        self._clock = clock
        self._loader = loader
        self._texts = Texts(memory, config_dir.absolute())
        self._fingerprint = Fingerprint()
        self._beside: frozenset[str] = frozenset()
        self._plan = Plan()
        self._draining: dict[str, Job] = {}
        self._waiting: frozenset[str] = frozenset()
        self._lent: dict[str, Connection] = {}
        self._told: frozenset[Problem] = frozenset()
        self._told_later: tuple[str, ...] = ()
        self._orphans: set[str] = set()
        self._failing = ""
        self._running = asyncio.Lock()
        self._queued: asyncio.Task[Change] | None = None
        self._hinted = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._subscription: Subscription | None = None
        self.last_change = Change()
        """What the last reload did."""
        self.loaded_at: float | None = None
        """Wall clock; when that was."""

    @property
    def plan(self) -> Plan:
        """What runs."""
        return self._plan

    @property
    def draining(self) -> Mapping[str, Job]:
        """Jobs that are gone and still have messages in the spool."""
        return self._draining

    # ------------------------------------------------------------------------------ when

    async def start(self) -> Change:
        """The first load. Raises ConfigError when agent.yaml, or the folder, is of no use at all."""
        await self._texts.recall()
        async with self._running:
            return await self._reload("start", first=True)

    def follow(self, watch: FolderWatch) -> None:
        """Reload by itself from now on: after file events, and after a rescan that found a change."""
        folders = [self._folder / place for place in FOLDERS]
        self._subscription = watch.add(folders, self._hinted.set)
        self._following = asyncio.get_running_loop().create_task(self._follow(), name="reload: follow")

    async def close(self) -> None:
        """No more reloads by itself. Twice is fine."""
        if self._subscription is not None:
            self._subscription.close()
        for task in (self._following, self._queued):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._following = None

    async def reload(self, reason: str) -> Change:
        """Load what the files say now; calls at the same time share one load, and wait for it."""
        if self._queued is None:
            self._queued = asyncio.get_running_loop().create_task(self._in_turn(reason), name="reload")
            self._queued.add_done_callback(_seen)
        return await asyncio.shield(self._queued)

    async def _in_turn(self, reason: str) -> Change:
        async with self._running:
            # Whoever asks from here on may have changed a file that was read already.
            self._queued = None
            return await self._reload(reason, first=False)

    async def _follow(self) -> None:
        while True:
            reason = await self._hint_or_rescan()
            try:
                seen = await asyncio.to_thread(look, self._folder, self._fingerprint.files, self._beside)
                if seen != self._fingerprint:
                    await self.reload(reason)
                else:
                    await self._look_at_draining()
                self._failing = ""
            except AgentError as error:
                if error.message != self._failing:
                    log.warning("the reload failed, all goes on as it was", reason=error.message)
                self._failing = error.message
            except Exception as error:  # noqa: BLE001 - a bug in one reload must not end all others
                log.bug("the reload failed, all goes on as it was", error)

    async def _hint_or_rescan(self) -> str:
        timer = asyncio.ensure_future(self._clock.sleep(RESCAN))
        hint = asyncio.ensure_future(self._hinted.wait())
        try:
            await asyncio.wait((timer, hint), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            hint.cancel()
        hinted = self._hinted.is_set()
        self._hinted.clear()
        return "files changed" if hinted else "rescan"

    # ------------------------------------------------------------------------------ how

    async def _reload(self, reason: str, *, first: bool) -> Change:
        writer = AT_THE_START if first else WRITER
        seen = await settled(self._folder, self._fingerprint, self._clock, writer=writer, beside=self._beside)
        loaded = await asyncio.to_thread(self._loader, self._folder, last_good=self._texts.last_good)
        new = self._new_plan(loaded, first=first)
        gone = self._gone(seen, loaded)
        drain = await self._to_drain(new)
        prepared, change, rejected = await self._prepare(new, drain, loaded, first=first)
        # ---------------------------------------- fence: below it nothing can fail
        self._world.swap(prepared)
        self._plan, self._draining = prepared.plan, dict(prepared.draining)
        self._fingerprint = seen
        self._beside = (
            loaded.beside
        )  # one that is new is looked at by the next rescan, which loads it once more
        self.last_change = change
        self.loaded_at = self._clock.now()
        self._tell(change, reason)
        await self._remember(loaded, gone, rejected)
        return change

    def _new_plan(self, loaded: Loaded, *, first: bool) -> Plan:
        settings = _settings_trouble(loaded)
        if first and (settings or (loaded.errors and not loaded.files and not loaded.kept)):
            raise ConfigError(settings or loaded.errors)
        if first:
            return loaded.plan
        plan = replace(loaded.plan, settings=self._plan.settings) if settings else loaded.plan
        return settle_into(self._plan, plan)

    def _gone(self, seen: Fingerprint, loaded: Loaded) -> list[str]:
        """Files that were deleted: not those of a folder that is not there as a whole."""
        return [
            path
            for path in self._texts.last_good
            if path not in seen.files and path not in loaded.kept and _folder_of(path) in seen.folders
        ]

    async def _to_drain(self, new: Plan) -> dict[str, Job]:
        """Jobs that are not in the plan, while the spool holds messages of them."""
        self._waiting = waiting = frozenset(job for job, _ in await self._memory.lanes()) - set(new.jobs)
        before = {**self._plan.jobs, **self._draining}
        lent = {**self._texts.connections(), **self._plan.connections, **new.connections}
        self._lent = lent
        found: dict[str, Job] = {}
        for name in sorted(waiting):
            job = before.get(name) or self._texts.job(name, lent)
            if job is not None:
                found[name] = job
            elif name not in self._orphans:
                self._orphans.add(name)
                log.warning("messages of a job whose text is lost wait in the spool", job=name)
        return found

    async def _prepare(
        self, new: Plan, drain: Mapping[str, Job], loaded: Loaded, *, first: bool
    ) -> tuple[Prepared, Change, frozenset[str]]:
        """Until the world can prepare all that is left; what it rejects stays as it was."""
        rejected: dict[str, Problem] = {}
        dropped: set[str] = set()
        base = Plan(settings=new.settings) if first else self._plan
        while True:
            jobs = {name: job for name, job in new.jobs.items() if name not in dropped}
            jobs.update({name: self._plan.jobs[name] for name in rejected if name not in dropped})
            left = {name: job for name, job in drain.items() if name not in dropped}
            plan = _with_lent(replace(new, jobs=jobs), left, self._lent)
            problems = [*loaded.problems, *rejected.values()]
            change = diff(base, plan, problems=problems, kept=sorted(loaded.kept))
            if not first:
                change = replace(change, restart=_later(self._plan, loaded))
            prepared = await self._world.prepare(plan, left, change)
            if not prepared.rejected:
                return prepared, change, frozenset(rejected)
            for each in prepared.rejected:
                # Its old version goes on, unless that is what was rejected or there is none. One that is
                # drained has no other: its messages wait until it can be prepared again.
                old = self._plan.jobs.get(each.job)
                if each.job in drain or each.job in rejected or old is None or old is jobs.get(each.job):
                    dropped.add(each.job)
                rejected.setdefault(each.job, each.problem)

    async def _remember(self, loaded: Loaded, gone: list[str], rejected: frozenset[str]) -> None:
        now = self._clock.now()
        good = {
            path: accepted
            for path, accepted in loaded.accepted.items()
            if not (accepted.kind in {"job", "schema"} and accepted.name in rejected)
        }
        try:
            for path in gone:
                await self._texts.remove(path, now)
            for path, accepted in good.items():
                await self._texts.accept(path, accepted, now)
            await self._texts.tidy(good)
            await self._texts.forget(self._waiting, now)
        except AgentError as error:
            log.warning("the last good texts cannot be remembered", reason=error.message)

    async def _look_at_draining(self) -> None:
        """Deleted jobs that are all delivered are let go; a run that ended late may have added some."""
        waiting = {job for job, _ in await self._memory.lanes()} - set(self._plan.jobs)
        now = {job for job in waiting if job in self._draining or self._texts.knows(job)}
        if now != set(self._draining):
            for job in sorted(set(self._draining) - now):
                log.info("a deleted job is all delivered", job=job)
            await self.reload("deleted jobs")

    def _tell(self, change: Change, reason: str) -> None:
        """Once per change and once per problem, however often the same is found."""
        problems = frozenset(change.rejected)
        for problem in change.rejected:
            if problem not in self._told:
                log.warning("rejected", problem=str(problem))
        if change.restart and change.restart != self._told_later:
            log.warning("takes effect after a restart", settings=", ".join(change.restart))
        if not change.is_empty or problems != self._told or reason == "start":
            log.info("reloaded", change=str(change), reason=reason)
        self._told, self._told_later = problems, change.restart


def _seen(task: asyncio.Task[Change]) -> None:
    """Whoever asked may have gone: its error is then nobody's, and no reason for asyncio to complain."""
    if not task.cancelled():
        task.exception()


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def _settings_trouble(loaded: Loaded) -> tuple[Problem, ...]:
    """What is wrong with agent.yaml, when there is no text of it to go by."""
    names = {"agent.yaml", "agent.yml"}
    if names & (set(loaded.accepted) | set(loaded.kept)):
        return ()
    return tuple(each for each in loaded.errors if Path(each.file).name in names)


def _with_lent(plan: Plan, drain: Mapping[str, Job], lent: Mapping[str, Connection]) -> Plan:
    """The connections that only draining jobs still need stay in the plan."""
    needed = {job.target.connection for job in [*drain.values(), *plan.jobs.values()]}
    missing = {name: lent[name] for name in sorted(needed - set(plan.connections)) if name in lent}
    return replace(plan, connections={**plan.connections, **missing}) if missing else plan


def _later(old: Plan, loaded: Loaded) -> tuple[str, ...]:
    return () if _settings_trouble(loaded) else diff(old, loaded.plan).restart
