from __future__ import annotations

from datetime import timedelta

import pytest

from agent.message import Answer, DeadLetter
from agent.spool import ConfigRow, LaneWait, Reader, SessionRow
from tests.support.spool import bodies, draft, letter, open_spool, receipt, stamp


def test_a_draft_becomes_a_message_that_carries_all_of_it(spool, run, clock):
    sent = draft(
        b"\x00\xff", lane=3, records=7, path="/devices/1", headers={"X-Id": "é"}, origin="a.csv rows 1-7"
    )
    [key] = spool.append(run, [sent]).result()
    [message] = spool.oldest("gps", 3).result()
    assert (message.key, message.job, message.run, message.file) == (key, "gps", run, None)
    assert (message.body, message.size, message.records, message.lane) == (b"\x00\xff", 2, 7, 3)
    assert (message.path, message.headers, message.origin) == ("/devices/1", {"X-Id": "é"}, "a.csv rows 1-7")
    assert (message.spooled_at, message.attempts) == (clock.now(), 0)


def test_an_acked_message_is_a_receipt_and_nothing_else(spool, run, state):
    spool.append(run, [draft()]).result()
    [message] = spool.oldest("gps", 0).result()
    spool.ack(message, receipt(message)).result()
    assert spool.oldest("gps", 0).result() == []
    with Reader.open(state) as reader:
        assert reader.receipts(message.key) == [receipt(message)]
        [job] = reader.overview()
        assert (job.waiting, job.delivered, job.dead, job.last_receipt) == (0, 1, 0, receipt(message))


def test_a_buried_message_is_a_dead_letter_with_bytes_and_answer(spool, run, state):
    spool.append(run, [draft(b"bad", headers={"X-A": "1"})]).result()
    [message] = spool.oldest("gps", 0).result()
    spool.bury(message, letter(message)).result()
    assert spool.lanes().result() == []
    with Reader.open(state) as reader:
        [found] = reader.dead("gps")
        assert (found.body, found.answer.body, found.headers) == (b"bad", "no such vehicle", {"X-A": "1"})
        assert reader.dead_letter(found.id) == found
        assert reader.overview()[0].dead == 1


def test_settling_twice_has_no_effect_the_second_time(spool, run, state):
    spool.append(run, [draft(), draft()]).result()
    first, _ = spool.oldest("gps", 0).result()
    for _ in range(2):
        spool.ack(first, receipt(first)).result()
    spool.bury(first, letter(first)).result()
    with Reader.open(state) as reader:
        [job] = reader.overview()
        assert (job.waiting, job.delivered, job.dead) == (1, 1, 0)
        assert len(reader.receipts(first.key)) == 1


def test_the_parts_of_a_split_message_are_settled_in_one_step(spool, run, state):
    spool.append(run, [draft(records=10)]).result()
    [message] = spool.oldest("gps", 0).result()
    spool.settle(message, receipts=[receipt(message)], letters=[letter(message), letter(message)]).result()
    with Reader.open(state) as reader:
        [job] = reader.overview()
    assert (job.waiting, job.waiting_records, job.delivered, job.dead) == (0, 0, 1, 2)
    with pytest.raises(ValueError, match="leaves only"):
        spool.settle(message, receipts=[], letters=[])


def test_a_lane_is_read_in_order_piece_by_piece(spool, run):
    spool.append(run, [draft(f"{i}".encode(), lane=i % 2) for i in range(10)]).result()
    first = spool.oldest("gps", 0, limit=2).result()
    rest = spool.oldest("gps", 0, after=first[-1].id).result()
    assert [m.body for m in (*first, *rest)] == [b"0", b"2", b"4", b"6", b"8"]
    assert spool.lanes().result() == [("gps", 0), ("gps", 1)]
    assert spool.lanes("other").result() == []


def test_the_head_of_a_lane_is_bounded_by_bytes_but_never_empty(spool, run):
    spool.append(run, [draft(b"x" * 100) for _ in range(5)]).result()
    assert len(spool.oldest("gps", 0, max_bytes=250).result()) == 2
    assert len(spool.oldest("gps", 0, max_bytes=1).result()) == 1


def test_the_key_never_changes(spool, run, state, clock):
    keys = spool.append(run, [draft(), draft()]).result()
    assert len({*keys}) == 2
    first = spool.oldest("gps", 0).result()[0]
    spool.note_attempt(first.id).result()
    assert spool.oldest("gps", 0).result()[0].attempts == 1
    spool.bury(first, letter(first)).result()
    with Reader.open(state) as reader:
        [dead] = reader.dead()
    assert spool.revive(dead.id).result() == "gps"
    spool.close()
    again = open_spool(state, clock=clock)
    assert [m.key for m in again.oldest("gps", 0).result()] == [keys[1], keys[0]]
    again.close()


