"""Dead letters by hand: sent again in the order of their messages, edited, dropped; never by themselves."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import random
import signal
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from agent.errors import SpoolFull
from agent.message import Layout
from agent.spool import START, Reader, Which
from tests.support.processes import run_to_its_end
from tests.support.spool import bodies, draft, letter, open_spool, receipt, stamp


def bury(spool, *wanted, reason="refused", lane=0):
    """The waiting messages with these bodies die, in this order; their letters' ids."""
    waiting = {message.body: message for message in spool.oldest("gps", lane, limit=1000).result()}
    for body in wanted:
        spool.bury(waiting[body], letter(waiting[body], reason)).result()


def letters(state, **which):
    with Reader.open(state) as reader:
        return reader.letters(Which(**which), 10_000)


def in_order(state, **which):
    with Reader.open(state) as reader:
        spots = reader.letter_spots(Which(**which), START, upto=reader.newest_letter(), limit=10_000)
        return [spot.id for spot in spots]


def retry_all(spool, state, **which):
    return spool.revive_all(in_order(state, **which)).result()


def test_letters_go_back_in_the_order_of_their_messages_not_of_their_deaths(spool, run, state):
    spool.append(run, [draft(f"{n}".encode()) for n in range(6)]).result()
    bury(spool, b"4", b"0", b"2")
    assert retry_all(spool, state).jobs == {"gps": 3}
    assert bodies(spool) == [b"1", b"3", b"5", b"0", b"2", b"4"]


def test_a_letter_that_died_twice_keeps_its_place_among_the_letters(spool, run, state):
    spool.append(run, [draft(f"{n}".encode()) for n in range(4)]).result()
    bury(spool, b"0", b"1", b"2")
    [last] = in_order(state)[:1]
    spool.revive(last).result()
    bury(spool, b"0")
    retry_all(spool, state)
    assert bodies(spool) == [b"3", b"0", b"1", b"2"]


def test_letters_sent_again_lie_in_the_lanes_that_the_job_has_now(spool, run, state):
    four = Layout(name="by plate, 4", lanes=4)
    spool.append(run, [draft(b"a", lane=3), draft(b"b", lane=2)], layout=four).result()
    bury(spool, b"a", lane=3)
    two = Layout(name="by plate, 2", lanes=2)
    spool.append(run, [draft(b"new", lane=1)], layout=two).result()
    retry_all(spool, state)
    [message] = spool.oldest("gps", 2).result()
    assert message.body == b"b"  # the old layout leaves first
    spool.ack(message, receipt(message)).result()
    assert bodies(spool, lane=1024 + 1) == [b"new", b"a"]


def test_a_letter_whose_content_was_read_again_and_waits_stays_a_letter(spool, run, state):
    spool.append(run, [draft(b"x"), draft(b"y", first=2)], seed="same").result()
    bury(spool, b"x", b"y")
    spool.append(run, [draft(b"x")], seed="same").result()
    done = retry_all(spool, state)
    assert done.jobs == {"gps": 1}
    assert [why for _, why in done.refused] == [
        "dead letter 1 waits to be sent already: its content was read again"
    ]
    assert bodies(spool) == [b"x", b"y"]
    assert [one.id for one in letters(state)] == [1]


def test_what_is_gone_or_never_was_a_message_does_not_keep_the_others_from_going(spool, run, state):
    spool.append(run, [draft(b"x")]).result()
    [message] = spool.oldest("gps", 0).result()
    spool.bury(message, letter(message)).result()
    bad = spool.add_dead(letter(message, "bad record")).result()
    done = spool.revive_all([99, bad, 1]).result()
    assert done.jobs == {"gps": 1}
    assert [number for number, _ in done.refused] == [99, bad]
    with Reader.open(state) as reader:
        [job] = reader.overview()
    assert (job.waiting, job.dead) == (1, 1)


def test_a_file_whose_refused_part_is_delivered_after_all_ends_as_done(spool, run, state):
    file = spool.open_file("gps", run, stamp(), "sha", hold=False).result()
    spool.append(run, [draft(b"a"), draft(b"b")], file=file).result()
    spool.release_file(file).result()
    bury(spool, b"a")
    retry_all(spool, state)
    for message in spool.oldest("gps", 0).result():
        spool.ack(message, receipt(message)).result()
    [settled] = spool.settled_files().result()
    assert (settled.delivered, settled.dead, settled.ends) == (2, 0, "done")


