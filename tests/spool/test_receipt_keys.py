"""Receipts are found by the keys of their records, whatever a key holds and however many there are."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import timedelta

import pytest

from agent.message import Answer
from agent.receipt_keys import bytes_of, keys_of, keys_of_ranges, mark_of, marks_of, packed
from agent.spool import LaneWait, Reader, key_index, prune
from agent.spool.database import connect
from tests.support.spool import draft, letter, open_spool, receipt, stamp

ODD = ["'; DROP TABLE receipts", "a\nb", "a\0b", "x" * 10_240, "ü 🚚", "%", "*", "-", "\ud800"]


def blob(*columns):
    """Of one list of keys for each expression; None and "" are no key."""
    return packed([b"".join(bytes_of(mark_of(key) if key else 0) for key in column) for column in columns])


def append(spool, run, *columns, **more):
    """One message for each list of keys (or tuple of lists)."""
    drafts = [
        draft(b"%d" % n, records=len(keys), record_keys=blob(keys), origin=f"{n}", **more)
        for n, keys in enumerate(columns)
    ]
    return spool.append(run, drafts).result()


def ack_all(spool, **more):
    for message in spool.oldest("gps", 0, limit=100_000).result():
        spool.ack(message, receipt(message, **more)).result()


def found(state, key, **more):
    with Reader.open(state) as reader:
        return [(one.fate, one.key) for one in reader.find(key, **more)]


@pytest.fixture
def small(monkeypatch):
    """Parts and pages of a few keys: what is sorted, and what is not, can then be seen with a few receipts."""
    monkeypatch.setattr(key_index, "PART_KEYS", 8)
    monkeypatch.setattr(key_index, "PAGE_KEYS", 3)
    monkeypatch.setattr(key_index, "MERGED_PARTS", 4)
    monkeypatch.setattr(key_index, "RANGES", 2)


def test_the_keys_of_a_part_of_a_message_are_a_slice_of_each_column():
    whole = blob(["a", "b", "c", "d"], ["1", None, "3", "4"])
    assert keys_of(whole, 2, 3) == blob(["b", "c"], [None, "3"])
    assert keys_of(whole, 1, 4) == whole
    assert keys_of_ranges(whole, [(1, 1), (3, 4)]) == blob(["a", "c", "d"], ["1", "3", "4"])
    assert marks_of(keys_of(whole, 2, 2)) == {mark_of("b")}
    assert keys_of(b"", 1, 4) == b""
    assert marks_of(b"") == set()


@pytest.mark.parametrize("key", ODD)
def test_whatever_a_key_holds_it_is_found_waiting_dead_and_delivered(spool, run, state, key):
    sent, refused, _ = append(spool, run, [key], ["other", key], [key + " "])
    waiting = [("waiting", sent), ("waiting", refused)]
    assert found(state, key) == waiting
    first, second, _ = spool.oldest("gps", 0).result()
    spool.ack(first, receipt(first)).result()
    spool.bury(second, letter(second)).result()
    assert found(state, key) == [("dead", refused), ("delivered", sent)]


def test_what_is_found_tells_the_request_and_the_answer(spool, run, state, clock):
    [key] = append(spool, run, ["4711"])
    ack_all(spool, at=clock.now() + 5)
    with Reader.open(state) as reader:
        [one] = reader.find("4711")
    assert (one.job, one.key, one.run, one.origin, one.records) == ("gps", key, run, "0", 1)
    assert (one.method, one.url) == ("POST", "https://target.test/in")
    assert one.answer is not None
    assert (one.answer.reason, one.answer.body) == ("200 OK", "thanks")
    assert (one.spooled_at, one.settled_at, one.attempts) == (clock.now(), clock.now() + 5, 1)


def test_what_waits_tells_its_place_and_why_its_lane_waits(spool, run, state, clock):
    append(spool, run, ["a"], ["b"], ["c"])
    wait = LaneWait(job="gps", lane=0, kind="retry", reason="503", since=clock.now(), until=None, attempts=2)
    spool.set_wait(wait).result()
    with Reader.open(state) as reader:
        [one] = reader.find("c")
    assert (one.ahead, one.wait, one.settled_at, one.earlier) == (2, wait, None, False)


def test_what_is_held_until_its_file_is_read_says_so(spool, run, state):
    row = spool.open_file("gps", run, stamp(), "sha", hold=True).result()
    spool.append(run, [draft(record_keys=blob(["a"]))], file=row).result()
    assert [fate for fate, _ in found(state, "a")] == ["held"]
    spool.release_file(row).result()
    assert [fate for fate, _ in found(state, "a")] == ["waiting"]


def test_an_idempotency_key_finds_its_message_its_parts_and_nothing_like_it(spool, run, state):
    key, other = append(spool, run, ["a", "b"], ["c"])
    assert found(state, key) == found(state, f"{key}.1-1") == [("waiting", key)]
    assert found(state, f"{key}.1-9.0123456789abcdef") == [("waiting", key)]
    message, _ = spool.oldest("gps", 0).result()
    parts = [receipt_of_part(message, f"{key}.{n}-{n}", keys_of(message.record_keys, n, n)) for n in (1, 2)]
    spool.settle(message, receipts=parts, letters=()).result()
    assert found(state, key) == [("delivered", f"{key}.2-2"), ("delivered", f"{key}.1-1")]
    assert found(state, f"{key}.1-1") == found(state, "a") == [("delivered", f"{key}.1-1")]
    assert found(state, "b") == [("delivered", f"{key}.2-2")]
    assert found(state, key[:-2]) == []
    assert found(state, other) == [("waiting", other)]


def receipt_of_part(message, key, keys):
    return replace(receipt(message), key=key, records=1, record_keys=keys)


@pytest.mark.usefixtures("small")
def test_keys_are_found_over_many_sorted_parts_the_newest_first(spool, run, state):
    keys = append(spool, run, *([f"trip {n}", "plate"] for n in range(50)))
    ack_all(spool)
    assert found(state, "plate", limit=100) == [("delivered", key) for key in reversed(keys)]
    assert found(state, "plate", limit=3) == [("delivered", key) for key in keys[:-4:-1]]
    for n, key in enumerate(keys):
        assert found(state, f"trip {n}") == [("delivered", key)]
    assert found(state, "trip 50") == []


@pytest.mark.usefixtures("small")
def test_a_record_without_a_key_costs_nothing_and_is_not_found(spool, run, state):
    append(spool, run, *([None, ""] for _ in range(20)))
    ack_all(spool)
    assert found(state, "") == []
    with sqlite3.connect(state / "state.db") as db:
        assert db.execute("SELECT count(*) FROM key_pages").fetchone() == (0,)


def test_a_job_without_keys_writes_none(spool, run, state):
    spool.append(run, [draft() for _ in range(5)]).result()
    ack_all(spool)
    with sqlite3.connect(state / "state.db") as db:
        assert db.execute("SELECT count(*) FROM receipt_keys").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM receipts").fetchone() == (5,)


@pytest.mark.usefixtures("small")
def test_keys_go_with_their_receipts(spool, run, state, clock):
    append(spool, run, *([f"old {n}"] for n in range(20)))
    ack_all(spool, at=clock.now())
    clock.tick(8 * 86_400)
    append(spool, run, *([f"new {n}"] for n in range(20)))
    ack_all(spool, at=clock.now())
    assert spool.prune(timedelta(days=7)).result() == 20
    assert [found(state, f"old {n}") for n in range(20)] == [[]] * 20
    assert all(found(state, f"new {n}") for n in range(20))
    clock.tick(8 * 86_400)
    spool.prune(timedelta(days=7)).result()
    with sqlite3.connect(state / "state.db") as db:
        left = [
            db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("key_pages", "receipt_keys")
        ]
    assert left == [0, 0]


def test_receipts_beyond_their_size_go_before_their_time_the_oldest_first(spool, run, state):
    spool.append(run, [draft(record_keys=blob([f"{n}"])) for n in range(4_000)]).result()
    messages = spool.oldest("gps", 0, limit=5_000).result()
    for message in messages:
        last = spool.ack(message, receipt(message))
    last.result()
    with Reader.open(state) as reader:
        whole = reader._ask(prune.receipt_bytes, 0)
    assert spool.prune(timedelta(days=7), whole * 2).result() == 0
    assert spool.prune(timedelta(days=7), whole * 6 // 10).result() == 2_000
    assert found(state, "1999") == []
    assert found(state, "2000") == [("delivered", messages[2_000].key)]
    assert found(state, "3999") == [("delivered", messages[3_999].key)]


def test_what_receipts_take_is_estimated_from_what_they_hold(spool, run, state):
    """Within a third of what the database grew by."""
    spool.append(run, [draft(record_keys=blob([f"{n}"])) for n in range(3_000)]).result()
    messages = spool.oldest("gps", 0, limit=3_000, max_bytes=10**9).result()
    answer = Answer(status=200, reason="200 OK", headers={"Server": "sink"}, body="thanks" * 50)
    for message in messages:
        last = spool.ack(message, replace(receipt(message), answer=answer))
    last.result()
    spool.close()
    db = connect(state / "state.db")
    used = (db.number("PRAGMA page_count") - db.number("PRAGMA freelist_count")) * 4096
    told = prune.receipt_bytes(db)
    db.close()
    assert 0.67 < told / used < 1.34


def test_a_restart_goes_on_with_the_keys_that_are_not_sorted_yet(state, clock, small):
    del small
    for life in range(3):
        spool = open_spool(state, clock=clock)
        run = spool.start_run("gps", 1.0, "every", "sha").result()
        append(spool, run, *([f"{life} {n}"] for n in range(5)))
        ack_all(spool)
        spool.close()
    assert all(found(state, f"{life} {n}") for life in range(3) for n in range(5))
    with sqlite3.connect(state / "state.db") as db:
        assert db.execute("SELECT count(DISTINCT part) FROM key_pages").fetchone() == (1,)
        assert db.execute("SELECT count(*) FROM receipt_keys").fetchone()[0] in {6, 7}


def test_a_dead_letter_that_is_revived_is_found_as_waiting_again(spool, run, state):
    [key] = append(spool, run, ["a"])
    [message] = spool.oldest("gps", 0).result()
    spool.bury(message, letter(message)).result()
    with Reader.open(state) as reader:
        [one] = reader.find("a")
        assert (one.letter, one.reason) == (reader.dead()[0].id, "refused")
    spool.revive(one.letter).result()
    assert found(state, "a") == [("waiting", key)]
    ack_all(spool)
    assert found(state, "a") == [("delivered", key)]


def test_only_of_one_job(spool, run, state):
    append(spool, run, ["a"])
    other = spool.start_run("trips", 1.0, "every", "sha").result()
    [key] = append(spool, other, ["a"])
    assert len(found(state, "a")) == 2
    assert found(state, "a", job="trips") == [("waiting", key)]
    assert found(state, "a", job="nothing") == []


def test_what_receipts_take_is_told_without_reading_them_all(spool, run):
    append(spool, run, *[[f"k{number}"] for number in range(3)])
    ack_all(spool)
    steps = []

    def ask(db):
        db.raw.set_trace_callback(steps.append)
        size = prune.receipt_bytes(db)
        db.raw.set_trace_callback(None)
        plans = [db.raw.execute(f"EXPLAIN QUERY PLAN {each}").fetchall() for each in steps if "min(" in each]
        return size, [step[3] for plan in plans for step in plan]

    size, plan = spool._thread.submit(ask, writes=False).result()
    assert size > 0
    assert any(step.startswith("SEARCH receipts") for step in plan)  # from either end
    assert not any(step.startswith("SCAN receipts") for step in plan)
