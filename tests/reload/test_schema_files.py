"""A schema that a job names belongs to the job: a change of it is one, and a bad one keeps the good one."""

from __future__ import annotations

import asyncio

import pytest

from agent.errors import Problem
from agent.reload.world import JobRejected
from tests.support.config_folder import write

JOB = """\
job: gps
schedule: {every: 10m}
source: {type: csv, path: /var/spool/gps/*.csv}
body: {format: json, per: record, map: {id: =id}, schema: SCHEMA}
target: {connection: stg, endpoint: planning}
"""
GOOD, OTHER, BAD = '{"type": "object"}', '{"type": ["object", "null"]}', '{"type": "objekt"}'


@pytest.fixture
def schema(house):
    path = house.folder / "schemas/event.json"
    path.parent.mkdir()
    write(path, GOOD)
    write(house.job("gps"), JOB.replace("SCHEMA", "schemas/event.json"))
    return path


def text_of(house):
    return house.reloader.plan.jobs["gps"].body.contract.files[0].text.decode()


async def test_another_schema_is_a_changed_job(house, schema):
    await house.reloader.start()
    write(schema, OTHER)
    change = await house.reloader.reload("test")
    assert str(change) == "1 changed, 1 unchanged"
    assert text_of(house) == OTHER
    assert str(await house.reloader.reload("test")) == "2 unchanged"


async def test_a_bad_schema_keeps_the_job_with_its_last_good_one_also_over_a_restart(house, schema):
    await house.reloader.start()
    write(schema, BAD)
    change = await house.reloader.reload("test")
    assert change.kept == ("jobs/gps.yaml",)
    assert "event.json: is no JSON Schema" in change.rejected[0].message
    assert text_of(house) == GOOD
    await house.new_reloader().start()
    assert house.world.jobs == ["gps", "planning"]
    assert text_of(house) == GOOD
    write(schema, OTHER)
    assert str(await house.reloader.reload("test")) == "1 changed, 1 unchanged"


async def test_a_job_keeps_its_own_last_good_schema_while_another_is_right_with_the_new_one(house, schema):
    write(house.job("planning"), JOB.replace("gps", "planning").replace("SCHEMA", "schemas/event.json"))
    await house.reloader.start()
    write(house.job("gps"), JOB.replace("SCHEMA", "schemas/event.json") + "typo: x\n")
    write(schema, OTHER)
    change = await house.reloader.reload("test")
    assert (change.changed, change.kept) == (("planning",), ("jobs/gps.yaml",))
    assert text_of(house) == GOOD


async def test_a_deleted_job_with_messages_is_drained_although_its_schema_is_gone_too(house, schema):
    await house.reloader.start()
    await house.spool_message("gps")
    house.job("gps").unlink()
    schema.unlink()
    await house.reloader.reload("test")
    await house.new_reloader().start()
    assert list(house.reloader.draining) == ["gps"]


async def test_schemas_that_no_job_names_any_more_are_forgotten(house, schema):
    await house.reloader.start()
    assert [row.path for row in await house.spool.config_rows() if "#" in row.path] == [
        f"jobs/gps.yaml#{schema}"
    ]
    write(house.job("gps"), JOB.replace(", schema: SCHEMA", ""))
    await house.reloader.reload("test")
    assert [row.path for row in await house.spool.config_rows() if "#" in row.path] == []


async def test_a_job_that_the_world_rejects_keeps_the_schema_of_its_last_good_text(house, schema):
    await house.reloader.start()
    problem = Problem(file="jobs/gps.yaml", line=7, message="the secret is missing")
    prepare = house.world.prepare

    async def reject_the_new_one(plan, draining, change):
        new = plan.jobs["gps"].body.contract is None
        house.world.reject = {"gps": JobRejected(job="gps", problem=problem)} if new else {}
        return await prepare(plan, draining, change)

    house.world.prepare = reject_the_new_one
    write(house.job("gps"), JOB.replace(", schema: SCHEMA", ""))
    await house.reloader.reload("test")
    assert text_of(house) == GOOD
    assert f"jobs/gps.yaml#{schema}" in [row.path for row in await house.spool.config_rows()]


async def test_a_changed_schema_is_found_without_being_told(live):
    path = live.folder / "schemas/event.json"
    path.parent.mkdir()
    write(path, GOOD)
    write(live.job("gps"), JOB.replace("SCHEMA", "schemas/event.json"))
    await live.reloader.reload("test")
    write(path, OTHER)
    live.reloader._hinted.set()  # what the rescan does every 30 s
    while text_of(live) != OTHER:  # noqa: ASYNC110 - nobody tells when; the test has its time limit
        await asyncio.sleep(0.05)
    assert live.reloader.last_change.changed == ("gps",)