def test_nothing_expires_by_itself(spool, run, state, clock):
    spool.append(run, [draft(f"{n}".encode()) for n in range(3)]).result()
    bury(spool, b"0", b"1", b"2")
    for _ in range(3):
        clock.wall += 40 * 365 * 86_400
        spool.prune(timedelta(seconds=1)).result()
    spool.close()
    again = open_spool(state, clock=clock)
    again.prune(timedelta(seconds=1)).result()
    again.close()
    assert len(letters(state)) == 3
    with Reader.open(state) as reader:
        assert reader.overview()[0].dead == 3
        assert clock.now() - reader.overview()[0].oldest_dead_at > 119 * 365 * 86_400


def test_the_oldest_letter_of_a_job_is_told(spool, run, state):
    spool.append(run, [draft(b"x"), draft(b"y")]).result()
    with Reader.open(state) as reader:
        assert reader.overview()[0].oldest_dead_at is None
    bury(spool, b"y", b"x")
    with Reader.open(state) as reader:
        assert reader.overview()[0].oldest_dead_at == 1_800_000_002.0


# ---------------------------------------------------------------------------------- which


def test_filters_find_what_they_say(spool, run, state):
    spool.append(run, [draft(f"{n}".encode()) for n in range(4)]).result()
    keys = [message.key for message in spool.oldest("gps", 0).result()]
    bury(spool, b"0", b"1")
    bury(spool, b"2", reason="expired")
    spool.add_dead(letter(spool.oldest("gps", 0).result()[0], "bad record")).result()
    found = {one.id: one for one in letters(state)}
    assert [one.id for one in letters(state, reason="expired")] == [3]
    assert [one.id for one in letters(state, key=keys[1])] == [2]
    assert [one.id for one in letters(state, ids=(1, 3, 77))] == [3, 1]
    assert [one.id for one in letters(state, statuses=((400, 499),))] == [4, 3, 2, 1]
    assert letters(state, statuses=((500, 599),)) == []
    assert letters(state, unanswered=True) == []
    assert letters(state, job="other") == []
    assert [one.id for one in letters(state, sendable=False)] == [4]
    assert [one.id for one in letters(state, sendable=True)] == [3, 2, 1]
    died = found[1].died_at
    assert letters(state, died_from=died + 1) == []
    assert len(letters(state, died_from=died)) == 4
    assert letters(state, died_before=died) == []
    assert {one.body for one in found.values()} == {b""}


def test_a_key_finds_the_parts_of_a_split_message_too(spool, run, state):
    spool.append(run, [draft(b"x")]).result()
    [message] = spool.oldest("gps", 0).result()
    parts = [replace(letter(message), key=f"{message.key}.{n}-{n}") for n in (2, 7)]
    spool.settle(message, receipts=[], letters=parts).result()
    spool.add_dead(replace(letter(message), key=f"{message.key}0")).result()
    assert [one.key for one in letters(state, key=message.key)] == [
        f"{message.key}.7-7",
        f"{message.key}.2-2",
    ]


def test_a_thousand_ids_are_no_trouble(spool, run, state):
    assert letters(state, ids=tuple(range(1, 50_000))) == []


# ---------------------------------------------------------------------------------- edit


def packed(text):
    return gzip.compress(text)


def edit(spool, number, old, new, records=1):
    return spool.edit_letter(
        number, packed(new), size=len(new), records=records, was=hashlib.sha256(old).hexdigest()
    ).result()


def the_letter(state, number=1):
    with Reader.open(state) as reader:
        return reader.dead_letter(number), reader.letter_before(number)


def test_an_edited_letter_is_another_request_and_is_sent_as_it_is_now(spool, run, state):
    [key] = spool.append(run, [draft(b"old", path="/devices/1", headers={"X-A": "1"})]).result()
    bury(spool, b"old")
    assert edit(spool, 1, b"old", b"new!") == f"{key}.e1"
    one, before = the_letter(state)
    assert (one.key, one.size, gzip.decompress(one.body)) == (f"{key}.e1", 4, b"new!")
    assert (before.key, before.body, one.edited_at) == (key, b"old", before.edited_at)
    retry_all(spool, state)
    [message] = spool.oldest("gps", 0).result()
    assert (message.key, gzip.decompress(message.body), message.size) == (f"{key}.e1", b"new!", 4)
    assert (message.path, message.headers) == ("/devices/1", {"X-A": "1"})
    assert the_letter(state)[1] is None


