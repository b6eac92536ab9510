"""What acks owe: messages leave and counters change a little later, many at once, and nobody sees it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sqlite3
import time
from contextlib import closing, contextmanager

import pytest

from agent.errors import StateError
from agent.message import LANES, Layout
from agent.receipt_keys import packed
from agent.spool import Reader, owed, thread
from tests.spool.test_spool_thread import hold, traced
from tests.support.spool import bodies, draft, letter, open_spool, receipt, stamp


@pytest.fixture
def slow(monkeypatch):
    """Nothing is paid because nobody comes."""
    monkeypatch.setattr(thread, "PAY_AFTER", 3600)


def sums(state):
    with Reader.open(state) as reader:
        [one] = reader.overview()
    return one.waiting, one.waiting_bytes, one.delivered, one.delivered_records, one.last_receipt


def spooled(spool, run, count, **more):
    spool.append(run, [draft(f"{i}".encode(), **more) for i in range(count)]).result()
    return spool.oldest("gps", 0, limit=count).result()


def acked(spool, *waiting):
    for message in waiting:
        spool.ack(message, receipt(message)).result()


def acked_at_once(spool, waiting, *, together):
    """In one commit, as far as one takes so many; or each in its own."""
    if not together:
        acked(spool, *waiting)
        return
    go = hold(spool)
    acks = [spool.ack(message, receipt(message)) for message in waiting]
    go.set()
    for ack in acks:
        ack.result()


def until(true):
    while not true():  # the time limit of a test ends it
        time.sleep(0.005)


def on_disk(state, statement):
    """As the tables are, whatever is owed."""
    with closing(sqlite3.connect(state / "state.db")) as db:
        return db.execute(statement).fetchall()


def killed(spool, state, to):
    """What lies on the disk when nobody does anything any more."""

    def take(_):
        to.mkdir()
        for each in state.glob("state.db*"):
            shutil.copyfile(each, to / each.name)

    spool._thread.submit(take, writes=False, regardless=True).result()
    return to


@contextmanager
def broken(spool, table):
    """Nothing of it can be changed."""
    text = f"CREATE TEMP TRIGGER full BEFORE UPDATE ON main.{table} BEGIN SELECT RAISE(ABORT, 'no'); END"
    spool._thread.submit(lambda db: db.raw.execute(text), writes=False, regardless=True).result()
    yield
    drop = "DROP TRIGGER full"
    spool._thread.submit(lambda db: db.raw.execute(drop), writes=False, regardless=True).result()


@pytest.mark.usefixtures("slow")
def test_an_ack_writes_its_receipt_and_the_rest_is_done_for_many_at_once(spool, run, state):
    waiting = spooled(spool, run, 6, records=3)
    statements = traced(spool)
    acked(spool, *waiting[:5])
    words = [one.split()[0] for one in statements if "sqlite_sequence" not in one]
    assert words == ["PRAGMA", *["BEGIN", "SELECT", "INSERT", "COMMIT"] * 5]
    assert on_disk(state, "SELECT waiting, delivered FROM jobs") == [(6, 0)]
    assert bodies(spool) == [b"5"]
    found = sums(state)
    assert found[:4] == (1, waiting[5].size, 5, 15)
    assert found[4].key == waiting[4].key
    statements.clear()
    assert spool.lanes().result() == [("gps", 0)]
    assert [one.split()[0] for one in statements[:8]] == ["BEGIN", *["DELETE"] * 5, "UPDATE", "COMMIT"]
    assert on_disk(state, "SELECT waiting, delivered FROM jobs") == [(1, 5)]
    assert sums(state) == found


def test_who_comes_between_two_acks_of_one_commit_sees_the_first_and_not_the_second(spool, run):
    first, second, third = spooled(spool, run, 3)
    go = hold(spool)
    pendings = [
        spool.ack(first, receipt(first)),
        spool._thread.submit(lambda db: db.raw.execute("SELECT waiting, delivered FROM jobs").fetchone()),
        spool.ack(second, receipt(second)),
        spool._thread.submit(
            lambda db: db.raw.execute("SELECT waiting, delivered FROM jobs").fetchone(), writes=False
        ),
        spool.ack(third, receipt(third)),
    ]
    go.set()
    assert [pending.result() for pending in pendings] == [None, (2, 1), None, (1, 2), None]


def test_an_ack_that_is_done_again_after_its_group_failed_counts_once(spool, run, state):
    waiting = spooled(spool, run, 3)

    def broken(db):
        raise LookupError("not there")

    go = hold(spool)
    acks = [spool.ack(waiting[0], receipt(waiting[0])), spool.ack(waiting[1], receipt(waiting[1]))]
    bad = spool._thread.submit(broken)
    again = spool.ack(waiting[1], receipt(waiting[1]))
    go.set()
    assert isinstance(bad.exception(), LookupError)
    assert [one.result() for one in (*acks, again)] == [None, None, None]
    assert sums(state)[:4] == (1, waiting[2].size, 2, 2)
    assert on_disk(state, "SELECT id FROM receipts ORDER BY id") == [(1,), (2,)]


@pytest.mark.usefixtures("slow")
def test_what_cannot_be_paid_now_is_owed_on_and_nothing_is_sent_again(spool, run, state):
    waiting = spooled(spool, run, 3)
    with broken(spool, "jobs"):
        acked(spool, waiting[0], waiting[1])
        assert bodies(spool) == [b"2"]
        assert spool.lanes().result() == [("gps", 0)]  # who only reads is not kept waiting
        assert isinstance(spool.note_attempt(waiting[2].id).exception(), StateError)
        acked(spool, waiting[0])  # it has left
        assert sums(state)[:4] == (1, waiting[2].size, 2, 2)
        acked(spool, waiting[2])
        assert (
            spool.lanes().result() == spool.lanes("gps").result() == []
        )  # no lane opens for it again and again
    spool.append(run, [draft(b"3")]).result()
    assert spool.lanes().result() == [("gps", 0)]
    assert on_disk(state, "SELECT waiting, delivered FROM jobs") == [(1, 3)]
    assert on_disk(state, "SELECT body FROM messages") == [(b"3",)]


@pytest.mark.usefixtures("slow")
def test_del_05_06_a_kill_before_it_is_paid_sends_nothing_again(spool, run, state, tmp_path):
    spool.append(run, [draft(b"0"), draft(b"1", records=3), draft(b"2")]).result()
    file = spool.open_file("gps", run, stamp(), "sha", hold=False).result()
    spool.append(run, [draft(b"3", records=5), draft(b"4")], file=file).result()
    waiting = spool.oldest("gps", 0).result()
    acked(spool, *waiting[:2], waiting[3])
    copy = killed(spool, state, tmp_path / "copy")
    with Reader.open(copy) as reader:  # before anybody has started again
        [job] = reader.overview()
        assert (job.waiting, job.waiting_records, job.delivered, job.delivered_records) == (2, 2, 3, 9)
        assert (job.last_receipt.key, job.oldest_at) == (waiting[3].key, waiting[2].spooled_at)
        assert [one.fate for message in waiting for one in reader.find(message.key)] == [
            *("delivered", "delivered", "waiting", "delivered", "waiting")
        ]
        assert [reader.is_waiting(message.key) for message in waiting] == [False, False, True, False, True]
        ask = "SELECT waiting, waiting_records, waiting_bytes, delivered FROM files"
        assert reader._read(lambda raw: raw.execute(ask).fetchone(), ()) == (1, 1, 1, 1)
        seen = dataclasses.replace(job, last_run=None), reader.files("gps")
    again = open_spool(copy)
    assert bodies(again) == [b"2", b"4"]
    again.close()
    assert on_disk(copy, "SELECT body FROM messages ORDER BY id") == [(b"2",), (b"4",)]
    with Reader.open(copy) as reader:
        [job] = reader.overview()
        assert (dataclasses.replace(job, last_run=None), reader.files("gps")) == seen
    assert on_disk(copy, ask) == [(1, 1, 1, 1)]


def test_when_nobody_comes_all_is_paid(spool, run, state):
    acked(spool, *spooled(spool, run, 2))
    until(lambda: on_disk(state, "SELECT count(*) FROM messages") == [(0,)])
    assert on_disk(state, "SELECT waiting, delivered FROM jobs") == [(0, 2)]


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("together", [True, False])
def test_no_more_is_ever_owed_than_a_start_looks_for(spool, run, state, together):
    waiting = spooled(spool, run, owed.MOST + 20)
    acked_at_once(spool, waiting, together=together)
    [(left,)] = on_disk(state, "SELECT count(*) FROM messages")
    assert left <= owed.MOST
    assert sums(state)[:3] == (0, 0, len(waiting))


@pytest.mark.usefixtures("slow")
def test_behind_many_acks_of_one_commit_is_paid_in_a_pause_and_behind_a_single_one_at_once(
    spool, run, state, monkeypatch
):
    """Who is alone has its next request on its way meanwhile; of many, others are just coming."""
    monkeypatch.setattr(thread, "PAY_AFTER", 3600)
    monkeypatch.setattr(thread, "PAUSE", 3600)
    waiting = spooled(spool, run, owed.ENOUGH + 3)  # in the first pause it waits with what was set above

    def debts():
        return spool._thread.submit(lambda db: len(db.owed), writes=False, regardless=True).result()

    acked_at_once(spool, waiting[: owed.ENOUGH], together=True)
    assert debts() == owed.ENOUGH
    assert debts() == 0  # what asked before was alone
    assert on_disk(state, "SELECT waiting FROM jobs") == [(3,)]


def test_large_bodies_leave_at_once(spool, run, state, monkeypatch):
    monkeypatch.setattr(owed, "MOST_BYTES", 100)
    spool.append(run, [draft(b"x" * 60), draft(b"x" * 60), draft(b"y")]).result()
    first, second, _ = spool.oldest("gps", 0).result()
    acked(spool, first)
    assert on_disk(state, "SELECT count(*) FROM messages") == [(3,)]
    acked(spool, second)
    until(lambda: on_disk(state, "SELECT count(*) FROM messages") == [(1,)])


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("together", [True, False])
def test_del_13_what_is_owed_makes_room_for_receipts_in_a_full_spool(state, together):
    """Their keys take more room than there is beyond the limit, as long as no message leaves."""
    spool = open_spool(state, max_bytes=2_000_000)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    keys = packed([os.urandom(48_000)])
    while spool.append(run, [draft(b"x", record_keys=keys)]).exception() is None:
        pass
    waiting = spool.oldest("gps", 0, limit=1000).result()
    acked_at_once(spool, waiting, together=together)
    assert bodies(spool) == []
    spool.append(run, [draft(b"y")]).result()
    spool.close()
    assert sums(state)[2] == len(waiting)


@pytest.mark.usefixtures("slow")
def test_what_is_owed_keeps_no_later_layout_waiting(spool, run):
    spool.append(run, [draft(b"old")], layout=Layout(name="a", lanes=4)).result()
    spool.append(run, [draft(b"new")], layout=Layout(name="b", lanes=8)).result()
    assert bodies(spool, lane=LANES) == []
    acked(spool, *spool.oldest("gps", 0).result())
    assert bodies(spool, lane=LANES) == [b"new"]


@pytest.mark.usefixtures("slow")
def test_a_window_is_as_long_as_it_may_be_whatever_is_owed(spool, run):
    waiting = spooled(spool, run, 12)
    acked(spool, *waiting[:5])
    assert [one.id for one in spool.oldest("gps", 0, limit=4).result()] == [one.id for one in waiting[5:9]]
    after = waiting[6].id
    assert [one.id for one in spool.oldest("gps", 0, after=after, limit=9).result()] == [
        one.id for one in waiting[7:]
    ]


@pytest.mark.usefixtures("slow")
def test_an_id_that_was_given_twice_takes_nobody_with_it(spool, run, state, tmp_path, clock):
    """As a damaged database may: the receipt is of another message than that which has its id now."""
    first, second = spooled(spool, run, 2)
    acked(spool, dataclasses.replace(first, spooled_at=first.spooled_at - 1))
    copy = killed(spool, state, tmp_path / "copy")
    with Reader.open(copy) as reader:
        assert reader.is_waiting(first.key)
        assert reader.overview()[0].waiting == 2
    again = open_spool(copy, clock=clock)
    assert [one.key for one in again.oldest("gps", 0).result()] == [first.key, second.key]
    again.close()


@pytest.mark.usefixtures("slow")
def test_a_receipt_with_a_damaged_number_keeps_nobody_from_paying(spool, run, state, tmp_path):
    waiting = spooled(spool, run, 3)
    acked(spool, *waiting[:2])
    copy = killed(spool, state, tmp_path / "copy")
    with closing(sqlite3.connect(copy / "state.db", isolation_level=None)) as db:
        db.execute("UPDATE receipts SET records = x'00' WHERE id = 1")
    again = open_spool(copy)
    assert bodies(again) == [b"0", b"2"]
    again.note_attempt(waiting[2].id).result()
    again.close()
    assert on_disk(copy, "SELECT waiting, delivered FROM jobs") == [(2, 1)]


@pytest.mark.usefixtures("slow")
def test_del_19_what_is_saved_of_a_damaged_state_is_not_sent_again(spool, run, state, tmp_path):
    waiting = spooled(spool, run, 3)
    acked(spool, *waiting[:2])
    copy = killed(spool, state, tmp_path / "copy")
    with closing(sqlite3.connect(copy / "state.db")) as db:
        [(root,)] = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'receipts_of_key'")
    with (copy / "state.db").open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)
    again = open_spool(copy)
    assert again.recovered is not None
    assert bodies(again) == [b"2"]
    again.close()
    assert sums(copy)[:4] == (1, waiting[2].size, 2, 2)


def test_a_message_that_dies_behind_others_that_were_delivered(spool, run, state):
    waiting = spooled(spool, run, 3)
    go = hold(spool)
    acks = [spool.ack(waiting[0], receipt(waiting[0])), spool.bury(waiting[1], letter(waiting[1]))]
    go.set()
    assert [one.result() for one in acks] == [None, None]
    assert sums(state)[:3] == (1, waiting[2].size, 1)
    assert bodies(spool) == [b"2"]


def test_receipts_are_numbered_in_order_and_no_number_is_given_twice(state, tmp_path):
    spool = open_spool(state)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    acked(spool, *spooled(spool, run, 3))
    spool.close()
    assert on_disk(state, "SELECT seq FROM sqlite_sequence WHERE name = 'receipts'") == [(3,)]
    spool = open_spool(state)
    spool.append(run, [draft(b"x")]).result()
    [message] = spool.oldest("gps", 0).result()
    failing = hold(spool)
    ack, bad = spool.ack(message, receipt(message)), spool.append(99, [draft()])
    failing.set()
    ack.result()
    assert isinstance(bad.exception(), LookupError)
    assert on_disk(state, "SELECT id FROM receipts ORDER BY id") == [(1,), (2,), (3,), (4,)]
    copy = killed(spool, state, tmp_path / "copy")
    spool.close()
    again = open_spool(copy)
    run = again.start_run("gps", 1.0, "every", "sha").result()
    acked(again, *spooled(again, run, 2))
    again.close()
    ids = [row[0] for row in on_disk(copy, "SELECT id FROM receipts ORDER BY delivered_at, id")]
    assert ids[:4] == [1, 2, 3, 4]
    assert ids[4] > 4
    assert ids[5] == ids[4] + 1
