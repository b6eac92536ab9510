"""When runs start, wait for each other, are skipped, and end; with real runs in real threads."""

from __future__ import annotations

import asyncio
import signal
import threading
from dataclasses import replace

import pytest

from agent.clock import SystemClock
from agent.collect import Collector
from agent.collect.slots import Slots
from agent.collect.wanted import Wanted
from agent.collect.worker import Worker
from agent.config.model import AgentSettings, Schedule, Where
from agent.errors import AgentError
from agent.spool import Fit, PauseRow, Reader, Spool
from tests.support.clock import FakeClock
from tests.support.collecting import csv_text, job_of, run_child

WHERE = Where(file="jobs/j.yaml", line=1, column=1, path="schedule")


class Gate:
    """The spool's listener: called in its thread, so it can hold a run in the middle of an append."""

    def __init__(self):
        self.reached = threading.Event()
        self.open = threading.Event()

    def __call__(self, job):
        self.reached.set()
        assert self.open.wait(20)


@pytest.fixture
def settled():
    return []


@pytest.fixture
async def collector(place, tmp_path, settled):
    settings = AgentSettings(state=tmp_path / "state", collect_memory=200_000_000)
    collector = Collector(
        place.spool, settings, SystemClock(), on_settled=lambda: settled.append(1), poll=0.01
    )
    await collector.start()
    yield collector
    assert await collector.stop(10)


def runs(place, job="j"):
    """(state, trigger, reason), oldest first."""
    with Reader.open(place.temp.parent / "state") as reader:
        return [(run.state, run.trigger, run.reason) for run in reversed(reader.runs(job))]


async def idle(collector):
    """Until no run is under way."""
    while collector._tasks:
        await asyncio.wait(set(collector._tasks))


async def hold(place, collector, inbox, job):
    """A run that stands still in the middle."""
    gate = Gate()
    place.spool.on_append = gate
    (inbox / "first.txt").write_text("first")
    collector.set_jobs({job.name: job})
    collector.due(job.name, 1_800_000_000.0, "every")
    await asyncio.to_thread(gate.reached.wait, 20)
    return gate


async def test_a_due_job_runs_and_what_it_found_is_in_the_spool(place, collector, inbox):
    (inbox / "a.txt").write_text("a")
    collector.set_jobs({"j": job_of("file", inbox / "*.txt")})
    collector.due("j", 1_800_000_000.0, "every")
    assert collector.snapshot().collecting == {"j": "waiting for its turn"}
    await idle(collector)
    assert place.visible() == [b"a"]
    assert runs(place) == [("done", "every", "")]
    assert collector.snapshot().runs == {("j", "done"): 1}
    assert collector.snapshot().collecting == {}


async def test_overlap_skip_records_what_did_not_run_and_why(place, collector, inbox):
    gate = await hold(place, collector, inbox, job_of("file", inbox / "*.txt"))
    collector.due("j", 1_800_000_060.0, "every")
    gate.open.set()
    await idle(collector)
    [(_, _, _), (state, trigger, reason)] = runs(place)
    assert (state, trigger) == ("skipped", "every")
    assert reason.startswith("the run of ")
    assert reason.endswith(":00:00 was still collecting")
    assert collector.snapshot().skipped == {"j": 1}


async def test_overlap_queue_runs_it_afterwards(place, collector, inbox):
    job = job_of("file", inbox / "*.txt")
    job = replace(job, schedules=(replace(job.schedules[0], overlap="queue"),))
    gate = await hold(place, collector, inbox, job)
    for moment in range(150):
        collector.due("j", 1_800_000_060.0 + moment, "every")
    gate.open.set()
    await idle(collector)
    assert collector.snapshot().runs == {("j", "done"): 101}
    assert collector.snapshot().skipped == {"j": 50}


async def test_file_events_in_the_middle_of_a_run_make_one_more_run_and_no_record(place, collector, inbox):
    gate = await hold(place, collector, inbox, job_of("file", inbox / "*.txt"))
    (inbox / "late.txt").write_text("late")
    for _ in range(5):
        collector.due("j", 1_800_000_001.0, "watch")
    gate.open.set()
    await idle(collector)
    assert place.visible() == [b"first", b"late"]
    assert [state for state, *_ in runs(place)] == ["done", "done"]


