"""Sorted parts of keys are merged: at any moment each key stands in one page, and is found where it stands."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from agent.receipt_keys import mark_of
from agent.spool import key_index
from agent.spool.database import connect
from agent.spool.look import receipts_with
from agent.spool.migrations import upgrade
from tests.spool.test_receipt_keys import ack_all, append, blob, found

PAGES = "SELECT part, first, last, base, newest, marks, receipts FROM key_pages ORDER BY part, first, id"


@pytest.fixture
def small(monkeypatch):
    """Parts of 8 keys, pages of 3; four parts are merged, in two steps."""
    for name, value in (("PART_KEYS", 8), ("PAGE_KEYS", 3), ("MERGED_PARTS", 4), ("RANGES", 2)):
        monkeypatch.setattr(key_index, name, value)


@pytest.fixture
def db(tmp_path):
    path = tmp_path / "state.db"
    path.touch()
    upgrade(path)
    db = connect(path)
    yield db
    db.close()


def keep(db, *numbers, key="trip"):
    """Receipts as acks write them; each has a key of its own, and one that all have."""
    for number in numbers:
        db.begin(durable=False)
        db.execute(key_index.insert_all(key_index.receipts), **{**RECEIPT, "id": number})
        key_index.keep(db, number, blob([f"{key} {number}", "plate"]))
        db.commit()


RECEIPT = {
    **dict.fromkeys(
        ("lane", "run", "records", "size", "spooled_at", "delivered_at", "attempts", "status"), 0
    ),
    **dict.fromkeys(("job", "key", "origin", "method", "url", "answer", "answer_headers", "answer_body"), ""),
}


def pages(db):
    """(part, marks, receipts) of each page."""
    rows = db.raw.execute(PAGES).fetchall()
    return [
        (row[0], memoryview(row[5]).cast("q").tolist(), [row[3] + n for n in memoryview(row[6]).cast("I")])
        for row in rows
    ]


def parts(db):
    return {part for part, _, _ in pages(db)}


def all_found(db, numbers, key="trip"):
    return all(list(receipts_with(db.raw, mark_of(f"{key} {n}"))) == [n] for n in numbers)


@pytest.mark.usefixtures("small")
def test_after_every_ack_each_key_stands_once_and_in_order(db):
    for number in range(1, 121):
        keep(db, number)
        standing = [one for _, marks, owners in pages(db) for one in zip(marks, owners, strict=True)]
        assert len(standing) == len(set(standing)) == number // 4 * 8
        for part in parts(db):
            in_part = [
                one for p, marks, owners in pages(db) if p == part for one in zip(marks, owners, strict=True)
            ]
            assert in_part == sorted(in_part)
        assert list(receipts_with(db.raw, mark_of("plate"))) == list(range(number, 0, -1))
        assert all_found(db, random.Random(number).sample(range(1, number + 1), min(number, 5)))
    assert all_found(db, range(1, 121))
    assert len(parts(db)) < 16  # of 30
    assert list(receipts_with(db.raw, mark_of("trip 121"))) == []


@pytest.mark.usefixtures("small")
def test_a_step_that_is_undone_leaves_no_trace(db):
    keep(db, *range(1, 15))
    before = pages(db)
    db.begin(durable=False)
    key_index.keep(db, 15, blob(["trip 15", "plate"]))
    key_index.keep(db, 16, blob(["trip 16", "plate"]))  # the fourth part, and the first step
    assert any(part < 0 for part in parts(db))
    db.rollback()
    assert pages(db) == before
    db.fresh_keys = None
    keep(db, *range(15, 40))
    assert all_found(db, range(1, 40))


def test_parts_of_an_older_version_are_merged_by_and_by(db, small, monkeypatch):
    del small
    monkeypatch.setattr(key_index, "MERGED_PARTS", 2**30)
    monkeypatch.setattr(key_index, "RANGES", 1)
    keep(db, *range(1, 81))
    assert len(parts(db)) == 20
    monkeypatch.setattr(key_index, "MERGED_PARTS", 4)
    monkeypatch.setattr(key_index, "RANGES", 8)
    steps = 0
    while key_index.merge(db):  # as an hourly prune does
        steps += 1
        assert all_found(db, range(1, 81, 7))
        assert list(receipts_with(db.raw, mark_of("plate"))) == list(range(80, 0, -1))
    assert len(parts(db)) == 5
    assert 5 <= steps <= 40
    assert all_found(db, range(1, 81))


def test_parts_of_an_older_version_are_merged_while_more_come(db, small, monkeypatch):
    del small
    monkeypatch.setattr(key_index, "MERGED_PARTS", 2**30)
    keep(db, *range(1, 161))
    assert len(parts(db)) == 40
    monkeypatch.setattr(key_index, "MERGED_PARTS", 4)
    keep(db, *range(161, 321))
    assert len(parts(db)) < 40
    assert all_found(db, range(1, 321))


@pytest.mark.usefixtures("small")
def test_keys_go_with_their_receipts_in_the_middle_of_a_merge(db):
    keep(db, *range(1, 65))
    for oldest in range(1, 70, 3):
        db.raw.execute("DELETE FROM receipts WHERE id < ?", (oldest,))
        while key_index.forget(db):
            pass
        assert all_found(db, range(max(oldest, 1), 65))
        while key_index.merge(db) and oldest % 2:
            pass
    assert pages(db) == []
    keep(db, *range(65, 100))
    assert all_found(db, range(65, 100))


@pytest.mark.usefixtures("small")
def test_the_numbers_of_parts_grow_with_the_receipts_whatever_is_gone(db):
    keep(db, *range(1, 65))
    while key_index.merge(db):
        pass
    merged = sorted(parts(db))
    assert all(part < 0 for part in merged)
    db.raw.execute("DELETE FROM receipts WHERE id < 33")
    while key_index.forget(db):
        pass
    keep(db, *range(65, 129))
    assert list(receipts_with(db.raw, mark_of("plate"))) == list(range(128, 32, -1))
    assert max(parts(db)) > 0


@pytest.mark.usefixtures("small")
def test_receipts_too_far_from_each_other_stay_in_their_parts(db):
    keep(db, *range(1, 13))
    keep(db, *range(2**33, 2**33 + 20))
    assert list(receipts_with(db.raw, mark_of("plate"))) == [
        *range(2**33 + 19, 2**33 - 1, -1),
        *range(12, 0, -1),
    ]
    assert min(parts(db)) == 1


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE key_pages SET marks = substr(marks, 1, 11) WHERE id = :page",
        "UPDATE key_pages SET receipts = x'' WHERE id = :page",
        "UPDATE key_pages SET receipts = x'ffffffff' WHERE id = :page",
        "UPDATE key_pages SET marks = randomblob(length(marks)) WHERE id = :page",
        "UPDATE key_pages SET last = 9223372036854775807 WHERE id = :page",
        "UPDATE key_pages SET base = base + 1000000 WHERE id = :page",
        "UPDATE key_pages SET base = -9000000000000000000 WHERE id = :page",
        "UPDATE key_pages SET newest = 9000000000000000000 WHERE id = :page",
        "DELETE FROM key_pages WHERE id = :page",
    ],
)
def test_a_damaged_page_harms_no_ack_and_no_other_key(db, damage):
    keep(db, *range(1, 16))
    [(lost,)] = db.raw.execute("SELECT id FROM key_pages ORDER BY id LIMIT 1").fetchall()
    in_it = {receipt for (receipt,) in db.raw.execute("SELECT base FROM key_pages WHERE id = ?", (lost,))}
    in_it |= set(range(1, 5))  # its part
    db.raw.execute(damage, {"page": lost})
    keep(db, *range(16, 60))
    while key_index.merge(db):
        pass
    whole = [n for n in range(1, 60) if n not in in_it]
    assert all(n in receipts_with(db.raw, mark_of(f"trip {n}")) for n in whole)
    assert set(whole) <= set(receipts_with(db.raw, mark_of("plate")))


@pytest.mark.usefixtures("small")
def test_the_spool_merges_what_is_left_when_it_prunes(spool, run, state, monkeypatch):
    monkeypatch.setattr(key_index, "RANGES", 100)
    append(spool, run, *([f"trip {n}", "plate"] for n in range(40)))
    ack_all(spool)
    spool.prune(timedelta(days=7)).result()
    with closing(sqlite3.connect(state / "state.db")) as db:
        assert db.execute("SELECT count(DISTINCT part) FROM key_pages WHERE part > 0").fetchone()[0] < 4
    assert all(len(found(state, f"trip {n}")) == 1 for n in range(40))
    assert len(found(state, "plate", limit=100)) == 40
