"""Lanes of a new layout open only when nothing of the old one waits: through restarts, and whatever changes."""

from __future__ import annotations

import shutil
import sqlite3

import pytest

from agent.message import LANES, STRICT, Layout
from agent.spool import Reader
from agent.spool.migrations import upgrade
from tests.support.spool import bodies, draft, letter, open_spool, receipt, stamp

FOUR = Layout(name="by plate over 4", lanes=4)
EIGHT = Layout(name="by plate over 8", lanes=8)


def lanes_of(spool):
    return [lane for _, lane in spool.lanes().result()]


def take(spool, lane, job="gps"):
    """Deliver the head of a lane; its body."""
    message = spool.oldest(job, lane).result()[0]
    spool.ack(message, receipt(message)).result()
    return message.body


def drained(spool):
    """Every body, as a delivery would get them: the first open lane first."""
    found = []
    while lanes := lanes_of(spool):
        found.append(take(spool, lanes[0]))
    return found


def test_the_first_layout_of_an_empty_job_needs_no_generation(spool, run):
    spool.append(run, [draft(b"a", lane=3), draft(b"b", lane=1)], layout=FOUR).result()
    assert lanes_of(spool) == [1, 3]
    assert bodies(spool, lane=3) == [b"a"]


def test_a_new_layout_waits_for_the_old_one_and_then_opens(spool, run):
    spool.append(run, [draft(b"old 0", lane=0), draft(b"old 3", lane=3)], layout=FOUR).result()
    spool.append(run, [draft(b"new 7", lane=7), draft(b"new 0", lane=0)], layout=EIGHT).result()
    assert lanes_of(spool) == [0, 3]
    assert bodies(spool, lane=LANES + 7) == []
    assert take(spool, 0) == b"old 0"
    assert lanes_of(spool) == [3]
    assert bodies(spool, lane=LANES) == []
    assert take(spool, 3) == b"old 3"
    assert lanes_of(spool) == [LANES, LANES + 7]
    assert (bodies(spool, lane=LANES), bodies(spool, lane=LANES + 7)) == ([b"new 0"], [b"new 7"])


def test_layouts_leave_one_after_the_other_also_when_one_comes_back(spool, run):
    for number, layout in enumerate([STRICT, FOUR, EIGHT, FOUR, FOUR, STRICT]):
        spool.append(run, [draft(f"{number}".encode())], layout=layout).result()
    assert drained(spool) == [b"0", b"1", b"2", b"3", b"4", b"5"]


def test_a_layout_that_found_nothing_in_its_way_begins_no_generation(spool, run):
    for layout in (STRICT, FOUR, EIGHT, STRICT):
        spool.append(run, [draft(b"x")], layout=layout).result()
        assert lanes_of(spool) == [0]
        take(spool, 0)


def test_jobs_do_not_wait_for_each_others_layouts(spool, run):
    spool.append(run, [draft(b"old")], layout=FOUR).result()
    spool.append(run, [draft(b"new")], layout=EIGHT).result()
    other = spool.start_run("other", 1.0, "every", "sha").result()
    spool.append(other, [draft(b"theirs", lane=5)], layout=EIGHT).result()
    assert spool.lanes().result() == [("gps", 0), ("other", 5)]


def test_the_layouts_are_the_same_after_a_restart(state, clock):
    spool = open_spool(state, clock=clock)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    spool.append(run, [draft(b"0", lane=2)], layout=FOUR).result()
    spool.append(run, [draft(b"1", lane=6)], layout=EIGHT).result()
    for number in range(2, 5):
        spool.close()
        spool = open_spool(state, clock=clock)
        run = spool.start_run("gps", 1.0, "every", "sha").result()
        spool.append(run, [draft(f"{number}".encode(), lane=6)], layout=EIGHT).result()
    assert lanes_of(spool) == [2]
    assert drained(spool) == [b"0", b"1", b"2", b"3", b"4"]
    spool.close()


def test_what_is_still_held_holds_up_nobody(spool, run):
    held = spool.open_file("gps", run, stamp(), "sha", hold=True).result()
    spool.append(run, [draft(b"held")], file=held, layout=FOUR).result()
    spool.append(run, [draft(b"visible", lane=5)], layout=EIGHT).result()
    assert lanes_of(spool) == [LANES + 5]
    spool.release_file(held).result()
    assert lanes_of(spool) == [0]
    assert bodies(spool, lane=LANES + 5) == []
    assert drained(spool) == [b"held", b"visible"]


def test_an_append_that_is_undone_changes_no_layout(spool, run):
    spool.append(run, [draft(b"old", lane=1)], layout=FOUR).result()
    with pytest.raises(LookupError):
        spool.append(run, [draft(b"x")], file=17, layout=EIGHT).result()
    spool.append(run, [draft(b"more", lane=1)], layout=FOUR).result()
    assert bodies(spool, lane=1) == [b"old", b"more"]


def test_a_dead_letter_of_an_old_layout_comes_back_into_the_one_of_now(spool, run, state):
    spool.append(run, [draft(b"refused", lane=6), draft(b"other", lane=6)], layout=EIGHT).result()
    message = spool.oldest("gps", 6).result()[0]
    spool.bury(message, letter(message)).result()
    spool.append(run, [draft(b"new", lane=2)], layout=FOUR).result()
    with Reader.open(state) as reader:
        [found] = reader.dead()
    assert spool.revive(found.id).result() == "gps"
    assert lanes_of(spool) == [6]
    take(spool, 6)
    assert bodies(spool, lane=LANES + 2) == [b"new", b"refused"]


def test_a_layout_that_was_lost_with_a_damaged_page_is_not_overtaken(state, clock):
    spool = open_spool(state, clock=clock)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    for number, layout in enumerate([FOUR, EIGHT, FOUR]):
        spool.append(run, [draft(f"{number}".encode(), lane=3)], layout=layout).result()
    spool.close()
    raw = sqlite3.connect(state / "state.db")
    raw.execute("DELETE FROM layouts")
    raw.commit()
    raw.close()
    spool = open_spool(state, clock=clock)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    spool.append(run, [draft(b"3")]).result()
    assert drained(spool) == [b"0", b"1", b"2", b"3"]
    spool.close()


def test_messages_of_a_state_from_before_are_the_first_layout(tmp_path, clock):
    state = tmp_path / "state"
    spool = open_spool(state, clock=clock)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    spool.append(run, [draft(b"before")]).result()
    spool.close()
    shutil.copy(state / "state.db", tmp_path / "now.db")
    (state / "state.db").unlink()
    (state / "state.db").touch(mode=0o600)
    upgrade(state / "state.db", "0002")
    _copy_as_it_was(tmp_path / "now.db", state / "state.db")
    spool = open_spool(state, clock=clock)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    spool.append(run, [draft(b"after", lane=3)], layout=FOUR).result()
    assert drained(spool) == [b"before", b"after"]
    spool.close()


def _copy_as_it_was(now, before):
    """Rows of the tables that there were, in the columns that there were."""
    raw = sqlite3.connect(before)
    raw.execute("ATTACH ? AS now", (str(now),))
    for table in ("jobs", "runs", "messages"):
        names = ", ".join(f'"{row[1]}"' for row in raw.execute(f"PRAGMA table_info({table})"))
        raw.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM now.{table}")
    raw.commit()
    raw.close()
