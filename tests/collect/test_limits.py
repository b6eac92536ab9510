"""Collecting at the limits of the spool: it waits, says why, and goes on by itself; others go on meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agent.clock import SystemClock
from agent.collect import Collector
from agent.config.model import AgentSettings, Schedule
from agent.limit import Limit
from agent.spool import Reader
from tests.support.collecting import csv_text, job_of
from tests.support.schedules import WHERE, until
from tests.support.spool import receipt


def deliver(place, job="j", most=100_000):
    """What the target takes now; the bodies."""
    messages = place.spool.oldest(job, 0, limit=most, max_bytes=10**9).result()[:most]
    for message in messages:
        place.spool.ack(message, receipt(message)).result()
    return len(messages)


def runs(place, job="j"):
    with Reader.open(place.temp.parent / "state") as reader:
        return [(run.state, run.trigger, run.reason) for run in reversed(reader.runs(job))]


def test_at_its_limit_a_run_waits_says_why_and_goes_on_by_itself(place, inbox, caplog):
    caplog.set_level("INFO", "push_agent")
    place.spool.limits.jobs = {"j": Limit(max_messages=3)}
    for number in range(8):
        (inbox / f"{number}.txt").write_text(f"{number}")
    seen = []

    def room():
        seen.append(len(place.visible()))
        deliver(place, most=1)
        return False

    place.hands.on_pause = room
    result = place.run(job_of("file", inbox / "*.txt"))
    assert (result.state, result.messages) == ("done", 8)
    assert seen == [3] * 5, "never more than its limit"
    assert "waiting: spool is full: 3 of 3 messages of job j" in place.hands.said
    assert "collecting waits: the spool is full" in caplog.text
    assert "the spool has room again" in caplog.text
    assert place.visible() == [b"5", b"6", b"7"]


def test_a_held_file_that_is_larger_than_its_jobs_limit_waits_for_the_others_and_then_passes(place, inbox):
    place.spool.limits.jobs = {"j": Limit(max_messages=5)}
    (inbox / "a.csv").write_text(csv_text(30))
    (inbox / "b.csv").write_text(csv_text(200, 31))
    waits = []

    def room():
        waits.append(len(place.visible()))
        deliver(place, most=1)
        return False

    place.hands.on_pause = room
    result = place.run(job_of("csv", inbox / "*.csv"))
    assert (result.state, result.records) == ("done", 230)
    assert waits == [3, 2, 1]
    assert place.ids() == list(range(31, 231))


def test_a_stop_while_its_limit_is_reached_is_a_stop_and_the_next_run_goes_on(place, inbox):
    place.spool.limits.jobs = {"j": Limit(max_messages=2)}
    for number in range(4):
        (inbox / f"{number}.txt").write_text(f"{number}")
    place.hands.on_pause = lambda: True
    job = job_of("file", inbox / "*.txt")
    assert place.run(job).state == "stopped"
    assert place.visible() == [b"0", b"1"]
    deliver(place)
    assert place.run(job).messages == 2
    assert place.visible() == [b"2", b"3"]


@pytest.fixture
async def collector(place, tmp_path):
    settings = AgentSettings(state=tmp_path / "state", collect_memory=200_000_000, collect_concurrency=1)
    collector = Collector(place.spool, settings, SystemClock(), poll=0.01)
    await collector.start()
    yield collector
    assert await collector.stop(10)


async def test_a_job_at_its_limit_holds_no_slot_that_another_job_could_use(place, collector, inbox):
    place.spool.limits.jobs = {"j": Limit(max_messages=1)}
    for number in range(3):
        (inbox / f"{number}.txt").write_text(f"{number}")
    (inbox / "k").mkdir()
    (inbox / "k/1.txt").write_text("k")
    j, k = job_of("file", inbox / "*.txt"), job_of("file", inbox / "k/*.txt", name="k")
    collector.set_jobs({"j": j, "k": k})
    collector.due("j", 1_800_000_000.0, "every")
    await until(lambda: collector.doing("j").startswith("waiting: spool is full"))
    assert (await collector.run_now("k")).messages == 1, "although one run at a time may work"
    collector.due("j", 1_800_000_030.0, "every")
    while collector.doing("j"):
        await asyncio.to_thread(deliver, place)
    done, skipped = (next(run for run in runs(place) if run[0] == state) for state in ("done", "skipped"))
    assert done == ("done", "every", "")
    assert "was still collecting (waiting: spool is full: 1 of 1 messages of job j)" in skipped[2]


async def test_a_run_of_a_job_that_is_full_already_takes_no_thread_and_is_recorded_and_made_up_for(
    place, collector, inbox
):
    place.spool.limits.jobs = {"j": Limit(max_messages=1)}
    (inbox / "0.txt").write_text("0")
    job = replace(job_of("file", inbox / "*.txt"), schedules=(Schedule(cron="0 5 * * *", where=WHERE),))
    collector.set_jobs({"j": job})
    assert (await collector.run_now("j")).messages == 1
    (inbox / "1.txt").write_text("1")
    collector.due("j", 1_800_000_000.0, "cron")
    await until(lambda: not collector.doing("j"))
    assert runs(place)[-1] == ("skipped", "cron", "spool is full: 1 of 1 messages of job j")
    assert "j" in collector._looks._tasks, "it is looked at again soon"
    await asyncio.to_thread(deliver, place)
    collector.due("j", 1_800_000_015.0, "settle")
    await until(lambda: not collector.doing("j"))
    assert place.visible() == [b"1"]


async def test_a_push_of_a_job_that_is_full_waits_for_room(place, collector, inbox):
    place.spool.limits.jobs = {"j": Limit(max_messages=1)}
    (inbox / "0.txt").write_text("0")
    collector.set_jobs({"j": job_of("file", inbox / "*.txt")})
    await collector.run_now("j")
    (inbox / "1.txt").write_text("1")
    pushed = asyncio.create_task(collector.run_now("j"))
    await until(lambda: collector.doing("j").startswith("waiting: spool is full"))
    await asyncio.to_thread(deliver, place)
    assert (await pushed).messages == 1


async def test_stopping_ends_a_run_that_waits_for_room(place, tmp_path, inbox):
    settings = AgentSettings(state=tmp_path / "state")
    collector = Collector(place.spool, settings, SystemClock(), poll=60)
    await collector.start()
    place.spool.limits.jobs = {"j": Limit(max_messages=1)}
    for number in range(2):
        (inbox / f"{number}.txt").write_text(f"{number}")
    collector.set_jobs({"j": job_of("file", inbox / "*.txt")})
    collector.due("j", 1_800_000_000.0, "every")
    await until(lambda: collector.doing("j").startswith("waiting: spool is full"))
    assert await collector.stop(10)
    assert runs(place)[-1][0] == "stopped"