def test_a_dead_letter_that_was_never_a_message_cannot_be_sent(spool, run):
    bad = DeadLetter(
        job="gps",
        lane=0,
        key="",
        run=run,
        records=1,
        size=3,
        origin="a.csv line 2",
        spooled_at=1.0,
        died_at=1.0,
        attempts=0,
        reason="bad record",
        method="",
        url="",
        content_type="text/plain",
        body=b"1;x",
        answer=Answer(status=None, reason="no number"),
    )
    made = spool.add_dead(bad).result()
    with pytest.raises(LookupError, match="bad record"):
        spool.revive(made).result()
    spool.drop_dead(made).result()
    with pytest.raises(LookupError, match="no dead letter"):
        spool.drop_dead(made).result()


def test_the_cursor_comes_with_the_messages(spool, run, state):
    assert spool.cursor("gps").result() is None
    spool.append(run, [draft()], cursor={"id": 5, "at": "2021-01-01"}).result()
    assert spool.cursor("gps").result() == {"id": 5, "at": "2021-01-01"}
    spool.set_cursor("gps", {"id": 6}).result()
    with Reader.open(state) as reader:
        assert reader.cursor("gps") == {"id": 6}
        assert reader.cursor("other") is None


def test_appending_to_an_unknown_run_leaves_no_trace(spool):
    with pytest.raises(LookupError, match="no run 99"):
        spool.append(99, [draft()], cursor={"id": 1}).result()
    assert spool.lanes().result() == []


def test_a_run_sums_what_it_appended(spool, run, state):
    spool.append(run, [draft(b"abc", records=2)]).result()
    spool.append(run, [draft(b"de", records=3)]).result()
    spool.end_run(run, state="done").result()
    spool.skip("gps", 2.0, "every", "the last run is not done").result()
    with Reader.open(state) as reader:
        skipped, done = reader.runs("gps")
    assert (done.state, done.messages, done.records, done.bytes) == ("done", 2, 5, 5)
    assert (skipped.state, skipped.reason) == ("skipped", "the last run is not done")


def test_interrupted_runs_of_the_same_text_are_counted_in_a_row(state, clock):
    for sha in ("old", "new", "new"):
        spool = open_spool(state, clock=clock)
        spool.start_run("gps", 1.0, "every", sha).result()
        spool.close()
    spool = open_spool(state, clock=clock)
    spool.skip("gps", 2.0, "every", "quarantined").result()
    assert spool.interrupted_runs("gps", "new").result() == 2
    assert spool.interrupted_runs("gps", "old").result() == 0
    spool.end_run(spool.start_run("gps", 3.0, "every", "new").result(), state="failed", reason="x").result()
    assert spool.interrupted_runs("gps", "new").result() == 0
    spool.close()


def test_a_run_that_got_further_before_it_died_counts_only_where_the_next_begins_anew(state, clock):
    for _ in range(3):
        spool = open_spool(state, clock=clock)
        spool.append(spool.start_run("gps", 1.0, "every", "sha").result(), [draft()]).result()
        spool.close()
    spool = open_spool(state, clock=clock)
    assert spool.interrupted_runs("gps", "sha", goes_on=True).result() == 0
    assert spool.interrupted_runs("gps", "sha", goes_on=False).result() == 3
    spool.start_run("gps", 2.0, "every", "sha").result()
    spool.close()
    spool = open_spool(state, clock=clock)
    assert spool.interrupted_runs("gps", "sha", goes_on=True).result() == 1
    spool.close()


def test_old_receipts_and_runs_go_and_newer_ones_stay(spool, run, clock, state):
    spool.append(run, [draft() for _ in range(2500)]).result()
    for index, message in enumerate(spool.oldest("gps", 0, limit=3000).result()):
        done = spool.ack(message, receipt(message, at=clock.now() if index >= 2400 else 1.0))
    done.result()
    assert spool.prune(timedelta(days=7)).result() == 2400
    assert spool.prune(timedelta(days=7)).result() == 0
    for due in range(1002):
        last = spool.skip("gps", due, "every", "no")
    last.result()
    assert spool.prune(timedelta(days=7)).result() == 2
    with Reader.open(state) as reader:
        assert len(reader.runs("gps", 2000)) == 1001  # the run under way is never pruned