async def test_a_hint_that_finds_nothing_leaves_no_run_behind(place, collector, inbox):
    (inbox / "bad.csv").write_text("id,name\n1,2,3\n")
    collector.set_jobs({"j": job_of("csv", inbox / "*.csv")})
    collector.due("j", 1000.0, "watch")
    await idle(collector)
    collector.due("j", 1001.0, "watch")
    await idle(collector)
    assert [(state, trigger) for state, trigger, _ in runs(place)] == [("failed", "watch")]
    collector.due("j", 1002.0, "every")
    await idle(collector)
    assert [(state, trigger) for state, trigger, _ in runs(place)] == [("failed", "watch"), ("done", "every")]


async def test_a_file_that_is_still_written_is_looked_at_again_without_the_schedule(place, collector, inbox):
    (inbox / "a.txt").write_text("a")
    collector.set_jobs({"j": job_of("file", inbox / "*.txt", settle=0.2)})
    collector.due("j", 1_800_000_000.0, "watch")
    appended = asyncio.Event()
    loop = asyncio.get_running_loop()
    place.spool.on_append = lambda job: loop.call_soon_threadsafe(appended.set)
    await asyncio.wait_for(appended.wait(), 20)
    await idle(collector)
    assert place.visible() == [b"a"]
    assert runs(place)[-1][1] == "settle"


async def test_run_now_gives_what_came_of_it(place, collector, inbox):
    (inbox / "a.csv").write_text(csv_text(12))
    collector.set_jobs({"j": job_of("csv", inbox / "*.csv")})
    result = await collector.run_now("j")
    assert (result.state, result.records, result.messages) == ("done", 12, 2)
    with pytest.raises(AgentError, match="there is no job 'nobody'"):
        await collector.run_now("nobody")


async def test_run_now_waits_for_the_run_under_way(place, collector, inbox):
    gate = await hold(place, collector, inbox, job_of("file", inbox / "*.txt"))
    (inbox / "more.txt").write_text("more")
    asked = asyncio.create_task(collector.run_now("j"))
    await asyncio.sleep(0)
    gate.open.set()
    assert (await asked).messages == 1


async def test_a_failure_is_said_once_until_it_ends(place, collector, inbox, caplog):
    caplog.set_level("INFO", "push_agent")
    (inbox / "a.txt").write_text("a")
    job = job_of("file", inbox / "*.txt", columns=("id",))
    for text in ("v1", "v2"):
        collector.set_jobs({"j": replace(job, sha256=text)})
        assert (await collector.run_now("j")).state == "failed"
    (inbox / "a.txt").write_text("id\n")
    assert (await collector.run_now("j")).state == "done"
    said = [record.getMessage() for record in caplog.records]
    assert said.count("a run failed") == 1
    assert said.count("runs succeed again") == 1


async def test_every_run_that_was_done_with_a_file_wakes_whoever_moves_files(
    place, collector, inbox, settled
):
    (inbox / "a.txt").write_text("a")
    collector.set_jobs({"j": job_of("file", inbox / "*.txt")})
    await collector.run_now("j")
    assert settled == [1], "its message may have been delivered before the file was released"
    (inbox / "b.txt").write_text("a")
    await collector.run_now("j")
    assert settled == [1, 1]
    await collector.run_now("j")
    assert settled == [1, 1]


