from __future__ import annotations

import asyncio

import pytest

from agent.config.model import Plan
from agent.pauses import Pauses
from agent.spool import Spool
from tests.support.clock import FakeClock
from tests.support.delivery import a_connection, a_job


class PausesWorld:
    """Pauses over a real spool; `live()` again is a restart."""

    def __init__(self, folder):
        self.folder = folder
        self.clock = FakeClock()
        self.spool = None
        self.pauses = None
        self.collecting = {}
        self.delivering = {}
        self.resumed = []
        jobs = {name: a_job(name) for name in ("gps", "planning")}
        jobs["devices"] = a_job("devices", connection="other")
        connections = {name: a_connection("http://127.0.0.1:9", name) for name in ("platform", "other")}
        self.plan = Plan(jobs=jobs, connections=connections)

    async def live(self):
        await self.close()
        self.spool = await asyncio.to_thread(
            Spool.open, self.folder, max_bytes=1_000_000_000, clock=self.clock
        )

        def collecting(held):
            self.collecting = {job: row.said for job, row in held.items()}

        def delivering(held):
            self.delivering = {job: row.said for job, row in held.items()}

        self.pauses = Pauses(self.spool, self.clock, collecting=collecting, delivering=delivering)
        self.pauses.on_resumed = self.resumed.append
        self.pauses.set_plan(self.plan, {})
        await self.pauses.start()

    async def close(self):
        if self.spool is not None:
            await self.pauses.stop()
            await asyncio.to_thread(self.spool.close)

    @property
    def parts(self):
        return [(row.name, row.part) for row in self.pauses.rows()]


@pytest.fixture
async def world(tmp_path):
    world = PausesWorld(tmp_path / "state")
    await world.live()
    yield world
    await world.close()