def test_small_memories_survive(spool, state, clock):
    wait = LaneWait(job="gps", lane=2, kind="retry", reason="503", since=1.0, until=None, attempts=3)
    row = SessionRow(
        connection="stg",
        identity="u",
        generation=7,
        sealed=b"\x01",
        refreshing=None,
        failures=1,
        blocked_until=2.5,
        secret_mark="m",
        logins=1,
        refreshes=6,
        last_error="",
        updated_at=1.0,
        expires_at=None,
    )
    text = ConfigRow(
        path="jobs/gps.yaml",
        kind="job",
        name="gps",
        text=b"job: gps",
        sha256="s",
        accepted_at=1.0,
        deleted=False,
    )
    for pending in (
        spool.set_wait(wait), spool.store_session(row), spool.keep_config(text), spool.set_last_due("gps", "e", 9.0)
    ):  # fmt: skip
        pending.result()
    assert spool.first_seen("gps", "cron").result() is None
    spool.close()
    again = open_spool(state, clock=clock)
    assert again.waits().result() == [wait]
    assert (again.session("stg").result(), again.session("x").result()) == (row, None)
    assert (again.sessions().result(), again.config_rows().result()) == ([row], [text])
    assert (again.last_due("gps", "e").result(), again.last_due("gps", "cron").result()) == (9.0, None)
    assert again.first_seen("gps", "cron").result() == clock.now()
    with Reader.open(state) as reader:
        assert (reader.waits(), reader.sessions(), reader.config_rows()) == ([wait], [row], [text])
    again.clear_wait("gps", 2).result()
    again.drop_config("jobs/gps.yaml").result()
    assert (again.waits().result(), again.config_rows().result()) == ([], [])
    again.close()


def test_a_held_file_is_invisible_until_it_is_released(spool, run, state):
    told = []
    spool.on_append = told.append
    file = spool.open_file("gps", run, stamp(), "sha", hold=True).result()
    spool.append(run, [draft(b"held")], file=file).result()
    spool.append(run, [draft(b"free")]).result()
    assert (bodies(spool), told) == ([b"free"], ["gps"])
    with Reader.open(state) as reader:
        assert (reader.overview()[0].waiting, reader.overview()[0].held) == (1, 1)
    spool.release_file(file).result()
    spool.release_file(file).result()
    assert (bodies(spool), told) == ([b"held", b"free"], ["gps", "gps"])


def test_an_abandoned_file_leaves_no_message(spool, run, state):
    file = spool.open_file("gps", run, stamp(), "sha", hold=True).result()
    spool.append(run, [draft(b"a"), draft(b"b")], file=file).result()
    spool.abandon_file(file, "row 3 is bad").result()
    [settled] = spool.settled_files().result()
    assert (settled.ends, settled.file.reason, bodies(spool)) == ("failed", "row 3 is bad", [])
    with Reader.open(state) as reader:
        assert reader.overview()[0].held == 0
    with pytest.raises(LookupError, match="not open"):
        spool.append(run, [draft()], file=file).result()
    with pytest.raises(LookupError, match="not open"):
        spool.release_file(file).result()


def test_a_file_is_settled_when_its_last_message_has_left(spool, run):
    file = spool.open_file("gps", run, stamp(), "sha", hold=False).result()
    spool.append(run, [draft(b"a"), draft(b"b")], file=file).result()
    one, two = spool.oldest("gps", 0).result()
    spool.ack(one, receipt(one)).result()
    spool.release_file(file).result()
    assert spool.settled_files().result() == []
    spool.bury(two, letter(two)).result()
    [settled] = spool.settled_files().result()
    assert (settled.delivered, settled.dead, settled.ends, settled.file.stamp) == (1, 1, "failed", stamp())
    spool.finish_file(file, state="failed", moved_to="/in/failed/a.csv", reason="1 refused").result()
    assert spool.settled_files().result() == []
    [row] = spool.files_by_content("gps", "sha").result()
    assert (row.state, row.moved_to, row.reason) == ("failed", "/in/failed/a.csv", "1 refused")


def test_an_untouched_file_is_known_by_its_stamp(spool, run, state):
    spool.note_file("gps", run, stamp(), "sha", "duplicate", "same bytes as b.csv").result()
    assert spool.file_by_stamp("gps", stamp()).result().state == "duplicate"
    assert spool.file_by_stamp("gps", stamp(mtime_ns=5)).result() is None
    assert [row.path for row in spool.files_by_path("gps", "/in/a.csv").result()] == ["/in/a.csv"]
    assert spool.settled_files().result()[0].ends == "done"
    with Reader.open(state) as reader:
        assert [row.sha256 for row in reader.files("gps")] == ["sha"]


@pytest.mark.parametrize("hold", [True, False])
def test_a_file_that_a_crash_left_open_is_taken_up_again(state, clock, hold):
    spool = open_spool(state, clock=clock)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    file = spool.open_file("gps", run, stamp(), "sha", hold=hold).result()
    spool.append(run, [draft(b"1")], file=file, cursor={"row": 1}).result()
    spool.close()
    spool = open_spool(state, clock=clock)
    run = spool.start_run("gps", 2.0, "every", "sha").result()
    assert spool.open_file("gps", run, stamp("/in/renamed.csv"), "sha", hold=hold).result() == file
    assert bodies(spool) == ([] if hold else [b"1"])
    spool.append(run, [draft(b"2")], file=file).result()
    spool.release_file(file).result()
    assert bodies(spool) == [b"1", b"2"]
    spool.close()
