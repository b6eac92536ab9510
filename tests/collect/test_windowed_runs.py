"""Runs over windows of time: which are pulled when, by themselves and in order; and backfills."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agent.clock import SystemClock
from agent.collect import Backfills, Collector
from agent.collect.wanted import ThreadHands, Wanted
from agent.config import SecretStore
from agent.config.model import AgentSettings, Batch, Database, SettledRows, SqlSource
from agent.databases import KnownDatabases
from agent.errors import AgentError, UsageError
from agent.spool import PauseRow, Reader, Spool
from tests.collect.test_contract import with_contract
from tests.support.clock import START, FakeClock
from tests.support.collecting import job_of
from tests.support.schedules import WHERE, schedule

MINUTE = 60.0


class Table:
    """Trips in SQLite, each with its time."""

    def __init__(self, path):
        self.con = sqlite3.connect(path)
        self.con.execute("CREATE TABLE trip (id INTEGER PRIMARY KEY, ts TEXT)")
        self.databases = KnownDatabases(
            SecretStore(path.parent), {"db": Database(name="db", url=f"sqlite:///{path}", where=WHERE)}
        )

    def add(self, *minutes):
        """A trip in the middle of the window that begins so many minutes after START."""
        for minute in minutes:
            when = datetime.fromtimestamp(START + (minute + 0.5) * MINUTE, UTC)
            self.con.execute("INSERT INTO trip (ts) VALUES (?)", (f"{when:%Y-%m-%d %H:%M:%S}",))
        self.con.commit()

    def rename(self, old, new):
        self.con.execute(f"ALTER TABLE {old} RENAME TO {new}")
        self.con.commit()


class Gate:
    """Holds a run in the middle of the start of its window."""

    def __init__(self, spool):
        self.reached, self.open = threading.Event(), threading.Event()
        self.real = spool.start_window
        spool.start_window = self

    def __call__(self, *args, **more):
        self.reached.set()
        assert self.open.wait(20)
        return self.real(*args, **more)


@pytest.fixture
def table(tmp_path):
    made = Table(tmp_path / "trips.db")
    yield made
    made.con.close()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
async def collector(place, tmp_path, clock, table):
    settings = AgentSettings(state=tmp_path / "state", collect_memory=200_000_000)
    collector = Collector(place.spool, settings, clock, poll=0.01, databases=table.databases)
    await collector.start()
    yield collector
    assert await collector.stop(10)


@pytest.fixture
async def backfills(collector, place, clock):
    backfills = Backfills(collector, place.spool, clock)
    yield backfills
    await collector.stop(10)
    await backfills.close()


def windowed(*, settle=None, **more):
    source = SqlSource(
        connection="db",
        query="SELECT id FROM trip WHERE ts >= :since AND ts < :until",
        settle=SettledRows(column="", age=settle) if settle else None,
        where=WHERE,
    )
    times = schedule(every=timedelta(minutes=1), **more)
    return replace(job_of("csv", "/nowhere", map={"id": "=id"}), source=source, schedules=(times,))


def pulled(place):
    """(trigger, minutes before START from, to, state), oldest first."""
    with Reader.open(place.temp.parent / "state") as reader:
        return [
            (run.trigger, (run.since - START) / MINUTE, (run.until - START) / MINUTE, run.state)
            for run in reversed(reader.runs("j", limit=200))
        ]


async def idle(collector):
    while collector._tasks:
        await asyncio.wait(set(collector._tasks))


async def due(collector, clock, trigger="every"):
    collector.due("j", clock.now(), trigger)
    await idle(collector)


async def test_each_occurrence_pulls_the_time_since_the_one_before(place, collector, clock, table):
    collector.set_jobs({"j": windowed()})
    table.add(-2, -1, 0, 1)
    clock.tick(0.3)
    await due(collector, clock, "first")
    clock.tick(MINUTE)
    await due(collector, clock)
    assert pulled(place) == [("first", -1, 0, "done"), ("every", 0, 1, "done")]
    assert await asyncio.to_thread(place.ids) == [2, 3]
    assert collector.snapshot().runs == {("j", "done"): 2}


@pytest.mark.parametrize(
    ("missed", "expected"),
    [
        ("all", [(0, 1), (1, 2), (2, 3)]),
        ("latest", [(0, 3)]),
        ("none", [(0, 3)]),
    ],
)
async def test_what_was_missed_is_pulled_by_itself_or_in_one_piece(place, collector, clock, missed, expected):
    collector.set_jobs({"j": windowed(missed=missed)})
    await due(collector, clock)
    clock.tick(3 * MINUTE + 5)
    await due(collector, clock, "missed")
    assert [(since, until) for _, since, until, _ in pulled(place)] == [(-1, 0), *expected]


@pytest.mark.parametrize("overlap", ["skip", "queue"])
async def test_an_occurrence_in_the_middle_of_a_run_is_pulled_behind_it_and_none_is_lost(
    place, collector, clock, overlap
):
    collector.set_jobs({"j": windowed(overlap=overlap, missed="all")})
    gate = Gate(place.spool)
    collector.due("j", clock.now(), "every")
    await asyncio.to_thread(gate.reached.wait, 20)
    for _ in range(3):
        clock.tick(MINUTE)
        collector.due("j", clock.now(), "every")
    gate.open.set()
    await idle(collector)
    assert [(since, until) for _, since, until, _ in pulled(place)] == [(-1, 0), (0, 1), (1, 2), (2, 3)]
    assert collector.snapshot().skipped == {}


async def test_a_window_that_failed_comes_again_by_itself_before_later_ones(place, collector, clock, table):
    collector.set_jobs({"j": windowed()})
    table.add(-1, 0, 1, 2)
    table.rename("trip", "away")
    await due(collector, clock)
    table.rename("away", "trip")
    clock.tick(3 * MINUTE)
    await due(collector, clock)
    assert pulled(place) == [
        ("every", -1, 0, "failed"),
        ("every", -1, 0, "done"),
        ("every", 0, 3, "done"),
    ]
    assert collector.snapshot().runs == {("j", "failed"): 1, ("j", "done"): 2}
    assert await asyncio.to_thread(place.ids) == [1, 2, 3, 4]


async def test_a_window_whose_last_record_is_bad_sends_nothing(place, collector, clock, table):
    """It is sent as a whole or not at all, and the later ones wait for it."""
    job = windowed()
    too_large = replace(job, batch=Batch(records=1, bytes=12))
    collector.set_jobs({"j": too_large})
    table.add(-1, -1)
    table.con.execute("UPDATE trip SET id = 1000000 WHERE id = 2")
    table.con.commit()
    await due(collector, clock)
    assert await asyncio.to_thread(place.visible) == []
    clock.tick(MINUTE)
    collector.set_jobs({"j": replace(job, sha256="v2")})
    await due(collector, clock)
    assert [state for *_, state in pulled(place)] == ["failed", "done", "done"]
    assert await asyncio.to_thread(place.ids) == [1, 1_000_000]


async def test_a_window_that_fails_again_and_again_leaves_no_dead_letters(place, collector, clock, table):
    """Its records are read again, all of them: each try would set the same ones aside."""
    job = replace(windowed(), batch=Batch(records=1, bytes=12))
    collector.set_jobs({"j": with_contract(job)})
    table.add(*[-1] * 300)
    table.con.execute("UPDATE trip SET id = 1000000 WHERE id = 300")
    table.con.commit()
    for _ in range(2):
        await due(collector, clock)
    assert [state for *_, state in pulled(place)] == ["failed", "failed"]
    with Reader.open(place.temp.parent / "state") as reader:
        assert reader.dead("j") == []
        assert [overview.dead for overview in reader.overview()] == [0]


async def test_a_push_by_hand_pulls_the_windows_that_are_due_and_says_when_the_next_one_is(
    place, collector, clock, table
):
    collector.set_jobs({"j": windowed(timezone="Europe/Amsterdam")})
    table.add(-1)
    first = await collector.run_now("j")
    assert (first.state, first.records) == ("done", 1)
    again = await collector.run_now("j")
    assert (again.state, again.reason) == (
        "skipped",
        "no window is due: the next one ends at 2027-01-15T09:01:00+01:00",
    )
    assert pulled(place) == [("push", -1, 0, "done")]


async def test_a_push_by_hand_stops_behind_a_window_at_its_limit(place, collector, clock, table):
    collector.set_jobs({"j": windowed(missed="all")})
    await collector.run_now("j")
    clock.tick(3 * MINUTE)
    table.add(0, 0, 1)
    assert (await collector.run_now("j", limit=1)).records == 2, "no window is cut short"
    assert len(pulled(place)) == 2


async def test_a_date_that_comes_once_is_where_windows_begin(place, collector, clock):
    dates = ("2027-01-15T08:00:00Z", "2027-01-15T09:00:00Z")
    job = replace(windowed(), schedules=(schedule(at=dates),))
    collector.set_jobs({"j": job})
    await due(collector, clock, "at")
    assert pulled(place) == []
    clock.tick(60 * MINUTE)
    await due(collector, clock, "at")
    assert pulled(place) == [("at", 0, 60, "done")]
    again = await collector.run_now("j")
    assert again.reason == "no window is due, and none ever will be: the schedule has no time to come"


@pytest.mark.parametrize(("minutes", "first", "last"), [(0.5, -2, 2), (2.25, -4, 0)])
async def test_a_window_waits_for_rows_that_are_written_late_without_moving(  # noqa: PLR0917
    place, collector, clock, minutes, first, last
):
    job = windowed(missed="all", settle=timedelta(minutes=minutes))
    late, start = [], place.spool.start_window

    def started(*args, **more):
        late.append(clock.now() - args[-1].end)
        return start(*args, **more)

    place.spool.start_window = started
    collector.set_jobs({"j": job})
    await due(collector, clock)
    for step in range(1, 13):
        await clock.advance(MINUTE / 4)
        await idle(collector)
        if step % 4 == 0:
            await due(collector, clock)
    found = pulled(place)
    assert [(since, until) for _, since, until, _ in found] == [
        (minute, minute + 1) for minute in range(first, last)
    ]
    assert {trigger for trigger, *_ in found[1:]} == {"settle"}, "the moment they are ready"
    assert late[1:] == [minutes * MINUTE] * (len(found) - 1)


async def test_a_file_event_does_not_forget_a_window(place, collector, clock):
    collector.set_jobs({"j": windowed()})
    await due(collector, clock, "watch")
    assert pulled(place) == [("watch", -1, 0, "done")]
    mark = await place.spool.window_mark("j")
    assert (mark.done, mark.wanted) == (START, None)


async def test_a_state_that_cannot_be_used_fails_the_run_and_not_the_daemon(place, collector):
    collector.set_jobs({"j": windowed()})
    await asyncio.to_thread(place.spool.close)
    assert (await collector.run_now("j")).state == "failed"
    assert collector.snapshot().runs == {("j", "failed"): 1}


async def test_a_stop_in_the_middle_leaves_the_window_wanted(place, collector, clock, table):
    collector.set_jobs({"j": windowed()})
    table.add(-1)
    gate = Gate(place.spool)
    asked = asyncio.create_task(collector.run_now("j"))
    await asyncio.to_thread(gate.reached.wait, 20)
    stopping = asyncio.create_task(collector.stop(20))
    await asyncio.sleep(0)
    gate.open.set()
    assert await stopping
    assert (await asked).state == "stopped"
    mark = await place.spool.window_mark("j")
    assert (mark.done, mark.wanted) == (START - MINUTE, START)


# ------------------------------------------------------------------------------ backfills


def at(minutes):
    return datetime.fromtimestamp(START + minutes * MINUTE, UTC).isoformat()


async def row_of(place, row):
    return await place.spool.backfill(row.id)


async def test_a_backfill_pulls_a_span_in_order_and_leaves_the_schedule_where_it_is(
    place, collector, backfills, table, clock
):
    collector.set_jobs({"j": windowed()})
    await due(collector, clock)
    table.add(-9)
    row = await backfills.begin("j", at(-10), at(-7), "")
    await backfills.wait("j")
    assert pulled(place)[1:] == [("backfill", minute, minute + 1, "done") for minute in (-10, -9, -8)]
    done = await row_of(place, row)
    assert (done.state, done.windows, done.records, done.messages) == ("done", 3, 1, 1)
    mark = await place.spool.window_mark("j")
    assert (mark.done, mark.wanted) == (START, None)


async def test_the_schedule_goes_on_between_the_windows_of_a_backfill(place, collector, backfills, clock):
    collector.set_jobs({"j": windowed()})
    gate = Gate(place.spool)
    await backfills.begin("j", at(-10), at(-7), "")
    await asyncio.to_thread(gate.reached.wait, 20)
    collector.due("j", clock.now(), "every")
    gate.open.set()
    await backfills.wait("j")
    await idle(collector)
    assert [trigger for trigger, *_ in pulled(place)] == ["backfill", "every", "backfill", "backfill"]


async def test_a_backfill_that_fails_says_where_and_goes_on_there(place, collector, backfills, table):
    collector.set_jobs({"j": windowed()})
    table.rename("trip", "away")
    row = await backfills.begin("j", at(-10), at(-8), "")
    await backfills.wait("j")
    failed = await row_of(place, row)
    assert (failed.state, failed.windows) == ("failed", 0)
    assert failed.reason.startswith("2027-01-15T07:50:00Z/2027-01-15T07:51:00Z: ")
    assert "no such table: trip" in failed.reason
    table.rename("away", "trip")
    again = await backfills.begin("j", at(-10), at(-8), "")
    await backfills.wait("j")
    assert again.id == row.id
    assert (await row_of(place, row)).state == "done"


async def test_a_backfill_that_is_stopped_in_the_middle_goes_on_with_that_window(
    place, collector, backfills, table
):
    collector.set_jobs({"j": windowed()})
    table.add(-10, -9)
    gate = Gate(place.spool)
    row = await backfills.begin("j", at(-10), at(-7), "")
    await asyncio.to_thread(gate.reached.wait, 20)
    await backfills.stop(row.id)
    gate.open.set()
    await backfills.wait("j")
    stopped = await row_of(place, row)
    assert (stopped.state, stopped.reason, stopped.windows) == ("stopped", "it was stopped", 0)
    assert await asyncio.to_thread(place.visible) == []
    again = await backfills.begin("j", at(-10), at(-7), "")
    await backfills.wait("j")
    assert (again.id, (await row_of(place, row)).windows) == (row.id, 3)
    assert await asyncio.to_thread(place.ids) == [1, 2]


async def test_one_backfill_of_a_job_at_a_time_and_who_asks_for_the_same_joins_it(
    place, collector, backfills
):
    collector.set_jobs({"j": windowed()})
    gate = Gate(place.spool)
    first, second = await asyncio.gather(
        backfills.begin("j", at(-10), at(-7), ""), backfills.begin("j", at(-10), at(-7), "")
    )
    with pytest.raises(UsageError, match="another backfill of j goes on"):
        await backfills.begin("j", at(-10), at(-6), "")
    gate.open.set()
    await backfills.wait("j")
    assert first.id == second.id
    assert len(pulled(place)) == 3


async def test_who_asks_for_a_backfill_may_leave_before_it_has_begun(place, collector, backfills, table):
    collector.set_jobs({"j": windowed()})
    table.add(-10)
    asking = asyncio.create_task(backfills.begin("j", at(-10), at(-9), ""))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait({asking})
    await backfills.wait("j")
    again = await backfills.answer({"action": "state", "id": 1})
    assert (again["state"], again["windows"]) == ("done", 1)


async def test_a_job_that_is_removed_ends_its_backfill(place, collector, backfills):
    collector.set_jobs({"j": windowed()})
    gate = Gate(place.spool)
    row = await backfills.begin("j", at(-10), at(-7), "")
    await asyncio.to_thread(gate.reached.wait, 20)
    collector.set_jobs({})
    gate.open.set()
    await backfills.wait("j")
    ended = await row_of(place, row)
    assert (ended.state, ended.reason, ended.windows) == ("failed", "there is no job 'j'", 1)


async def test_a_job_that_loses_its_windows_ends_its_backfill(place, collector, backfills, table):
    """Else the rest of the span would be all rows, once for each window."""
    collector.set_jobs({"j": windowed()})
    table.add(-10, -9, -8)
    gate = Gate(place.spool)
    row = await backfills.begin("j", at(-10), at(-7), "")
    await asyncio.to_thread(gate.reached.wait, 20)
    job = windowed()
    every_row = replace(job.source, query="SELECT id FROM trip")
    collector.set_jobs({"j": replace(job, source=every_row, sha256="v2")})
    gate.open.set()
    await backfills.wait("j")
    ended = await row_of(place, row)
    assert (ended.state, ended.windows) == ("failed", 1)
    assert "its source uses neither since nor until any more" in ended.reason
    assert await asyncio.to_thread(place.ids) == [1]


@pytest.mark.parametrize(("minutes", "windows"), [([-10], 0), ([], 1)])
async def test_a_stop_of_the_agent_leaves_a_backfill_where_it_is(  # noqa: PLR0917
    place, collector, backfills, table, minutes, windows
):
    """In the middle of a window, and between two."""
    collector.set_jobs({"j": windowed()})
    table.add(*minutes)
    gate = Gate(place.spool)
    row = await backfills.begin("j", at(-10), at(-7), "")
    await asyncio.to_thread(gate.reached.wait, 20)
    stopping = asyncio.create_task(collector.stop(20))
    await asyncio.sleep(0)
    gate.open.set()
    assert await stopping
    await backfills.close()
    ended = await row_of(place, row)
    assert (ended.state, ended.windows) == ("stopped", windows)


async def test_a_run_that_does_not_end_in_time_holds_up_no_stop(place, collector, backfills, table):
    """A database that does not hear of it: what waits for the run is told all the same."""
    collector.set_jobs({"j": windowed()})
    gate = Gate(place.spool)
    row = await backfills.begin("j", at(-10), at(-7), "")
    await asyncio.to_thread(gate.reached.wait, 20)
    assert not await collector.stop(0)
    await backfills.close()
    ended = await row_of(place, row)
    assert (ended.state, ended.reason) == ("stopped", "it did not end before the agent stopped")
    gate.open.set()


async def test_the_control_socket_begins_shows_and_stops_a_backfill(place, collector, backfills):
    collector.set_jobs({"j": windowed()})
    gate = Gate(place.spool)
    words = {"job": "j", "from": at(-10), "to": at(-7), "step": "2m"}
    answer = await backfills.answer({"action": "start", **words})
    assert answer["state"] == "running"
    assert answer["done"] == "2027-01-15T07:50:00.000Z"
    assert (answer["step"], answer["doing"]) == ("2m", "waiting for its turn")
    await backfills.answer({"action": "stop", "id": answer["id"]})
    gate.open.set()
    await backfills.wait("j")
    assert (await backfills.answer({"action": "state", "id": answer["id"]}))["state"] == "stopped"
    with pytest.raises(AgentError, match="backfill wants an action"):
        await backfills.answer({"action": "explode"})
    with pytest.raises(UsageError, match="there is no backfill 99"):
        await backfills.answer({"action": "state", "id": 99})


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("yesterday", "2026-02-01", ""), "--from yesterday is no date or time", "write 2026-01-31"),
        (("2026-01-32", "2026-02-01", ""), "--from 2026-01-32 is no date or time", "write 2026-01-31"),
        (("2026-02-01", "2026-01-01", ""), "--from 2026-02-01 is not before --to 2026-01-01", "left out"),
        (("2026-02-01", "2026-02-01", ""), "is not before", "the first moment that is left out"),
        (("2026-02-01", "2027-02-01", ""), "--to 2027-02-01 lies in the future", "2027-01-15T08:00:00"),
        (("2026-01-01", "2026-02-01", "day"), '--step: "day" is no duration', "1d"),
        (("2026-01-01", "2026-02-01", "200ms"), "--step 200ms is shorter than a second", "30s, 5m, 2h or 1d"),
        (("2016-01-01", "2026-02-01", "1s"), "these would be 318,297,600 windows", "make --step longer"),
    ],
)
async def test_a_span_that_means_nothing_is_refused_with_a_hint(collector, backfills, words, message, hint):
    collector.set_jobs({"j": windowed()})
    with pytest.raises(UsageError) as error:
        await backfills.begin("j", *words)
    assert message in error.value.message
    assert hint in error.value.hint


async def test_what_has_no_windows_has_no_backfill(collector, backfills):
    whole = job_of("file", "/nowhere/*.txt")
    watching = replace(windowed(), name="w", schedules=(schedule(watch=True),))
    collector.set_jobs({"j": whole, "w": watching})
    with pytest.raises(UsageError, match="its source uses neither since nor until"):
        await backfills.begin("j", at(-10), at(-7), "")
    with pytest.raises(UsageError, match="the schedule of w has no interval of its own"):
        await backfills.begin("w", at(-10), at(-7), "")
    row = await backfills.begin("w", at(-10), at(-7), "1m")
    await backfills.wait("w")
    assert (row.job, row.step) == ("w", "1m")


async def test_dates_are_days_of_the_job_s_own_zone(collector, backfills):
    collector.set_jobs({"j": windowed(timezone="Europe/Amsterdam")})
    row = await backfills.begin("j", "2026-07-01", "2026-07-01T00:02", "")
    await backfills.wait("j")
    assert datetime.fromtimestamp(row.since, UTC).isoformat() == "2026-06-30T22:00:00+00:00"
    assert row.until - row.since == 120


# ------------------------------------------------------------------------------ with a cursor as well

BY_ID = "SELECT id FROM trip WHERE ts >= :since AND ts < :until AND id > :id ORDER BY id"


def with_cursor(query=BY_ID, **more):
    job = windowed(**more)
    return replace(job, source=replace(job.source, query=query, cursor=("id",)))


async def test_a_backfill_reads_what_is_before_the_cursor_and_leaves_it_where_it_is(
    place, collector, backfills, table, clock
):
    """Else a row with an old time and a new number would move it past rows that nobody has read yet."""
    collector.set_jobs({"j": with_cursor()})
    table.add(-9, -1)
    await due(collector, clock)
    table.add(0, -8)
    row = await backfills.begin("j", at(-10), at(-7), "")
    await backfills.wait("j")
    assert await asyncio.to_thread(place.ids) == [2, 1, 4]
    assert ((await row_of(place, row)).state, (await row_of(place, row)).records) == ("done", 2)
    clock.tick(MINUTE)
    await due(collector, clock)
    assert await asyncio.to_thread(place.ids) == [2, 1, 4, 3]


async def test_a_backfill_of_a_query_with_a_cursor_sends_a_window_as_a_whole_or_not_at_all(
    place, collector, backfills, table
):
    job = with_cursor()
    collector.set_jobs({"j": replace(job, batch=Batch(records=1, bytes=12))})
    table.add(-10, -10)
    table.con.execute("UPDATE trip SET id = 1000000 WHERE id = 2")
    table.con.commit()
    row = await backfills.begin("j", at(-10), at(-9), "")
    await backfills.wait("j")
    assert (await row_of(place, row)).state == "failed"
    assert await asyncio.to_thread(place.visible) == []
    collector.set_jobs({"j": replace(job, sha256="v2")})
    await backfills.begin("j", at(-10), at(-9), "")
    await backfills.wait("j")
    assert await asyncio.to_thread(place.ids) == [1, 1_000_000]


async def test_a_row_that_was_written_late_is_not_cut_off_its_window(place, collector, clock, table):
    """A window settles as a whole: no later one holds what is left out of it."""
    query = BY_ID.replace("SELECT id", "SELECT id, '2027-01-15 08:00:20' AS written")
    job = with_cursor(query)
    settle = SettledRows(column="written", age=timedelta(seconds=30))
    collector.set_jobs({"j": replace(job, source=replace(job.source, settle=settle))})
    table.add(-1)
    clock.tick(40)
    await due(collector, clock)
    assert pulled(place) == [("every", -1, 0, "done")]
    assert await asyncio.to_thread(place.ids) == [1]


async def test_a_limit_cuts_no_window_short(place, collector, clock, table):
    collector.set_jobs({"j": with_cursor(f"{BY_ID} LIMIT 3")})
    table.add(*[-1] * 8, 0)
    await due(collector, clock)
    assert await asyncio.to_thread(place.ids) == list(range(1, 9))
    clock.tick(MINUTE)
    await due(collector, clock)
    assert await asyncio.to_thread(place.ids) == list(range(1, 10))


# ------------------------------------------------------------------------------ a spool that is full


@pytest.fixture
def small(place):
    place.spool.close()
    place.spool = Spool.open(place.temp.parent / "state", max_bytes=600_000, clock=SystemClock())


async def test_a_window_that_can_never_fit_ends_its_run_and_says_so(small, place, collector, table):
    """Nothing of it can leave before all of it is there: waiting for room would be for ever."""
    collector.set_jobs({"j": replace(windowed(), batch=Batch(records=1))})
    table.add(*[-1] * 3000)
    result = await collector.run_now("j")
    assert result.state == "failed"
    assert "db: the window does not fit into the spool" in result.reason
    assert "make it shorter" in result.reason
    assert await asyncio.to_thread(place.visible) == []


def test_a_backfill_that_waits_for_room_can_be_stopped():
    stop = threading.Event()
    wanted = Wanted(job="j", due=START, trigger="backfill")
    assert not ThreadHands(wanted, stop).pause(0)
    wanted.cancelled = lambda: True
    assert ThreadHands(wanted, stop).pause(0)
    assert not stop.is_set()


# ---------------------------------------------------------------------------------- pauses

PAUSED = PauseRow(kind="job", name="j", part="collecting", reason="patches", since=0.0, until=None)


async def test_a_catch_up_stops_behind_the_window_under_way_and_goes_on_there(place, collector, clock, table):
    collector.set_jobs({"j": windowed(missed="all")})
    await due(collector, clock)
    clock.tick(3 * MINUTE)
    gate = Gate(place.spool)
    collector.due("j", clock.now(), "missed")
    await asyncio.to_thread(gate.reached.wait, 20)
    collector.hold({"j": PAUSED})
    gate.open.set()
    await idle(collector)
    mark = await place.spool.window_mark("j")
    assert (clock.now() - mark.done) / MINUTE == 2.0, "one of three was under way"
    collector.hold({})
    await due(collector, clock, "missed")
    with Reader.open(place.temp.parent / "state") as reader:
        found = [(run.state, run.since, run.reason) for run in reversed(reader.runs("j"))]
    assert [since for state, since, _ in found if state == "done"] == [
        START + n * MINUTE for n in range(-1, 3)
    ]
    assert [reason for state, _, reason in found if state == "skipped"] == ["job j is paused: patches"]


async def test_a_backfill_of_a_paused_job_stops_with_the_reason_and_goes_on_when_asked(
    place, collector, backfills, table
):
    collector.set_jobs({"j": windowed()})
    table.add(-10, -9)
    collector.hold({"j": PAUSED})
    row = await backfills.begin("j", at(-10), at(-8), "")
    await backfills.wait("j")
    stopped = await row_of(place, row)
    assert (stopped.state, stopped.reason, stopped.windows) == ("stopped", "job j is paused: patches", 0)
    collector.hold({})
    again = await backfills.begin("j", at(-10), at(-8), "")
    await backfills.wait("j")
    assert (again.id, (await row_of(place, row)).state) == (row.id, "done")
