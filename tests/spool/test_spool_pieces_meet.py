"""Messages in pieces beside all else that the spool knows: keys, letters, edits, recovery."""

from __future__ import annotations

import gzip
import hashlib
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from agent.deliver.hand import Hand
from agent.parts import Form, Progress
from agent.receipt_keys import bytes_of, keys_of_ranges, mark_of, packed
from agent.spool import Fit, Left, PauseRow, Reader
from tests.support.batches import batch, joined
from tests.support.spool import draft, letter, open_spool, receipt

KEYS = packed([b"".join(bytes_of(mark_of(key)) for key in ("a", "b", "c", "d"))])


def appended(spool, run, *drafts):
    spool.append(run, drafts).result()
    return spool.oldest("gps", 0).result()


def left(*pieces, of=4):
    progress = Progress(records=of, pieces=pieces)
    records = sum(last - first + 1 for piece in pieces for first, last in piece)
    return Left(progress=str(progress), records=records, size=records)


def found(state, key):
    with Reader.open(state) as reader:
        return [(one.fate, one.key) for one in reader.find(key)]


def edit(spool, state, new, number=1, records=1):
    with Reader.open(state) as reader:
        old = reader.dead_letter(number).body
    was = hashlib.sha256(old).hexdigest()
    return spool.edit_letter(number, gzip.compress(new), size=len(new), records=records, was=was).result()


def test_a_record_that_was_delivered_does_not_wait_with_the_rest_of_its_message(spool, run, state):
    [message] = appended(spool, run, draft(b"[1,2,3,4]", records=4, form="json 1 1", record_keys=KEYS))
    part = replace(message, key=f"{message.key}.1-2", record_keys=keys_of_ranges(KEYS, [(1, 2)]))
    spool.part(message, left(((3, 4),)), receipts=[receipt(part)]).result()
    assert found(state, "b") == [("delivered", part.key)]
    assert found(state, "c") == [("waiting", message.key)]
    assert found(state, part.key) == [("waiting", message.key), ("delivered", part.key)]


def test_a_part_that_is_sent_again_is_found_by_the_key_of_its_message(spool, run, state):
    [message] = appended(spool, run, draft(records=2))
    part = replace(message, key=f"{message.key}.2-2", records=1)
    spool.settle(message, receipts=[], letters=[letter(part)]).result()
    key = edit(spool, state, b"better")
    assert found(state, message.key) == found(state, part.key) == [("dead", key)]
    spool.revive(1).result()
    assert found(state, message.key) == found(state, part.key) == found(state, key) == [("waiting", key)]


@pytest.mark.parametrize(
    ("form", "new"),
    [
        ("csv", b"nr;note\r\n1;a\r\n2;b\r\n"),
        ("csv", b"n;not\r\n0001;a\r\n0002;b\r\n"),
        ("json", b'{"n":1},{"n":2}]'),
        ("wrapped", b'{"source":"acme","events":[{"n":1},{"n":2}],"sent":"then"}'),
        ("xml", b"<all>\n<r>1</r>\n<r>2</r>\n</all>\n"),
        ("json", b""),
    ],
)
async def test_an_edited_body_with_another_head_or_end_is_never_cut(spool, run, state, form, new):
    """Its records stand somewhere else than its form says."""
    [message] = appended(spool, run, batch(form, 2))
    spool.bury(message, letter(message)).result()
    edit(spool, state, new, records=2)
    spool.revive(1).result()
    [again] = spool.oldest("gps", 0).result()
    assert gzip.decompress(again.body) == new
    assert not await Hand(again).divisible()


async def test_an_edited_body_that_begins_and_ends_as_before_is_taken_apart_as_before(spool, run, state):
    """Of three records the second was taken out; whose keys are whose nobody knows then."""
    keys = packed([b"".join(bytes_of(mark_of(key)) for key in "abc")])
    [message] = appended(spool, run, batch("csv", 3, record_keys=keys))
    spool.bury(message, letter(message)).result()
    edit(spool, state, joined("csv", [1, 3]), records=2)
    spool.revive(1).result()
    [again] = spool.oldest("gps", 0).result()
    hand = Hand(again)
    assert await hand.divisible()
    part = await hand.made(((2, 2),))
    assert gzip.decompress(part.body) == joined("csv", [3])
    assert part.record_keys == keys


