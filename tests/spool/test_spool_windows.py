"""Windows in the spool: held until they are done, then visible in the step that says so; and backfills."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from agent.spool import Reader, migrations
from agent.window import Window
from tests.support.spool import bodies, draft, letter, open_spool, receipt

HOUR = Window.of(3600.0, 7200.0)


def begin(spool, window=HOUR, *, hold=True, backfill=None, job="gps"):
    return spool.start_window(job, window.end, "every", "sha", window, hold=hold, backfill=backfill).result()


def end(spool, run, state="done"):
    spool.end_run(run, state=state, reason="because", durable=True).result()


def sums(state, job="gps"):
    with Reader.open(state) as reader:
        [one] = [one for one in reader.overview() if one.job == job]
    return one.waiting, one.waiting_records, one.held


def test_nothing_of_a_window_is_visible_before_it_is_done_and_then_all_of_it(spool, state):
    woken = []
    spool.on_append = woken.append
    run = begin(spool)
    spool.append(run, [draft(b"one", records=3)]).result()
    spool.append(run, [draft(b"two")], cursor={"n": 1}).result()
    assert bodies(spool) == []
    assert spool.lanes().result() == []
    assert spool.cursor("gps").result() is None
    assert spool.window_mark("gps").result().wanted == HOUR.end
    assert sums(state) == (0, 0, 2)
    assert woken == []
    end(spool, run)
    assert bodies(spool) == [b"one", b"two"]
    assert spool.cursor("gps").result() == {"n": 1}
    mark = spool.window_mark("gps").result()
    assert (mark.done, mark.wanted) == (HOUR.end, None)
    assert sums(state) == (2, 4, 0)
    assert woken == ["gps"]


@pytest.mark.parametrize("how", ["failed", "stopped"])
def test_a_window_that_does_not_end_well_leaves_nothing_and_is_wanted(spool, state, how):
    run = begin(spool)
    spool.append(run, [draft(b"one")], cursor={"n": 1}).result()
    end(spool, run, how)
    assert bodies(spool) == []
    assert spool.cursor("gps").result() is None
    mark = spool.window_mark("gps").result()
    assert (mark.done, mark.wanted) == (HOUR.start, HOUR.end)
    assert sums(state) == (0, 0, 0)
    with Reader.open(state) as reader:
        [row] = reader.runs("gps")
    assert (row.state, row.reason, row.messages) == (how, "because", 0)
    assert (row.since, row.until, row.backfill) == (HOUR.start, HOUR.end, None)
    again = begin(spool)
    spool.append(again, [draft(b"again")]).result()
    end(spool, again)
    assert bodies(spool) == [b"again"]


def test_a_window_without_a_record_is_done_too(spool):
    end(spool, begin(spool))
    assert spool.window_mark("gps").result().done == HOUR.end


def test_the_messages_of_a_done_window_live_as_all_others_do(spool, state):
    run = begin(spool)
    spool.append(run, [draft(b"one"), draft(b"two"), draft(b"three")]).result()
    end(spool, run)
    one, two, _ = spool.oldest("gps", 0).result()
    spool.ack(one, receipt(one)).result()
    spool.bury(two, letter(two)).result()
    assert sums(state) == (1, 1, 0)
    with Reader.open(state) as reader:
        [dead] = reader.dead("gps")
    spool.revive(dead.id).result()
    assert bodies(spool) == [b"three", b"two"]
    assert spool.settled_files().result() == [], "no file is waiting to be moved for it"


def test_a_window_leaves_no_row_behind(spool, state):
    for number in range(5):
        run = begin(spool, Window.of(number, number + 1))
        spool.append(run, [draft()]).result()
        end(spool, run, "done" if number % 2 else "failed")
    with Reader.open(state) as reader:
        assert reader.files("gps") == []


def test_a_source_with_a_cursor_of_its_own_holds_nothing(spool, state):
    run = begin(spool, hold=False)
    spool.append(run, [draft(b"one")], cursor={"n": 1}).result()
    assert bodies(spool) == [b"one"]
    assert spool.cursor("gps").result() == {"n": 1}
    end(spool, run, "failed")
    assert bodies(spool) == [b"one"], "it goes on behind its cursor"
    assert sums(state) == (1, 1, 0)
    assert spool.window_mark("gps").result().wanted == HOUR.end


def test_the_same_content_gives_the_same_keys_after_a_window_that_failed(spool):
    run = begin(spool)
    [first] = spool.append(run, [draft(first=1)], seed="seed").result()
    end(spool, run, "failed")
    again = begin(spool)
    [second] = spool.append(again, [draft(first=1)], seed="seed").result()
    assert first == second == "seed-1"


def test_what_a_process_held_when_it_died_is_gone_at_the_next_start(state, clock):
    spool = open_spool(state, clock=clock)
    whole = spool.start_run("gps", 1.0, "every", "sha").result()
    spool.append(whole, [draft(b"kept")]).result()
    run = begin(spool)
    spool.append(run, [draft(b"half")], cursor={"n": 1}).result()
    spool.close()  # without an end of the run, as after a kill
    spool = open_spool(state, clock=clock)
    assert bodies(spool) == [b"kept"]
    assert spool.cursor("gps").result() is None
    assert spool.window_mark("gps").result().wanted == HOUR.end
    spool.close()
    assert sums(state) == (1, 1, 0)
    with Reader.open(state) as reader:
        assert [row.state for row in reader.runs("gps")] == ["interrupted", "interrupted"]
        assert reader.files("gps") == []


def test_windows_begin_where_they_are_told_to(spool):
    spool.begin_windows("gps", 86_400.0).result()
    mark = spool.window_mark("gps").result()
    assert (mark.done, mark.wanted) == (86_400.0, None)


def test_a_backfill_goes_on_where_it_was_and_leaves_the_windows_of_the_schedule_alone(spool, state):
    end(spool, begin(spool))
    row = spool.open_backfill("gps", 0.0, 3600.0, "").result()
    assert (row.state, row.done, row.windows) == ("running", 0.0, 0)
    run = begin(spool, Window.of(0.0, 1800.0), backfill=row.id)
    spool.append(run, [draft(b"old", records=7)], cursor={"n": 1}).result()
    end(spool, run)
    failed = begin(spool, Window.of(1800.0, 3600.0), backfill=row.id)
    spool.append(failed, [draft(b"half")]).result()
    end(spool, failed, "failed")
    spool.turn_backfill(row.id, "failed", "no such table").result()
    again = spool.open_backfill("gps", 0.0, 3600.0, "").result()
    assert (again.id, again.done, again.windows, again.records, again.messages) == (row.id, 1800.0, 1, 7, 1)
    assert (again.state, again.reason) == ("running", "")
    assert spool.window_mark("gps").result().done == HOUR.end
    with Reader.open(state) as reader:
        assert [run.backfill for run in reader.runs("gps")] == [row.id, row.id, None]


def test_another_span_or_step_is_another_backfill_and_one_that_is_done_begins_anew(spool, state):
    first = spool.open_backfill("gps", 0.0, 10.0, "").result()
    other = spool.open_backfill("gps", 0.0, 10.0, "1s").result()
    assert other.id != first.id
    spool.turn_backfill(first.id, "done").result()
    again = spool.open_backfill("gps", 0.0, 10.0, "").result()
    assert again.id not in {first.id, other.id}
    with Reader.open(state) as reader:
        assert [row.id for row in reader.backfills()] == [other.id, again.id], "one that is done is forgotten"
    with pytest.raises(LookupError, match="there is no backfill 99"):
        spool.backfill(99).result()


def test_a_backfill_that_was_killed_says_so(state, clock):
    spool = open_spool(state, clock=clock)
    row = spool.open_backfill("gps", 0.0, 10.0, "").result()
    spool.close()
    spool = open_spool(state, clock=clock)
    found = spool.backfill(row.id).result()
    spool.close()
    assert (found.state, found.reason) == ("stopped", "the process ended in the middle")


def test_a_state_of_before_windows_is_taken_over(state, clock):
    [step] = (Path(migrations.__file__).parent / "versions").glob("v*_windows.py")
    before = re.search(r'^down_revision.*"(\d{4})"', step.read_text(), re.MULTILINE)[1]
    state.mkdir(mode=0o700)
    migrations.upgrade(state / "state.db", before)
    raw = sqlite3.connect(state / "state.db")
    raw.execute(
        "INSERT INTO runs (job, due, trigger, job_sha, state, started_at) "
        "VALUES ('gps', 1, 'every', 'sha', 'collecting', 1)"
    )
    raw.commit()
    raw.close()
    spool = open_spool(state, clock=clock)
    end(spool, begin(spool))
    spool.close()
    with Reader.open(state) as reader:
        assert [(row.state, row.since) for row in reader.runs("gps")] == [
            ("done", 3600.0),
            ("interrupted", None),
        ]
