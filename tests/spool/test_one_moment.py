"""A reading from outside is of one moment, and looks once at what acks owe."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress

import pytest

from agent.spool import thread
from agent.spool.reader import _OLDEST_OF_LANE, _OVERVIEW
from agent.spool.readonly import connect_readonly, one_moment
from tests.spool.test_spool_owed import acked, spooled

_OWED = "SELECT count(*) FROM owed"


@pytest.fixture
def waiting(spool, run, monkeypatch):
    """Four messages, two of them delivered and owed."""
    monkeypatch.setattr(thread, "PAY_AFTER", 3600)
    first, second, *others = spooled(spool, run, 4)
    acked(spool, first, second)
    return others


@pytest.fixture
def raw(waiting, state):
    assert waiting
    with closing(connect_readonly(state / "state.db").raw) as raw:
        yield raw


def of(raw, question):
    return raw.execute(question).fetchone()[0]


def counted(raw):
    return tuple(of(raw, f"SELECT {what} FROM {table}") for what, table in _COUNTS)


_COUNTS = (("count(*)", "owed"), ("count(*)", "messages"), ("waiting", "jobs"), ("delivered", "jobs"))


def test_what_is_delivered_meanwhile_is_seen_by_the_next_reading_only(raw, spool, waiting):
    with one_moment(raw):
        assert counted(raw) == (2, 2, 2, 2)
        acked(spool, waiting[0])
        assert counted(raw) == (2, 2, 2, 2)
    assert counted(raw) == (3, 1, 1, 3)
    with one_moment(raw):
        assert counted(raw) == (3, 1, 1, 3)


@pytest.mark.parametrize("statement", [_OVERVIEW, _OLDEST_OF_LANE])
def test_within_one_no_statement_looks_at_the_receipts_again(raw, statement):
    def plan():
        values = statement.bind({"job": "gps", "lane": 0})
        return "\n".join(row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statement.text}", values))

    assert "SCAN main.receipts" in plan()
    with one_moment(raw):
        assert "owed" in plan()
        assert "receipts" not in plan()


def test_a_message_is_looked_up_among_those_that_are_owed(raw):
    with one_moment(raw):
        steps = raw.execute("EXPLAIN QUERY PLAN SELECT id FROM messages").fetchall()
    assert any("USING ROWID SEARCH ON TABLE owed" in step[3] for step in steps), steps


@pytest.mark.parametrize("damage", [None, ValueError("a row makes no sense")])
def test_when_it_ends_all_is_as_before(raw, damage):
    with suppress(ValueError), one_moment(raw):
        assert of(raw, "SELECT type FROM sqlite_temp_master WHERE name = 'owed'") == "table"
        if damage is not None:
            raise damage
    assert not raw.in_transaction
    assert of(raw, "SELECT type FROM sqlite_temp_master WHERE name = 'owed'") == "view"
    assert of(raw, _OWED) == 2


def test_nothing_can_be_written_meanwhile_or_afterwards(raw):
    def refused():
        for table in ("main.jobs", "temp.owed"):
            with pytest.raises(sqlite3.OperationalError, match=r"readonly|cannot modify owed"):
                raw.execute(f"DELETE FROM {table}")

    with one_moment(raw):
        refused()
    refused()
