"""How far a job is on its way out: by counters and heads of lanes, whatever waits."""

from __future__ import annotations

from agent.spool import Backlog, PauseRow, Reader
from tests.support.spool import draft, letter, open_spool, receipt, stamp


def test_a_backlog_is_what_waits_and_what_is_held(spool, run):
    assert spool.backlogs().result() == []
    file = spool.open_file("gps", run, stamp(), "sha", hold=True).result()
    spool.append(run, [draft(b"abc", records=2), draft(b"abc")]).result()
    spool.append(run, [draft(b"held")], file=file).result()
    assert spool.backlogs().result() == [
        Backlog(job="gps", messages=2, records=3, bytes=6, held=1, held_bytes=4)
    ]
    for message in spool.oldest("gps", 0).result():
        spool.ack(message, receipt(message)).result()
    [backlog] = spool.backlogs().result()
    assert (backlog.messages, backlog.held) == (0, 1)


def test_what_a_run_spooled_has_left_when_nothing_up_to_its_last_message_is_there(spool, run):
    assert spool.newest_message("gps").result() == 0
    spool.append(run, [draft(lane=0), draft(lane=3), draft(lane=1)]).result()
    last = spool.newest_message("gps").result()
    spool.append(run, [draft(lane=0), draft(lane=2)]).result()
    assert spool.newest_message("gps").result() == last + 2
    for lane in (0, 1, 3):
        assert spool.any_message_up_to("gps", last).result()
        [message, *_] = spool.oldest("gps", lane).result()
        spool.ack(message, receipt(message)).result()
    assert not spool.any_message_up_to("gps", last).result(), "what came later does not count"
    assert not spool.any_message_up_to("other", last).result()


def test_what_is_held_cannot_leave_and_is_not_waited_for(spool, run):
    file = spool.open_file("gps", run, stamp(), "sha", hold=True).result()
    spool.append(run, [draft()], file=file).result()
    last = spool.newest_message("gps").result()
    assert not spool.any_message_up_to("gps", last).result()
    spool.release_file(file).result()
    assert spool.any_message_up_to("gps", last).result()


def test_dead_letters_are_counted_by_the_runs_they_came_from(spool):
    runs = [spool.start_run("gps", float(n), "every", "sha").result() for n in range(3)]
    for run in runs:
        spool.append(run, [draft(records=5)]).result()
    for message in spool.oldest("gps", 0).result():
        spool.bury(message, letter(message)).result()
    assert spool.fallen("gps", runs[1], runs[2]).result().letters == 2
    fallen = spool.fallen("gps", runs[2], runs[2]).result()
    assert (fallen.letters, fallen.records) == (1, 5)
    assert spool.fallen("gps", runs[2] + 1, runs[2] + 9).result().letters == 0
    assert spool.fallen("other", runs[0], runs[2]).result().letters == 0


def test_pauses_are_kept_by_name_and_half_and_seen_from_outside(state, clock):
    spool = open_spool(state, clock=clock)
    first = PauseRow(kind="job", name="gps", part="collecting", reason="", since=1.0, until=None)
    second = PauseRow(kind="job", name="gps", part="delivering", reason="why", since=2.0, until=9.0)
    spool.put_pauses([first, second]).result()
    later = PauseRow(kind="job", name="gps", part="collecting", reason="now", since=1.0, until=3.0)
    spool.put_pauses([later]).result()
    spool.close()
    spool = open_spool(state, clock=clock)
    assert spool.pauses().result() == [later, second]
    with Reader.open(state) as reader:
        assert reader.pauses() == [later, second]
    spool.drop_pauses([later]).result()
    assert spool.pauses().result() == [second]
    spool.close()
