"""What acks add to the counter rows is written once a transaction, and never late for anybody."""

from __future__ import annotations

import sqlite3

from agent.errors import StateError
from agent.spool import Reader
from tests.spool.test_spool_thread import hold, traced
from tests.support.spool import draft, receipt


def sums(state):
    with Reader.open(state) as reader:
        [one] = reader.overview()
    return one.waiting, one.waiting_bytes, one.delivered, one.delivered_records, one.last_receipt


def spooled(spool, run, count, **more):
    spool.append(run, [draft(f"{i}".encode(), **more) for i in range(count)]).result()
    return spool.oldest("gps", 0).result()


def test_acks_of_one_commit_write_the_row_of_their_job_once(spool, run, state):
    waiting = spooled(spool, run, 6, records=3)
    statements = traced(spool)
    go = hold(spool)
    acks = [spool.ack(message, receipt(message)) for message in waiting[:5]]
    go.set()
    for ack in acks:
        ack.result()
    assert statements.count("COMMIT") == 1
    assert sum(one.startswith("UPDATE jobs") for one in statements) == 1
    assert sum(one.startswith("DELETE FROM messages") for one in statements) == 5
    found = sums(state)
    assert found[:4] == (1, waiting[5].size, 5, 15)
    assert found[4].key == waiting[4].key


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


def test_sums_that_cannot_be_written_take_the_acks_with_them(spool, run, state):
    waiting = spooled(spool, run, 2)

    def full(db):
        db.raw.execute(
            "CREATE TEMP TRIGGER full BEFORE UPDATE ON main.jobs BEGIN SELECT RAISE(ABORT, 'no'); END"
        )

    spool._thread.submit(full, writes=False).result()
    go = hold(spool)
    acks = [spool.ack(message, receipt(message)) for message in waiting]
    go.set()
    assert [type(ack.exception()) for ack in acks] == [StateError, StateError]
    spool._thread.submit(lambda db: db.raw.execute("DROP TRIGGER full"), writes=False).result()
    assert sums(state)[:4] == (2, sum(one.size for one in waiting), 0, 0)
    assert [one.key for one in spool.oldest("gps", 0).result()] == [one.key for one in waiting]
    with sqlite3.connect(state / "state.db") as outside:
        assert outside.execute("SELECT count(*) FROM receipts").fetchone() == (0,)
    spool.ack(waiting[0], receipt(waiting[0])).result()  # and nothing of before is left to be paid
    assert sums(state)[:4] == (1, waiting[1].size, 1, 1)
