"""What is paused, for how long, what follows from it, and that a restart forgets nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.errors import AgentError, UsageError
from agent.pauses.wish import TOLD, Wish, jobs_meant
from agent.spool import LaneWait, Reader
from tests.support.delivery import a_job
from tests.support.schedules import until

GPS = Wish(jobs=("gps",), reason="their release")


async def test_a_paused_job_is_neither_collected_nor_delivered_and_both_go_on_again(world):
    await world.pauses.pause(GPS)
    assert world.collecting == world.delivering == {"gps": "job gps is paused: their release"}
    assert world.pauses.is_collecting_paused("gps")
    assert not world.pauses.is_collecting_paused("planning")
    resumed = await world.pauses.resume(Wish(jobs=("gps",)))
    assert [row.part for row in resumed] == ["collecting", "delivering"]
    assert (world.collecting, world.delivering, world.resumed) == ({}, {}, ["gps"])


async def test_a_pause_survives_a_restart(world, caplog):
    caplog.set_level("INFO", "push_agent")
    await world.pauses.pause(GPS)
    await world.live()
    assert world.collecting == {"gps": "job gps is paused: their release"}
    assert "is still paused" in caplog.text
    with Reader.open(world.folder) as reader:
        assert [(row.name, row.part, row.reason) for row in reader.pauses()] == [
            ("gps", "collecting", "their release"),
            ("gps", "delivering", "their release"),
        ]


async def test_one_half_can_be_paused_and_resumed_alone(world):
    await world.pauses.pause(replace(GPS, parts=("collecting",)))
    assert (list(world.collecting), list(world.delivering)) == (["gps"], [])
    await world.pauses.pause(replace(GPS, parts=("delivering",)))
    await world.pauses.resume(Wish(jobs=("gps",), parts=("collecting",)))
    assert (list(world.collecting), list(world.delivering)) == ([], ["gps"])


async def test_what_is_paused_twice_began_with_the_first_and_ends_with_the_second(world):
    assert len(await world.pauses.pause(GPS)) == 2
    began = world.clock.now()
    await world.clock.advance(100)
    assert await world.pauses.pause(Wish(jobs=("gps",), seconds=60)) == []
    [row, _] = world.pauses.rows()
    assert (row.since, row.until, row.reason) == (began, began + 160, "their release")
    await world.pauses.resume(Wish(jobs=("gps",)))
    assert await world.pauses.resume(Wish(jobs=("gps",))) == []


async def test_a_pause_for_a_while_ends_by_itself(world, caplog):
    caplog.set_level("INFO", "push_agent")
    await world.pauses.pause(replace(GPS, seconds=90))
    await world.clock.advance(80)
    assert world.parts
    await world.clock.advance(11)
    await until(lambda: not world.parts)
    assert (world.collecting, world.resumed) == ({}, ["gps"])
    assert "a pause is over" in caplog.text
    with Reader.open(world.folder) as reader:
        assert reader.pauses() == []


async def test_a_short_pause_ends_in_time_beside_a_long_one(world):
    await world.pauses.pause(replace(GPS, seconds=7200))
    await world.clock.advance(1)
    await world.pauses.pause(Wish(jobs=("planning",), seconds=5))
    await world.clock.advance(6)
    await until(lambda: "planning" not in world.collecting)
    assert list(world.collecting) == ["gps"]


async def test_a_pause_that_ended_while_nothing_ran_is_over_at_the_start(world):
    await world.pauses.pause(replace(GPS, seconds=3600))
    world.clock.suspend(4000)
    await world.live()
    assert world.parts == []
    assert world.collecting == {}


async def test_a_machine_that_slept_ends_a_pause_within_half_a_minute(world):
    await world.pauses.pause(replace(GPS, seconds=3600))
    world.clock.suspend(4000)
    await world.clock.advance(31)
    await until(lambda: not world.parts)


async def test_a_paused_connection_holds_what_is_delivered_over_it_and_nothing_else(world):
    await world.pauses.pause(Wish(connections=("platform",), reason="patches"))
    assert world.delivering == dict.fromkeys(("gps", "planning"), "connection platform is paused: patches")
    assert world.collecting == {}, "no source is read over it: the spool takes what comes"
    world.pauses.set_plan(replace(world.plan, jobs={"devices": world.plan.jobs["devices"]}), {})
    assert world.delivering == {}
    world.pauses.set_plan(replace(world.plan, jobs={}), {"gps": world.plan.jobs["gps"]})
    assert list(world.delivering) == ["gps"], "a removed job with messages is held too"


async def test_the_pause_of_a_job_that_is_removed_waits_for_it(world):
    await world.pauses.pause(GPS)
    world.pauses.set_plan(replace(world.plan, jobs={}), {})
    assert list(world.delivering) == ["gps"]
    world.pauses.set_plan(world.plan, {})
    assert list(world.collecting) == ["gps"]
    world.pauses.set_plan(replace(world.plan, jobs={}), {})
    assert len(await world.pauses.resume(Wish(jobs=("gps",)))) == 2


@pytest.mark.parametrize(
    ("wish", "said", "hint"),
    [
        (Wish(jobs=("gsp",)), "there is no job 'gsp'", "did you mean gps?"),
        (Wish(jobs=("x",)), "there is no job 'x'", "the jobs there are: devices, gps, planning"),
        (Wish(jobs=("other",)), "there is no job", "there is a connection of that name: --connection other"),
        (Wish(connections=("plattform",)), "there is no connection 'plattform'", "did you mean platform?"),
        (Wish(connections=("gps",)), "there is no connection", "there is a job of that name: gps"),
    ],
)
async def test_an_unknown_name_is_told_with_what_was_perhaps_meant(world, wish, said, hint):
    for ask in (world.pauses.pause, world.pauses.resume):
        with pytest.raises(UsageError, match=said) as told:
            await ask(wish)
        assert told.value.hint == hint
    assert world.parts == []


async def test_all_means_all_jobs_when_it_pauses_and_all_that_is_paused_when_it_resumes(world):
    await world.pauses.pause(Wish(connections=("other",)))
    await world.pauses.pause(Wish(everything=True, parts=("delivering",)))
    assert set(world.delivering) == {"devices", "gps", "planning"}
    await world.pauses.resume(Wish(everything=True))
    assert (world.parts, world.delivering) == ([], {})


async def test_of_very_many_pauses_the_log_names_the_first(world, caplog):
    caplog.set_level("INFO", "push_agent")
    jobs = {f"j{number:03}": a_job(f"j{number:03}") for number in range(30)}
    world.pauses.set_plan(replace(world.plan, jobs=jobs), {})
    await world.pauses.pause(Wish(everything=True, parts=("collecting",)))
    said = [record.getMessage() for record in caplog.records]
    assert said == ["paused"] * TOLD + ["paused: and more"]


async def test_the_control_socket_is_answered_with_what_changed_and_all_that_is_paused(world):
    answer = await world.pauses.answer({"action": "pause", "jobs": ["gps"], "parts": ["delivering"]})
    assert [(row["name"], row["part"], row["until_at"]) for row in answer["changed"]] == [
        ("gps", "delivering", None)
    ]
    again = await world.pauses.answer({"action": "pause", "jobs": ["gps"], "parts": ["delivering"]})
    assert (again["changed"], len(again["paused"])) == ([], 1)
    for wrong in (
        {"action": "stop"},
        {"action": "pause", "parts": ["x"]},
        {"action": "pause", "seconds": "2"},
    ):
        with pytest.raises(AgentError):
            await world.pauses.answer(wrong)


async def test_what_a_drain_means_is_jobs_by_name_by_the_connection_they_deliver_over_or_all(world):
    assert jobs_meant(Wish(jobs=("gps",)), world.plan, {}) == ("gps",)
    assert jobs_meant(Wish(connections=("platform",)), world.plan, {}) == ("gps", "planning")
    assert set(jobs_meant(Wish(everything=True), world.plan, {})) == {"devices", "gps", "planning"}


async def test_a_resumed_lane_leaves_no_row_that_says_it_is_paused(world):
    await world.pauses.pause(GPS)
    wait = LaneWait(job="gps", lane=0, kind="paused", reason="x", since=0.0, until=None, attempts=0)
    await world.spool.set_wait(wait)
    await world.pauses.resume(Wish(jobs=("gps",)))
    assert await world.spool.waits() == []
