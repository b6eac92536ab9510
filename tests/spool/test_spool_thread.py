from __future__ import annotations

import asyncio
import sqlite3
import threading
from dataclasses import FrozenInstanceError, fields

import pytest
from sqlalchemy import bindparam, delete, update

from agent.errors import StateError
from agent.message import Message
from agent.spool import Reader
from agent.spool.database import Statement
from agent.spool.tables import waits
from tests.support.spool import bodies, draft, receipt


def hold(spool):
    """Keep the spool's thread busy until the event is set: what is submitted meanwhile is one group."""
    held, go = threading.Event(), threading.Event()
    spool._thread.submit(lambda db: held.set() or go.wait(30), writes=False)
    assert held.wait(30)
    return go


def traced(spool):
    statements = []
    spool._thread.submit(lambda db: db.raw.set_trace_callback(statements.append), writes=False).result()
    return statements


def test_what_waits_is_committed_together(spool, run):
    statements = traced(spool)
    go = hold(spool)
    pendings = [spool.append(run, [draft(f"{i}".encode())]) for i in range(20)]
    go.set()
    assert len({key for pending in pendings for key in pending.result()}) == 20
    assert statements.count("COMMIT") == 1
    assert bodies(spool) == [f"{i}".encode() for i in range(20)]


def test_a_piece_that_fails_harms_no_other(spool, run):
    go = hold(spool)
    good, bad, after = (
        spool.append(run, [draft(b"1")]),
        spool.append(99, [draft()]),
        spool.append(run, [draft(b"2")]),
    )
    go.set()
    good.result()
    after.result()
    assert isinstance(bad.exception(), LookupError)
    assert bodies(spool) == [b"1", b"2"]


def test_del_17_after_an_io_error_nothing_counts_as_done_and_the_database_is_opened_again(spool, run):
    first = spool._thread.submit(lambda db: db).result()

    def broken(db):
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    go = hold(spool)
    good, bad = spool.append(run, [draft(b"good")]), spool._thread.submit(broken, durable=True)
    go.set()
    assert good.result()
    assert isinstance(bad.exception(), StateError)
    assert spool._thread.submit(lambda db: db).result() is not first
    assert bodies(spool) == [b"good"]


async def test_del_18_a_disk_that_takes_its_time_never_holds_the_event_loop(spool, run):
    go = hold(spool)  # as long as a commit takes
    pendings = [spool.append(run, [draft()]) for _ in range(3)]
    turns = 0
    while turns < 1000:
        await asyncio.sleep(0)
        turns += 1
        assert not any(pending.done() for pending in pendings)
    go.set()
    assert len([await pending for pending in pendings]) == 3


def test_del_16_a_disk_that_turns_read_only_loses_nothing_and_heals(spool, run):
    spool.append(run, [draft(b"before")]).result()
    [message] = spool.oldest("gps", 0).result()
    reopen = spool._thread._reopen

    def read_only(damage):
        db = reopen(damage)
        db.raw.execute("PRAGMA query_only=1")
        return db

    spool._thread._reopen = read_only
    spool._thread.submit(lambda db: db.raw.execute("PRAGMA query_only=1"), writes=False).result()
    for _ in range(2):
        with pytest.raises(StateError, match="readonly"):
            spool.append(run, [draft(b"lost")]).result()
        with pytest.raises(StateError, match="readonly"):
            spool.ack(message, receipt(message)).result()
        assert bodies(spool) == [b"before"]
    spool._thread._reopen = reopen
    with pytest.raises(StateError):  # which opens it anew
        spool.append(run, [draft(b"again")]).result()
    spool.append(run, [draft(b"after")]).result()
    spool.ack(message, receipt(message)).result()
    assert bodies(spool) == [b"after"]


def test_only_durable_work_waits_for_the_disk(spool, run):
    spool.append(run, [draft()]).result()
    [message] = spool.oldest("gps", 0).result()
    statements = traced(spool)
    spool.ack(message, receipt(message)).result()
    spool.append(run, [draft()]).result()
    switches = [line for line in statements if "synchronous" in line]
    assert switches == ["PRAGMA synchronous=NORMAL", "PRAGMA synchronous=FULL"]


async def test_cancelling_the_waiter_does_not_cancel_the_ack(spool, run, state):
    await spool.append(run, [draft()])
    [message] = await spool.oldest("gps", 0)
    go = hold(spool)
    pending = spool.ack(message, receipt(message))

    async def wait():
        await pending

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    await pending
    assert not pending.cancel()
    with Reader.open(state) as reader:
        assert len(reader.receipts(message.key)) == 1


async def test_an_awaited_failure_is_raised_where_it_is_awaited(spool):
    with pytest.raises(LookupError):
        await spool.append(99, [draft()])


def test_a_listener_that_fails_does_not_harm_the_spool(spool, run):
    def fail(job):
        raise ValueError(job)

    spool.on_append = fail
    spool.append(run, [draft()]).result()
    assert len(bodies(spool)) == 1


def test_closing_does_everything_that_was_submitted_first(spool, run, state):
    go = hold(spool)
    pending = spool.append(run, [draft()])
    go.set()
    spool.close()
    spool.close()
    assert pending.result()
    assert isinstance(spool.cursor("gps").exception(), StateError)
    assert not (state / "state.db-wal").exists()


def test_what_is_deleted_is_not_written_once_more(spool):
    # Debian's SQLite overwrites it: every ack would write the pages of its body
    assert spool._thread.submit(lambda db: db.number("PRAGMA secure_delete")).result() == 2


def test_parameters_are_bound_by_name_and_those_of_the_statement_itself_are_kept():
    statement = Statement(update(waits).where(waits.c.job == bindparam("of")).values(until=None, kind="k"))
    assert set(statement.bind({"of": "gps"})) == {None, "k", "gps"}
    assert set(statement.bind({})) == {None, "k"}
    assert Statement(delete(waits)).bind({}) == ()


def test_a_message_that_is_filled_from_its_row_is_as_one_that_was_made(spool, run):
    spool.append(run, [draft(b"1", path="/a", headers={"X": "y"}, as_of=5.0)]).result()
    [message] = spool.oldest("gps", 0).result()
    made = Message(**{one.name: getattr(message, one.name) for one in fields(Message)})
    assert message == made
    assert (made.body, made.path, dict(made.headers), made.as_of) == (b"1", "/a", {"X": "y"}, 5.0)
    with pytest.raises(FrozenInstanceError):
        message.lane = 1