@pytest.mark.parametrize(("form", "end"), [("json", b"\n"), ("ndjson", b"\n"), ("ndjson", b""), ("xml", b"")])
async def test_line_breaks_at_the_end_of_an_edited_body_do_not_keep_it_whole(spool, run, state, form, end):
    [message] = appended(spool, run, batch(form, 3))
    spool.bury(message, letter(message)).result()
    new = joined(form, [1, 2, 4]).rstrip(b"\n") + end
    edit(spool, state, new, records=3)
    spool.revive(1).result()
    [again] = spool.oldest("gps", 0).result()
    hand = Hand(again)
    assert await hand.divisible()
    ends = len(new) - len(new.rstrip(b"\n"))
    part = await hand.made(((3, 3),))
    assert gzip.decompress(part.body) == joined(form, [4]).rstrip(b"\n") + b"\n" * ends


def test_an_undone_edit_has_its_form_again(spool, run, state):
    [message] = appended(spool, run, batch("csv", 2))
    spool.bury(message, letter(message)).result()
    edit(spool, state, b"x", records=2)
    spool.undo_edit(1).result()
    spool.revive(1).result()
    [again] = spool.oldest("gps", 0).result()
    assert Form.read(again.form) == Form.read(message.form)


def test_the_same_content_refused_and_edited_again_is_another_request_each_time(spool, run, state):
    """Under a key that the target knows already the second edit would be taken for a repetition."""
    for number, suffix in ((1, ".e1"), (2, ".e2")):
        [key] = spool.append(run, [draft(b"x")], seed="file").result()
        [message] = spool.oldest("gps", 0).result()
        spool.bury(message, letter(message)).result()
        assert edit(spool, state, b"edit %d" % number, number) == key + suffix
        spool.revive(number).result()
        [message] = spool.oldest("gps", 0).result()
        spool.ack(message, receipt(message)).result()


def test_a_body_damaged_in_the_middle_of_its_pieces_is_a_letter_of_the_rest_alone(state):
    spool = open_spool(state)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    [message] = appended(spool, run, draft(b"[1,2,3,4]", records=4, form="json 1 1", record_keys=KEYS))
    part = replace(message, key=f"{message.key}.1-3", records=3, record_keys=keys_of_ranges(KEYS, [(1, 3)]))
    spool.part(message, left(((4, 4),)), receipts=[receipt(part)]).result()
    spool.close()
    with closing(sqlite3.connect(state / "state.db")) as db, db:
        db.execute("UPDATE messages SET body = x'00'")
    again = open_spool(state)
    assert again.oldest("gps", 0).result() == []
    again.used_bytes().result()
    with Reader.open(state) as reader:
        [one], [overview] = reader.dead(), reader.overview()
    assert (one.reason, one.records, overview.waiting, overview.delivered_records) == ("damaged", 1, 0, 3)
    assert found(state, "c") == [("delivered", part.key)]
    assert found(state, "d") == [("dead", message.key)]
    again.close()


def test_a_damaged_database_is_saved_with_pieces_pauses_fits_and_edits(state):
    spool = open_spool(state)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    first, second, third = appended(
        spool,
        run,
        draft(b"[1,2,3,4]", records=4, form="json 1 1", record_keys=KEYS),
        draft(b"x", records=1),
        draft(b"y", records=1),
    )
    part = replace(first, key=f"{first.key}.1-2", records=2, record_keys=keys_of_ranges(KEYS, [(1, 2)]))
    spool.part(first, left(((3, 4),)), receipts=[receipt(part)]).result()
    spool.bury(second, letter(second)).result()
    edit(spool, state, b"edited")
    spool.set_fit(Fit(job="gps", size=7, refused=9, learned_at=1.0)).result()
    pause = PauseRow(kind="job", name="gps", part="delivering", reason="r", since=1.0, until=None)
    spool.put_pauses([pause]).result()
    spool.end_run(run, state="done").result()
    with Reader.open(state) as reader:
        before = reader.overview(), reader.letter_before(1), reader.find("a"), reader.find("c")
    spool.close()
    with closing(sqlite3.connect(state / "state.db")) as db, db:
        db.execute("DELETE FROM alembic_version")
    again = open_spool(state)
    assert again.recovered is not None
    with Reader.open(state) as reader:
        assert (reader.overview(), reader.letter_before(1), reader.find("a"), reader.find("c")) == before
    assert again.fits().result()["gps"].size == 7
    assert again.pauses().result() == [pause]
    rest, behind = again.oldest("gps", 0).result()
    assert (rest.id, rest.key, Progress.read(rest.progress).pieces) == (first.id, first.key, (((3, 4),),))
    assert behind.key == third.key
    again.close()
