"""The engine: what moves data, wired together. The daemon gives it a long life, `push` a short one.

due ─▶ collector ─▶ spool ─▶ deliverer ─▶ target
           │          ▲           │ connections: session, client, limits
           └─ files ──┴─ finisher ◀┘ moves a file when all of it is delivered or refused
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from agent.auth import Session, open_session
from agent.check import check_job
from agent.clock import Clock
from agent.collect import Backfills, Collector
from agent.config import SecretStore
from agent.config.model import AgentSettings, Connection, Job, Plan
from agent.connections import FLIGHT_GRACE, OpenConnection, open_connection
from agent.databases import KnownDatabases
from agent.deliver import Deliverer, RouteEntry
from agent.errors import AgentError, ConfigError, Problem
from agent.finish import Finisher
from agent.limit import Limit
from agent.logs import get_log
from agent.pauses import Pauses
from agent.pull.fetch import LoopFetch
from agent.pull.tools import Tools
from agent.rekey import Custody, take_custody
from agent.reload import Change, JobRejected, Prepared
from agent.render import Context
from agent.routes import Ways
from agent.spool import Spool
from agent.target import Client

log = get_log("engine")

# New texts that are compiled against their source at one load. Beyond that (a first start with thousands
# of jobs) a job that does not fit its file says so at its first run instead.
_MOST_CHECKED = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What a swap puts in place."""

    opened: Mapping[str, OpenConnection]
    routes: Mapping[str, RouteEntry]
    limits: Mapping[str, Limit]


