"""A reload costs what changed: counted in files that are read, rows that are written, routes that are made."""

from __future__ import annotations

import asyncio

import pytest

from agent.errors import StateError
from agent.reload import fingerprint
from agent.reload.fingerprint import Fingerprint
from agent.reload.reloader import READ_ALL, RESCAN
from agent.reload.settle import APART
from tests.support.config_folder import CONNECTION, job_text, write
from tests.support.schedules import until

JOBS = 50


class Counting:
    """A spool that tells which texts were written."""

    def __init__(self, spool):
        self._spool = spool
        self.kept = []

    def __getattr__(self, name):
        return getattr(self._spool, name)

    def keep_config(self, row):
        self.kept.append(row.path)
        return self._spool.keep_config(row)


async def started(house):
    for number in range(JOBS):
        write(house.job(f"j{number}"), job_text(f"j{number}"))
    house.spool = Counting(house.spool)
    house.new_reloader()
    await house.reloader.start()
    house.spool.kept.clear()


async def test_one_changed_file_of_many_is_parsed_and_remembered_alone(house):
    await started(house)
    before, right = house.reloader.plan.jobs, dict(house.reloader._right)
    write(house.job("j7"), job_text("j7", every="5m"))
    change = await house.reloader.reload("test")
    assert change.changed == ("j7",)
    assert house.spool.kept == ["jobs/j7.yaml"]
    again = [path for path, piece in house.reloader._right.items() if right[path] is not piece]
    assert again == ["jobs/j7.yaml"]
    after = house.reloader.plan.jobs
    assert [name for name in after if after[name] is not before[name]] == ["j7"]


async def test_a_connection_that_changed_is_digested_alone_and_its_jobs_stay_what_they_are(house):
    await started(house)
    right = dict(house.reloader._right)
    write(house.folder / "connections/stg.yaml", CONNECTION + "limits: {concurrency: 2}\n")
    change = await house.reloader.reload("test")
    assert (change.connections, change.changed, len(change.unchanged)) == (("stg",), (), JOBS + 2)
    again = [path for path, piece in house.reloader._right.items() if right[path] is not piece]
    assert again == house.spool.kept == ["connections/stg.yaml"]


async def test_a_reload_that_fails_forgets_nothing_of_what_it_has_to_do(house):
    await started(house)
    write(house.job("j7"), job_text("j7", every="5m"))
    house.world.error = StateError("the disk is gone")
    with pytest.raises(StateError):
        await house.reloader.reload("test")
    house.world.error = None
    assert (await house.reloader.reload("test")).changed == ("j7",)
    assert house.spool.kept == ["jobs/j7.yaml"]


class Silent:
    """A watch that never hears of anything."""

    def add(self, folders, on_change):
        return self

    def close(self):
        pass


async def test_what_a_stamp_hides_is_found_by_a_rescan_that_reads_all(house):
    await house.reloader.start()
    live, clock, loads = house.reloader, house.clock, len(house.world.swaps)
    was = live._fingerprint
    live._fingerprint = Fingerprint(
        files={**was.files, "jobs/gps.yaml": "another text 0 644"},
        folders=was.folders,
        rights=was.rights,
        stamps={path: fingerprint._stamp((house.folder / path).lstat()) for path in was.files},
    )
    clock.auto = False
    live.follow(Silent())
    for number in range(1, READ_ALL + 1):
        await until(lambda: clock.sleeping)
        assert len(house.world.swaps) == loads, f"after {number - 1} rescans"
        await clock.advance(RESCAN)
    while len(house.world.swaps) == loads:
        await clock.advance(APART)
        await asyncio.sleep(0.002)
    assert live._fingerprint == was