async def test_sig_01_a_stop_in_mid_file_is_no_failure_and_the_next_start_goes_on(place, inbox, tmp_path):
    (inbox / "a.csv").write_text(csv_text(200_000))
    job = job_of("csv", inbox / "*.csv", on_bad_row="dead_letter")
    settings = AgentSettings(state=tmp_path / "state", collect_memory=200_000_000)
    collector = Collector(place.spool, settings, SystemClock())
    collector.set_jobs({"j": job})
    await collector.start()
    gate = Gate()
    place.spool.on_append = gate
    collector.due("j", 1_800_000_000.0, "every")
    await asyncio.to_thread(gate.reached.wait, 20)
    stopping = asyncio.create_task(collector.stop(20))
    await asyncio.sleep(0)
    gate.open.set()
    assert await stopping
    assert runs(place) == [("stopped", "every", "the agent stopped; the next run goes on from here")]
    assert 0 < len(place.ids()) < 200_000
    collector.due("j", 1_800_000_000.0, "every")
    with pytest.raises(AgentError, match="the agent is stopping"):
        await collector.run_now("j")

    again = Collector(place.spool, settings, SystemClock())
    again.set_jobs({"j": job})
    await again.start()
    assert (await again.run_now("j")).state == "done"
    await again.stop(5)
    assert place.ids() == list(range(1, 200_001))


async def test_three_runs_that_died_with_the_process_quarantine_the_job_until_its_text_changes(
    place, inbox, tmp_path, caplog
):
    (inbox / "a.csv").write_text(csv_text(10))
    await asyncio.to_thread(place.spool.close)
    state = tmp_path / "state"
    for _ in range(3):
        died = await asyncio.to_thread(run_child, state, inbox / "*.csv", "INSERT INTO messages")
        assert died.returncode == -signal.SIGKILL, died.stderr
    place.spool = await asyncio.to_thread(Spool.open, state, max_bytes=10**9, clock=SystemClock())
    states = [run[0] for run in runs(place)]
    collector = Collector(place.spool, AgentSettings(state=state), SystemClock())
    job = job_of("csv", inbox / "*.csv")
    collector.set_jobs({"j": job})
    await collector.start()
    assert states == ["interrupted"] * 3
    result = await collector.run_now("j")
    assert (result.state, result.records) == ("skipped", 0)
    assert result.reason == (
        "quarantined: the agent died in each of its last 3 runs; change jobs/j.yaml to try again"
    )
    assert collector.snapshot().quarantined == {"j": result.reason}
    assert "a job is quarantined" in caplog.text
    collector.set_jobs({"j": replace(job, sha256="v2")})
    assert collector.snapshot().quarantined == {}
    assert (await collector.run_now("j")).records == 10
    await collector.stop(5)
    await asyncio.to_thread(place.spool.close)


async def test_jobs_collect_at_the_same_time_up_to_the_limit(place, collector, inbox):
    names = [f"job{number}" for number in range(5)]
    for name in names:
        (inbox / f"{name}.txt").write_text(name)
    collector.set_jobs({name: job_of("file", inbox / f"{name}.txt", name=name) for name in names})
    for name in names:
        collector.due(name, 1_800_000_000.0, "every")
    await idle(collector)
    assert [place.visible(name) for name in names] == [[name.encode()] for name in names]


async def test_a_job_that_is_removed_does_not_run(place, collector, inbox):
    job = job_of("file", inbox / "*.txt")
    gate = await hold(place, collector, inbox, job)
    asked = asyncio.create_task(collector.run_now("j"))
    await asyncio.sleep(0)
    collector.set_jobs({})
    collector.due("j", 1_800_000_000.0, "every")
    gate.open.set()
    assert (await asked).reason == "the job was removed"
    await idle(collector)


async def test_a_spool_that_cannot_be_used_fails_the_run_and_not_the_daemon(place, collector, inbox):
    collector.set_jobs({"j": job_of("file", inbox / "*.txt")})
    await asyncio.to_thread(place.spool.close)
    result = await collector.run_now("j")
    assert result.state == "failed"
    assert (await collector.run_now("j")).state == "failed"


async def test_a_job_that_only_watches_tries_again_what_it_could_not_collect(place, inbox, settled, tmp_path):
    clock = FakeClock()
    collector = Collector(place.spool, AgentSettings(state=tmp_path / "state"), clock, poll=0.01)
    await collector.start()
    schedule = Schedule(watch=True, where=Where(file="j.yaml", line=1, column=1, path="schedule"))
    job = job_of("file", inbox / "*.txt", schedules=(schedule,))
    collector.set_jobs({"j": job})
    (inbox / "a.txt").write_text("a")
    place.spool._thread._db.raw.execute("ALTER TABLE runs RENAME TO away")
    collector.due("j", 1.0, "watch")
    await idle(collector)
    place.spool._thread._db.raw.execute("ALTER TABLE away RENAME TO runs")
    await clock.advance(60)
    await idle(collector)
    assert await asyncio.to_thread(place.visible) == [b"a"]
    assert await collector.stop(10)


