"""The steps of a reload, and when one happens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from agent.clock import Clock
from agent.config.load import Known, Loaded, load
from agent.config.model import Connection, Job, Plan
from agent.config.piece import Piece
from agent.errors import AgentError, ConfigError, Problem
from agent.logs import get_log
from agent.reload.change import Change, diff, settle_into
from agent.reload.fingerprint import FOLDERS, Fingerprint, look
from agent.reload.loaded import later_settings, settings_trouble, with_lent
from agent.reload.settle import AT_THE_START, WRITER, settled
from agent.reload.telling import Telling
from agent.reload.texts import Texts
from agent.reload.world import Memory, Prepared, World
from agent.watch import FolderWatch, Subscription

log = get_log("reload")

RESCAN = 30.0
"""Seconds between looks at all files, whatever events said."""
READ_ALL = 10
"""Every so many of them the files are read, also those that seem to be as they were."""


class Loader(Protocol):
    """`agent.config.load`."""

    def __call__(
        self, folder: Path, *, last_good: Mapping[str, bytes] | None = None, known: Known | None = None
    ) -> Loaded:
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
        self._right: Mapping[str, Piece] = {}
        self._orphans: set[str] = set()
        self._telling = Telling()
        self._first_look: tuple[Fingerprint | None, Fingerprint | None] = None, None
        self._rescans = 0
        self._read_all = False
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
        """Load what the files say now; calls at the same time share one load, and wait for it.

        Whoever asks wants every file to be read.
        """
        self._read_all = True
        return await self._reload_soon(reason)

    async def _reload_soon(self, reason: str) -> Change:
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
                await self._look(reason)
                self._telling.failed("")
            except AgentError as error:
                self._telling.failed(error.message)
            except Exception as error:  # noqa: BLE001 - a bug in one reload must not end all others
                log.bug("the reload failed, all goes on as it was", error)

    async def _look(self, reason: str) -> None:
        """Reload what is new, if anything is."""
        known = self._known()
        seen = await asyncio.to_thread(look, self._folder, known, self._beside)
        if seen != self._fingerprint:
            self._first_look = known, seen
            await self._reload_soon(reason)
        else:
            self._fingerprint = seen  # with the stamps of what has come to rest
            self._read_all = False
            await self._look_at_draining()

    def _known(self) -> Fingerprint:
        return self._fingerprint.unstamped() if self._read_all else self._fingerprint

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
        if not hinted:
            self._rescans += 1
            self._read_all |= self._rescans % READ_ALL == 0
        return "files changed" if hinted else "rescan"

    # ------------------------------------------------------------------------------ how

    async def _reload(self, reason: str, *, first: bool) -> Change:
        was, self._read_all = self._known(), False
        known_then, looked = self._first_look
        self._first_look = None, None
        seen = await settled(
            self._folder,
            was,
            self._clock,
            writer=AT_THE_START if first else WRITER,
            beside=self._beside,
            first=looked if known_then is was else None,
        )
        known = Known(right=self._right, marks=seen.files)
        last_good = self._texts.last_good
        loaded = await asyncio.to_thread(self._loader, self._folder, last_good=last_good, known=known)
        new = self._new_plan(loaded, first=first)
        gone = self._gone(seen, loaded)
        drain = await self._to_drain(new)
        prepared, change, rejected = await self._prepare(new, drain, loaded, first=first)
        # ---------------------------------------- fence: below it nothing can fail
        self._world.swap(prepared)
        self._plan, self._draining = prepared.plan, dict(prepared.draining)
        self._fingerprint, self._right = seen, loaded.right
        # One that is new is looked at by the next rescan, which loads it once more.
        self._beside = loaded.beside
        self.last_change = change
        self.loaded_at = self._clock.now()
        self._telling.reloaded(change, reason)
        await self._remember(loaded, gone, rejected)
        return change

    def _new_plan(self, loaded: Loaded, *, first: bool) -> Plan:
        settings = settings_trouble(loaded)
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
            if path not in seen.files and path not in loaded.kept and path.rpartition("/")[0] in seen.folders
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
            plan = with_lent(replace(new, jobs=jobs), left, self._lent)
            problems = [*loaded.problems, *rejected.values()]
            change = diff(base, plan, problems=problems, kept=sorted(loaded.kept))
            if not first:
                change = replace(change, restart=later_settings(self._plan, loaded))
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
            await self._texts.accept(good, now)
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


def _seen(task: asyncio.Task[Change]) -> None:
    """Whoever asked may have gone: its error is then nobody's, and no reason for asyncio to complain."""
    if not task.cancelled():
        task.exception()
