"""A small world to deliver in: a real spool in a file, a real server, a clock that a test moves."""

from __future__ import annotations

import asyncio
import gzip
from datetime import timedelta

from agent.auth.fixed import NoSession
from agent.config.model import Connection, Delivery, Job, JsonBody, Limits, Schedule, Target, Template, Where
from agent.connections import open_connection
from agent.deliver import Deliverer
from agent.message import Draft
from agent.request import resolve
from agent.spool import Reader, Spool
from tests.support.clock import FakeClock

WHERE = Where(file="jobs/gps.yaml", line=7, column=3, path="target")


def half():
    """In place of random numbers."""
    return 0.5


def template(*parts):
    return Template(parts=parts, where=WHERE)


def a_connection(url, name="platform", **more):
    return Connection(name=name, endpoints={"in": f"{url}/in", "other": f"{url}/other"}, where=WHERE, **more)


def a_job(name="gps", *, delivery=None, connection="platform", endpoint="in", **target):
    return Job(
        name=name,
        schedules=(Schedule(watch=True, where=WHERE),),
        source=None,
        body=JsonBody(),
        target=Target(
            connection=connection,
            endpoint=None if "url" in target else endpoint,
            where=WHERE,
            **{"timeout": timedelta(seconds=20), **target},
        ),
        delivery=delivery or Delivery(),
        file="jobs/gps.yaml",
        sha256="",
        where=WHERE,
    )


def a_draft(text, **more):
    body = text.encode()
    return Draft(
        body=gzip.compress(body, 1, mtime=0),
        size=len(body),
        records=1,
        content_type="application/json",
        **more,
    )


class DeliveryWorld:
    """Everything that one life of delivery needs; `live()` again is a restart."""

    def __init__(self, folder, server, *, clock=None, random=half):
        self.folder = folder
        self.server = server
        self.clock = clock or FakeClock(auto=True)
        self.random = random
        self.spool = Spool.open(folder, max_bytes=1_000_000_000, clock=self.clock)
        self.deliverer = None
        self.connections = []
        self.entries = {}
        self.new_life()

    def new_life(self):
        self.deliverer = Deliverer(self.spool, clock=self.clock, random=self.random)
        loop, deliverer = asyncio.get_running_loop(), self.deliverer
        self.spool.on_append = lambda job: loop.call_soon_threadsafe(deliverer.wake, job)

    async def connect(self, session=None, **more):
        more.setdefault("limits", Limits())
        connection = a_connection(more.pop("url", self.server.url), **more)
        opened = await open_connection(
            connection, lambda _: session or NoSession("platform"), clock=self.clock, random=self.random
        )
        self.connections.append(opened)
        return opened

    def route(self, connection, **more):
        job = a_job(connection=connection.connection.name, **more)
        self.entries[job.name] = (resolve(job, connection.connection), job.delivery, connection)
        self.deliverer.set_routes(self.entries)

    async def spooled(self, *texts, job="gps", **more):
        run = await self.spool.start_run(job, 0.0, "test", "sha")
        return await self.spool.append(run, [a_draft(text, **more) for text in texts])

    async def start(self, **more):
        """One job on one connection, started."""
        connection = await self.connect(**more)
        self.route(connection)
        await self.deliverer.start()
        return connection

    async def settled(self, job="gps"):
        """Until the job has nothing left, whatever it has to wait for in between."""
        while await self.deliverer.drained(job) is not None:  # noqa: ASYNC110 - a wait ends when its time comes
            await asyncio.sleep(0.002)
        # A lane says that its wait is over after the ack, and ends.
        while any(name == job for name, _ in self.deliverer._lanes):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.002)

    async def waits(self, kind, job="gps", lane=0, attempts=0):
        """Until the lane waits for this (after so many attempts), and the wait.

        Also until it sleeps on a clock that the test moves, or is stored where it has no end: before, it
        stores why it waits, and a clock that was moved meanwhile would wake nobody.
        """
        while True:
            for one in self.deliverer.snapshot().waits:
                asleep = self.clock.sleeping or getattr(self.clock, "auto", True)
                if one.until is None:
                    asleep = any(row.kind == kind for row in self.overview(job).waits)
                if (one.kind, one.job, one.lane) == (kind, job, lane) and one.attempts >= attempts and asleep:
                    return one
            await asyncio.sleep(0.002)

    async def asleep(self, count):
        """Until so many sleep on the clock."""
        while self.clock.sleeping < count:  # noqa: ASYNC110 - the clock has no event for it
            await asyncio.sleep(0.002)

    def reader(self):
        return Reader.open(self.folder)

    def overview(self, job="gps"):
        with_all = self.reader()
        return next(one for one in with_all.overview() if one.job == job)

    async def close(self):
        await self.deliverer.stop(0)
        for connection in self.connections:
            await connection.close(0)
        await asyncio.to_thread(self.spool.close)


def sent(requests):
    """The bodies as text, whatever the coding."""
    return [
        (gzip.decompress(one.body) if one.headers.get("Content-Encoding") == "gzip" else one.body).decode()
        for one in requests
    ]