async def test_what_a_killed_process_left_of_its_reading_goes_at_the_next_start(place, collector, tmp_path):
    left = tmp_path / "state" / "tmp" / "render-abc"
    left.mkdir()
    (left / "utf-8-a.csv").write_text("a copy of a large file")
    await collector.stop(10)
    await collector.start()
    assert not left.exists()


async def test_bodies_are_made_as_large_as_the_target_was_found_to_take(place, collector, inbox):
    (inbox / "a.csv").write_text(csv_text(30))
    collector.set_jobs({"j": job_of("csv", inbox / "*.csv")})
    await place.spool.set_fit(Fit(job="j", size=40, refused=100, learned_at=1.0))
    collector.due("j", 1_800_000_000.0, "every")
    await idle(collector)
    assert place.ids() == list(range(1, 31))
    sizes = [len(body) for body in place.visible()]
    assert max(sizes) <= 40
    assert len(sizes) > 3  # of ten rows each they would be three
    messages = await place.spool.oldest("j", 0)
    assert all("~40-" in message.key for message in messages)  # other requests than those of another size
    assert all(message.form == "json 1 1" for message in messages)


# ---------------------------------------------------------------------------------- pauses


def a_pause(reason="their release"):
    return PauseRow(kind="job", name="j", part="collecting", reason=reason, since=0.0, until=None)


async def test_a_paused_job_is_not_run_and_what_was_due_is_recorded_with_its_reason(place, collector, inbox):
    (inbox / "a.txt").write_text("a")
    collector.set_jobs({"j": job_of("file", inbox / "*.txt")})
    collector.hold({"j": a_pause()})
    for trigger in ("every", "watch", "settle"):
        collector.due("j", 1_800_000_000.0, trigger)
    await idle(collector)
    with pytest.raises(AgentError, match="job j is paused: their release") as told:
        await collector.run_now("j")
    assert told.value.hint == "push-agent resume j, then try again"
    assert place.visible() == []
    assert runs(place) == [("skipped", "every", "job j is paused: their release")]
    collector.hold({})
    assert (await collector.run_now("j")).messages == 1


def test_a_run_that_got_its_turn_after_its_job_was_paused_does_not_begin(place, tmp_path, inbox):
    (inbox / "a.txt").write_text("a")
    stop = threading.Event()
    worker = Worker(
        spool=place.spool,
        settings=AgentSettings(state=tmp_path / "state"),
        clock=SystemClock(),
        stop=stop,
        poll=0,
        slots=Slots(1, stop),
        paused=lambda name: f"job {name} is paused",
    )
    for trigger in ("every", "watch"):
        wanted = Wanted(job="j", due=1_800_000_000.0, trigger=trigger)
        result = worker.run(job_of("file", inbox / "*.txt"), wanted, None)
        assert (result.state, result.reason) == ("skipped", "job j is paused")
    assert runs(place) == [("skipped", "every", "job j is paused")]
    assert place.visible() == []


async def test_a_run_under_way_ends_when_its_job_is_paused_and_those_behind_it_do_not_begin(
    place, collector, inbox
):
    queueing = replace(job_of("file", inbox / "*.txt"), schedules=(Schedule(overlap="queue", where=WHERE),))
    gate = await hold(place, collector, inbox, queueing)
    collector.due("j", 1_800_000_030.0, "every")
    collector.hold({"j": a_pause("")})
    (inbox / "second.txt").write_text("second")
    gate.open.set()
    await idle(collector)
    assert place.visible() == [b"first"]
    assert [(state, reason) for state, _, reason in runs(place)] == [
        ("done", ""),
        ("skipped", "job j is paused"),
    ]