class Engine:
    """Owns spool, connections, collector, deliverer and finisher. Belongs to one event loop."""

    def __init__(
        self, *, custody: Custody, settings: AgentSettings, secrets: SecretStore, clock: Clock
    ) -> None:
        self.spool = spool = custody.spool
        self.custody = custody
        self.changing_key = asyncio.Lock()
        self.settings = settings
        self.connections: dict[str, OpenConnection] = {}
        self._secrets = secrets
        self._clock = clock
        self._routes: Mapping[str, RouteEntry] = {}
        self._closing: dict[asyncio.Task[None], OpenConnection] = {}
        self.finisher = Finisher(spool, clock)
        self.deliverer = Deliverer(spool, clock=clock, random=random.random, settled=self.finisher.wake)
        self._allowed = settings.commands_allow
        self.databases = KnownDatabases(secrets)
        self.collector = Collector(
            spool,
            settings,
            clock,
            on_settled=self.finisher.wake,
            tools=self._tools,
            databases=self.databases,
        )
        self.pauses = Pauses(spool, clock, collecting=self.collector.hold, delivering=self.deliverer.hold)
        self.backfills = Backfills(self.collector, spool, clock)

    @classmethod
    def open(cls, settings: AgentSettings, config: Path, clock: Clock, *, owner: str = "daemon") -> Self:
        """Take the state folder. Blocks. Raises StateError, StateLocked, SecretError."""
        spool = Spool.open(settings.state, max_bytes=settings.spool_max_bytes, clock=clock, owner=owner)
        try:
            credentials = os.environ.get("CREDENTIALS_DIRECTORY")
            custody = take_custody(spool, settings.state, Path(credentials) if credentials else None)
        except BaseException:
            spool.close()
            raise
        secrets = SecretStore(config.absolute())
        return cls(custody=custody, settings=settings, secrets=secrets, clock=clock)

    # ------------------------------------------------------------------------------ life

    async def start(self, only: str = "") -> None:
        """Deliver what lies in the spool, of one job only where it is named; collect when a job is due."""
        loop = asyncio.get_running_loop()
        # The spool calls from its own thread.
        self.spool.on_append = lambda job: _soon(loop, self.deliverer.wake, job)
        await self.pauses.start()
        await self.collector.start()
        await self.finisher.start()
        await self.deliverer.start(only)

    async def stop(self, grace: float) -> None:
        """Both halves at once, then the files, then the sessions: each needs those after it.

        `grace` seconds for what is under way; the sessions have a bound of their own.
        """
        _, cut_off = await asyncio.gather(self.collector.stop(grace), self.deliverer.stop(grace))
        if cut_off:
            log.warning("requests were cut off; they are sent again at the next start", requests=cut_off)
        await self.pauses.stop()
        await self.backfills.close()
        await self.finisher.stop()
        # Those that were replaced a moment ago get the same time for a renewal under way.
        everyone = [*self.connections.values(), *self._closing.values()]
        closing = [connection.close(grace=1.0) for connection in everyone]
        await asyncio.gather(*closing, *self._closing, return_exceptions=True)
        self.spool.on_append = None

    def close(self) -> None:
        """Do what the spool was asked to and let the state folder go. Blocks."""
        self.spool.close()

    def _tools(self) -> Tools:
        """What runs ask for documents with. Connections and what may run are looked up at each use."""

        def connection(name: str) -> Connection | None:
            opened = self.connections.get(name)
            return opened.connection if opened is not None else None

        loop = asyncio.get_running_loop()
        # a lambda: a swap puts other connections in their place
        fetch = LoopFetch(loop, lambda name: self.connections.get(name), self._clock)  # noqa: PLW0108
        return Tools(fetch=fetch, connection=connection, allowed=lambda: self._allowed)

    # ------------------------------------------------------------------------------ the plan

    async def prepare(self, plan: Plan, draining: Mapping[str, Job], change: Change) -> Prepared:
        """Everything that can fail, beside what runs; what fails rejects only the jobs it belongs to."""
        opened: dict[str, OpenConnection] = {}
        unusable: dict[str, Problem] = {}
        try:
            await self._open(plan, opened, unusable)
            rejected = await self._unfit(plan, change)
            ways = Ways(
                plan=plan, current=self.connections, opened=opened, unusable=unusable, before=self._routes
            )
            routes, unready = await asyncio.to_thread(ways.routes, draining)
            limits = await asyncio.to_thread(_limits, plan)
        except BaseException:
            await _close_all(opened)
            raise
        rejected += unready
        if rejected:
            await _close_all(opened)
            opened, routes = {}, {}
        parts = Parts(opened=opened, routes=routes, limits=limits)
        return Prepared(plan=plan, draining=draining, rejected=tuple(rejected), parts=parts)

    async def _open(
        self, plan: Plan, opened: dict[str, OpenConnection], unusable: dict[str, Problem]
    ) -> None:
        for name, connection in plan.connections.items():
            try:
                if (fresh := await self.opened(connection)) is not None:
                    opened[name] = fresh
            except Exception as error:  # noqa: BLE001 - one connection's fault must not hold all others
                unusable[name] = _why_not(connection, error)
                if name in self.connections:
                    log.error(
                        "a connection cannot be opened as it is written now; the one before goes on",
                        connection=name,
                        problem=str(unusable[name]),
                    )

    def swap(self, prepared: Prepared) -> None:
        """From the old plan to the new one. Cannot fail and waits for nothing."""
        assert isinstance(prepared.parts, Parts)
        plan, opened = prepared.plan, prepared.parts.opened
        before = self.connections
        after = {name: opened.get(name) or before.get(name) for name in plan.connections}
        self.connections = {name: connection for name, connection in after.items() if connection is not None}
        for name, connection in opened.items():
            if name in before:
                connection.inherit(before[name])
        self._routes = prepared.parts.routes
        self.deliverer.set_routes(self._routes)
        self._allowed = plan.settings.commands_allow
        self.databases.set(plan.databases)
        self.collector.set_jobs(plan.jobs)
        self.spool.limits.total = Limit(max_messages=plan.settings.spool_max_messages)
        self.spool.limits.jobs = prepared.parts.limits
        self.pauses.set_plan(plan, prepared.draining)
        self.finisher.set_jobs({**plan.jobs, **prepared.draining})
        for connection in self.connections.values():
            connection.announce()
        for name, connection in before.items():
            if self.connections.get(name) is not connection:
                # Requests in flight end on the old connection; nobody waits for them here.
                connection.retire()
                task = asyncio.create_task(connection.close(flight=FLIGHT_GRACE), name=f"close {name}")
                self._closing[task] = connection
                task.add_done_callback(self._closing.pop)

    async def opened(self, connection: Connection) -> OpenConnection | None:
        """A new connection, or None when the one that is open is as it should be. Raises ConfigError."""
        current = self.connections.get(connection.name)
        if current is not None and current.connection == connection:
            return None

        def sign_in(client: Client) -> Session:
            vault = self.custody.vault
            return open_session(connection, self._secrets, self.spool, vault, self._clock, client)

        return await open_connection(
            connection, sign_in, clock=self._clock, random=random.random, secrets=self._secrets
        )

    async def _unfit(self, plan: Plan, change: Change) -> list[JobRejected]:
        """New and changed jobs whose expressions do not fit their source. A text accepted once stays so."""
        fresh = [plan.jobs[name] for name in (*change.added, *change.changed) if name in plan.jobs]
        if not fresh:
            return []
        accepted = await self.spool.config_texts()
        fresh = [job for job in fresh if job.sha256 not in accepted][:_MOST_CHECKED]
        return await asyncio.to_thread(self._check, fresh)

    def _check(self, jobs: list[Job]) -> list[JobRejected]:
        temp = self.settings.state / "tmp"
        with contextlib.suppress(OSError):  # a full disk: those that need the folder say so
            temp.mkdir(mode=0o700, exist_ok=True)
        context = Context(
            temp=temp,
            memory=self.settings.collect_memory,
            threads=self.settings.collect_threads,
            clock=self._clock,
            cancelled=lambda: False,
        )
        found = []
        for job in jobs:
            try:
                problems = check_job(job, context)
            except (AgentError, OSError) as error:
                reason = error.message if isinstance(error, AgentError) else str(error)
                log.warning("a job could not be checked against its source", job=job.name, reason=reason)
                continue
            wrong = next((problem for problem in problems if problem.severity == "error"), None)
            if wrong is not None:
                found.append(JobRejected(job=job.name, problem=wrong))
        return found


def _limits(plan: Plan) -> dict[str, Limit]:
    return {name: job.spool for name, job in plan.jobs.items() if job.spool}


def _why_not(connection: Connection, error: Exception) -> Problem:
    """Why a connection cannot be opened."""
    if isinstance(error, ConfigError):
        return error.problems[0]
    log.bug("opening a connection failed", error, connection=connection.name)
    where = connection.where
    return Problem(
        file=where.file,
        line=where.line,
        column=where.column,
        message=f"a fault of push-agent: {type(error).__name__}: {error}",
        hint="its log has the traceback",
    )


async def _close_all(opened: Mapping[str, OpenConnection]) -> None:
    """Connections that nobody came to use."""
    await asyncio.gather(*(connection.close(grace=0) for connection in opened.values()))


def _soon(loop: asyncio.AbstractEventLoop, wake: object, job: str) -> None:
    assert callable(wake)
    if not loop.is_closed():
        loop.call_soon_threadsafe(wake, job)