def test_a_key_is_changed_once_for_each_body_that_is_sent(spool, run, state):
    [key] = spool.append(run, [draft(b"old")]).result()
    bury(spool, b"old")
    edit(spool, 1, b"old", b"one")
    assert (
        edit(spool, 1, packed(b"one"), b"two") == f"{key}.e1"
    )  # what was never sent needs no key of its own
    retry_all(spool, state)
    [message] = spool.oldest("gps", 0).result()
    spool.bury(message, letter(message)).result()
    assert edit(spool, 2, packed(b"two"), b"three") == f"{key}.e2"
    assert spool.undo_edit(2).result() == f"{key}.e1"
    assert gzip.decompress(the_letter(state, 2)[0].body) == b"two"


def test_an_edit_can_be_undone_until_the_letter_is_sent_or_dropped(spool, run, state):
    [key] = spool.append(run, [draft(b"old", records=7)]).result()
    bury(spool, b"old")
    with pytest.raises(LookupError, match="not edited"):
        spool.undo_edit(1).result()
    edit(spool, 1, b"old", b"one", records=6)
    edit(spool, 1, packed(b"one"), b"two", records=5)
    assert spool.undo_edit(1).result() == key
    one, before = the_letter(state)
    assert (one.key, one.body, one.records, one.size, before) == (key, b"old", 7, 3, None)
    edit(spool, 1, b"old", b"one")
    assert spool.drop_all([1, 5]).result() == {"gps": 1}
    assert the_letter(state) == (None, None)


def test_an_edit_of_a_body_that_is_another_one_by_now_is_refused(spool, run, state):
    spool.append(run, [draft(b"old")]).result()
    bury(spool, b"old")
    edit(spool, 1, b"old", b"mine")
    with pytest.raises(LookupError, match="edited by somebody else meanwhile"):
        edit(spool, 1, b"old", b"theirs")
    assert gzip.decompress(the_letter(state)[0].body) == b"mine"
    with pytest.raises(LookupError, match="no dead letter 9"):
        edit(spool, 9, b"old", b"x")


def test_what_never_was_a_message_is_not_edited(spool, run, state):
    spool.append(run, [draft(b"old")]).result()
    [message] = spool.oldest("gps", 0).result()
    bad = spool.add_dead(letter(message, "bad record")).result()
    with pytest.raises(LookupError, match="no use in editing"):
        edit(spool, bad, b"old", b"x")


def test_a_full_spool_lets_letters_be_sent_again_and_dropped_but_not_edited(state, clock):
    spool = open_spool(state, max_bytes=3_000_000, clock=clock)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    body = random.Random(1).randbytes(100_000)
    with contextlib.suppress(SpoolFull):
        for _ in range(100):
            spool.append(run, [draft(body)]).result()
    for message in spool.oldest("gps", 0, limit=100, max_bytes=10**9).result():
        spool.bury(message, letter(message)).result()
    ids = in_order(state)
    assert len(ids) > 20
    was = hashlib.sha256(body).hexdigest()
    with pytest.raises(SpoolFull):
        spool.edit_letter(ids[0], body[:-1], size=1, records=1, was=was).result()
    assert spool.revive_all(ids[:10]).result().jobs == {"gps": 10}
    assert spool.drop_all(ids[10:20]).result() == {"gps": 10}
    spool.edit_letter(ids[20], body[:-1], size=1, records=1, was=was).result()
    assert bodies(spool) == [body] * 10
    spool.close()


@pytest.mark.parametrize(
    ("text", "number"),
    [("INSERT INTO messages", 1), ("DELETE FROM dead", 3), ("INSERT INTO messages", 5), ("COMMIT", 1)],
)
def test_a_kill_while_letters_are_sent_again_leaves_each_a_letter_or_a_message(state, text, number):
    words = [sys.executable, "-m", "tests.support.letters_child", str(state), text, str(number)]
    done = run_to_its_end(*words)
    assert done.returncode == -signal.SIGKILL, done.stderr
    spool = open_spool(state)
    assert len(bodies(spool)) + len(letters(state)) == 5
    retry_all(spool, state)
    assert bodies(spool) == [b"0", b"1", b"2", b"3", b"4"]
    spool.close()
    assert letters(state) == []
