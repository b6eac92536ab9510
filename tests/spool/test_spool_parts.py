"""A message that becomes smaller where it lies: one step is all of receipts, dead letters and progress."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.message import Draft
from agent.parts import Progress
from agent.spool import Fit, Left, Reader, migrations
from agent.spool.queue import check_sum
from tests.support.spool import draft, letter, open_spool, receipt

FORM = "json 1 1"


@pytest.fixture
def spool(state):
    spool = open_spool(state)
    yield spool
    spool.close()


def appended(spool, *drafts: Draft):
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    spool.append(run, drafts).result()
    return spool.oldest("gps", 0).result()


def left(records, *pieces, size=3):
    return Left(progress=str(Progress(records=4, pieces=pieces)), records=records, size=size)


def test_what_is_left_stays_where_it_was_with_its_key(spool, state):
    first, second = appended(spool, draft(b"[1,2,3,4]", records=4, form=FORM), draft())
    part = replace(first, key=f"{first.key}.1-2", records=2)
    spool.part(first, left(2, ((3, 4),)), receipts=[receipt(part)]).result()
    again, behind = spool.oldest("gps", 0).result()
    assert (again.id, again.key, again.records, again.size) == (first.id, first.key, 2, 3)
    assert (again.body, again.form) == (first.body, FORM)
    assert Progress.read(again.progress).pieces == (((3, 4),),)
    assert behind == second
    with Reader.open(state) as reader:
        assert [one.records for one in reader.receipts(part.key)] == [2]


def test_a_step_that_was_done_already_is_not_done_again(spool, state):
    (message,) = appended(spool, draft(records=4))
    step = left(3, ((2, 4),))
    for _ in range(2):  # the commit was written, and the answer got lost
        spool.part(message, step, letters=[letter(replace(message, key="k.1-1", records=1))]).result()
    with Reader.open(state) as reader:
        assert [one.key for one in reader.dead()] == ["k.1-1"]
        (overview,) = reader.overview()
    assert (overview.waiting, overview.waiting_records, overview.dead) == (1, 3, 1)


def test_a_step_of_a_message_that_is_gone_leaves_no_trace(spool, state):
    (message,) = appended(spool, draft(records=4))
    spool.ack(message, receipt(message)).result()
    spool.part(message, left(3, ((2, 4),)), letters=[letter(message)]).result()
    with Reader.open(state) as reader:
        assert reader.dead() == []


def test_progress_that_was_damaged_on_the_disk_loses_no_record(spool, state):
    (message,) = appended(spool, draft(records=4))
    spool.part(message, left(3, ((2, 4),))).result()
    spool.close()
    with closing(sqlite3.connect(state / "state.db")) as db, db:
        db.execute("UPDATE messages SET progress = replace(progress, '[2,4]', '[3,4]')")
    again = open_spool(state)
    assert again.oldest("gps", 0).result() == []
    again.used_bytes().result()
    with Reader.open(state) as reader:
        assert [(one.reason, one.body, one.records) for one in reader.dead()] == [("damaged", b"body", 3)]
        assert reader.overview()[0].waiting_records == 0
    again.close()


def test_a_form_that_was_damaged_is_seen_too(spool, state):
    appended(spool, draft(records=4, form=FORM))
    spool.close()
    with closing(sqlite3.connect(state / "state.db")) as db, db:
        db.execute("UPDATE messages SET form = 'json 2 1'")
    again = open_spool(state)
    assert again.oldest("gps", 0).result() == []
    again.close()


def test_a_dead_letter_of_several_records_can_be_taken_apart_when_it_is_back(spool):
    (message,) = appended(spool, draft(b"[1,2,3,4]", records=4, form=FORM))
    spool.bury(message, letter(message, "expired")).result()
    spool.revive(1).result()
    (again,) = spool.oldest("gps", 0).result()
    assert (again.form, again.progress, again.records) == (FORM, "", 4)


def test_the_size_that_a_target_takes_is_kept_by_job_over_a_restart(spool, state):
    fits = [Fit(job=job, size=7, refused=14, learned_at=1.0) for job in ("a", "b")]
    for fit in fits:
        spool.set_fit(fit).result()
    spool.set_fit(replace(fits[0], size=8)).result()
    spool.drop_fit("b").result()
    spool.close()
    again = open_spool(state)
    assert again.fits().result() == {"a": replace(fits[0], size=8)}
    again.close()


def test_what_a_version_without_parts_had_spooled_is_there(state):
    [step] = (Path(migrations.__file__).parent / "versions").glob("v*_progress.py")
    before = re.search(r'^down_revision.*"(\d{4})"', step.read_text(), re.MULTILINE)[1]
    state.mkdir(exist_ok=True)
    migrations.upgrade(state / "state.db", before)
    crc = check_sum(draft(), "gps", "k", "{}", 0)
    with closing(sqlite3.connect(state / "state.db")) as db, db:
        db.execute(
            "INSERT INTO messages (job, key, run, spooled_at, origin, content_type, headers, crc, body) "
            "VALUES ('gps', 'k', 1, 1, 'a.csv', 'application/json', '{}', ?, CAST('body' AS BLOB))",
            (crc,),
        )
    spool = open_spool(state)
    (message,) = spool.oldest("gps", 0).result()
    assert (message.key, message.form, message.progress, message.body) == ("k", "", "", b"body")
    spool.close()


def test_a_cut_by_a_size_that_was_learned_waits_for_the_disk_and_a_halving_does_not(spool):
    """Halves come out the same again; where a size cut, only what is written says so."""
    (message,) = appended(spool, draft(records=4))
    statements = []
    spool._read(lambda db: db.raw.set_trace_callback(statements.append)).result()
    halved = left(4, ((1, 2),), ((3, 4),))
    spool.part(message, halved).result()
    assert "PRAGMA synchronous=NORMAL" in statements
    assert "PRAGMA synchronous=FULL" not in statements
    fitted = replace(left(4, ((1, 1),), ((2, 4),)), durable=True)
    spool.part(replace(message, progress=halved.progress), fitted).result()
    assert "PRAGMA synchronous=FULL" in statements
