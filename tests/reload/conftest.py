from __future__ import annotations

import asyncio

import pytest

from agent.clock import SystemClock
from agent.message import Draft
from agent.reload import Prepared, Reloader
from agent.spool import Spool
from agent.watch import FolderWatch
from tests.support.clock import FakeClock
from tests.support.config_folder import make_folder


class World:
    """A world that keeps what it was given."""

    def __init__(self):
        self.swaps = []
        self.changes = []
        self.reject = {}
        self.error = None

    async def prepare(self, plan, draining, change):
        if self.error:
            raise self.error
        self.changes.append(change)
        rejected = tuple(self.reject[name] for name in (*plan.jobs, *draining) if name in self.reject)
        return Prepared(plan=plan, draining=draining, rejected=rejected)

    def swap(self, prepared):
        assert not prepared.rejected
        self.swaps.append(prepared)

    @property
    def jobs(self):
        return sorted(self.swaps[-1].plan.jobs)


class House:
    """A config folder, a real spool, a world, and one reloader after the other."""

    def __init__(self, root, *names, clock=None):
        self.folder = make_folder(root, *names)
        self.clock = clock or FakeClock(auto=True)
        self.spool = Spool.open(root / "state", max_bytes=100_000_000, clock=self.clock)
        self.world = World()
        self.watch = None
        self.reloader = self.new_reloader()

    def new_reloader(self):
        self.reloader = Reloader(self.folder, self.world, self.spool, self.clock)
        return self.reloader

    def job(self, name):
        return self.folder / "jobs" / f"{name}.yaml"

    async def follow(self):
        self.watch = FolderWatch(SystemClock(), check=0.2)
        await self.watch.start()
        self.reloader.follow(self.watch)

    async def spool_message(self, job):
        run = await self.spool.start_run(job, 0.0, "every", "sha")
        draft = Draft(body=b"x", size=1, records=1, content_type="text/csv")
        await self.spool.append(run, [draft])

    async def close(self):
        await self.reloader.close()
        if self.watch is not None:
            await self.watch.close()
        await asyncio.to_thread(self.spool.close)


@pytest.fixture
async def house(tmp_path):
    made = House(tmp_path, "gps", "planning")
    yield made
    await made.close()


@pytest.fixture
async def live(tmp_path):
    """One that follows its files, on the real clock."""
    made = House(tmp_path, "gps", "planning", clock=SystemClock())
    await made.reloader.start()
    await made.follow()
    yield made
    await made.close()
