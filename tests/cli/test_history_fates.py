"""`history` tells what became of each run's records, at a cost that other runs' receipts do not raise."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import replace

import pytest

from agent.parts import Progress
from agent.spool import Left, Reader, fates
from agent.spool.values import Fates
from tests.support.clock import FakeClock
from tests.support.spool import draft, letter, open_spool, receipt, stamp

NOW = FakeClock().now()
ALL = Fates(delivered=0, superseded=0, dead=0, waiting=0, other=0)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def spool(folder, clock):
    spool = open_spool(folder.state, clock=clock)
    yield spool
    spool.close()


def begin(spool, *records, job="trips", **more):
    """A run that has spooled messages with so many records; its number."""
    run = spool.start_run(job, NOW, "every", "sha").result()
    spool.append(run, [draft(records=count, **more) for count in records]).result()
    spool.end_run(run, state="done").result()
    return run


def oldest(spool, job="trips"):
    return spool.oldest(job, 0, limit=100_000).result()


def deliver(spool, clock, count=1_000_000, job="trips"):
    for ack in [spool.ack(each, receipt(each, at=clock.now())) for each in oldest(spool, job)[:count]]:
        ack.result()


def told(folder, job="trips", *, deep=False):
    """Run → what became of it."""
    with Reader.open(folder.state) as reader:
        return {run.id: found for run, found in reader.fates(reader.runs(job, 1_000), deep=deep)}


def asked(folder, budget, job="trips"):
    with Reader.open(folder.state) as reader:
        runs = reader.runs(job, 1_000)
        found = reader._ask(lambda db: fates.of_runs(db, job, runs, budget), [])
    return {run.id: one for run, one in zip(runs, found, strict=True)}


# ---------------------------------------------------------------------------------- what it tells


@pytest.fixture
def all_fates(spool, clock):
    """A run with ten records: five delivered in two parts and one whole, two dead, one superseded, one waiting."""
    run = spool.start_run("trips", NOW, "every", "sha").result()
    drafts = [
        draft(b"v1", subject="v"),
        draft(b"v2", subject="v"),
        draft(records=5, form="json 1 1"),
        draft(records=3),
    ]
    spool.append(run, drafts).result()
    first, second, batch, last = oldest(spool)
    spool.supersede([first]).result()
    spool.ack(second, receipt(second)).result()
    got = replace(receipt(batch), records=3, key=f"{batch.key}.1-3")
    gone = replace(letter(batch), records=2, key=f"{batch.key}.4-5")
    half = str(Progress(records=5, pieces=(((4, 5),),)))
    spool.part(batch, Left(progress=half, records=2, size=2), receipts=[got]).result()
    spool.settle(oldest(spool)[0], receipts=[], letters=[gone]).result()
    spool.end_run(run, state="done").result()
    assert [message.id for message in oldest(spool)] == [last.id]
    return run


def ask(call, folder, *words):
    return call("history", "trips", "--config", folder.config, "--state", folder.state, *words)


def test_each_record_of_a_run_has_one_fate(call, folder, all_fates):
    found = told(folder)[all_fates]
    assert found == Fates(delivered=4, superseded=1, dead=2, waiting=3, other=0)
    code, out, err = ask(call, folder, "--output", "json")
    assert (code, err) == (0, "")
    assert json.loads(out)[0]["fates"] == {
        "delivered_records": 4,
        "superseded_records": 1,
        "dead_records": 2,
        "waiting_records": 3,
        "other_records": 0,
    }
    assert "  4 delivered, 1 superseded, 2 dead, 3 waiting" in ask(call, folder)[1]


def test_a_run_all_of_which_arrived_and_one_without_records_are_told_in_two_words_and_none(
    call, folder, spool, clock
):
    begin(spool, 3, 4)
    deliver(spool, clock)
    begin(spool)
    head, empty, full = (line.split() for line in ask(call, folder)[1].splitlines())
    assert (head[6:], empty[-2:], full[-3:]) == (
        ["TOOK", "FATES", "REASON"],
        ["0s", "-"],
        ["0s", "all", "delivered"],
    )


def test_a_bad_record_is_dead_and_was_none_of_the_records_of_its_run(call, folder, spool, clock):
    run = begin(spool, 2)
    [message] = oldest(spool)
    spool.add_dead(replace(letter(message, "bad record"), records=1)).result()
    deliver(spool, clock)
    assert told(folder)[run] == replace(ALL, delivered=2, dead=1)
    assert "  2 delivered, 1 dead" in ask(call, folder)[1]


def test_what_is_in_no_receipt_and_no_letter_any_more_is_not_called_delivered(call, folder, spool, clock):
    run = begin(spool, 2, 3)
    first, second = oldest(spool)
    spool.ack(first, receipt(first)).result()
    spool.bury(second, letter(second)).result()
    spool.drop_dead(1).result()
    assert told(folder)[run] == replace(ALL, delivered=2, other=3)
    assert "  2 delivered, 3 no longer kept" in ask(call, folder)[1]


def test_what_a_failed_run_took_back_was_not_delivered(folder, spool):
    run = spool.start_run("trips", NOW, "every", "sha").result()
    file = spool.open_file("trips", run, stamp(), "sha", hold=True).result()
    spool.append(run, [draft(records=4)], file=file).result()
    assert told(folder)[run] == replace(ALL, waiting=4), "held ones wait"
    spool.abandon_file(file, "a bad row").result()
    assert told(folder)[run] == replace(ALL, other=4)


def test_a_letter_counts_as_it_was_collected_however_it_is_edited_and_as_it_is_sent_again(
    folder, spool, clock
):
    run = begin(spool, 1, 1)
    first, second = oldest(spool)
    spool.ack(first, receipt(first, at=clock.now())).result()
    body = gzip.compress(b"[1]", mtime=0)
    spool.bury(replace(second, body=body), replace(letter(second), body=body)).result()
    was = hashlib.sha256(body).hexdigest()
    spool.edit_letter(1, gzip.compress(b"[1,2]", mtime=0), size=5, records=2, was=was).result()
    assert told(folder)[run] == replace(ALL, delivered=1, dead=2)


def test_a_letter_that_was_sent_again_counts_with_its_old_run(folder, spool, clock):
    run = begin(spool, 2, 3)
    first, second = oldest(spool)
    spool.bury(first, letter(first)).result()
    spool.ack(second, receipt(second, at=clock.now())).result()
    later = begin(spool, 1)
    deliver(spool, clock)
    spool.revive(1).result()
    assert told(folder) == {run: replace(ALL, delivered=3, waiting=2), later: replace(ALL, delivered=1)}
    clock.tick(86_400)
    deliver(spool, clock)
    assert told(folder) == {run: replace(ALL, delivered=5), later: replace(ALL, delivered=1)}


def test_one_run_is_asked_for_by_its_number(call, folder, spool, clock):
    first, second = begin(spool, 1), begin(spool, 2)
    gps = begin(spool, 1, job="gps")
    deliver(spool, clock)
    assert [one["run"] for one in json.loads(ask(call, folder, "--output", "json")[1])] == [second, first]
    [one] = json.loads(ask(call, folder, "--run", first, "--output", "json")[1])
    assert (one["run"], one["fates"]["delivered_records"]) == (first, 1)
    code, out, err = ask(call, folder, "--run", gps)
    assert (code, out) == (1, "")
    assert err == (
        f"error: there is no run {gps} of trips\n  hint: push-agent history trips lists those that are kept\n"
    )
    code, _, err = ask(call, folder, "--run", first, "--only", "done")
    assert (code, err) == (2, "error: --run names one run\n  hint: leave --since and --only out\n")


# ---------------------------------------------------------------------------------- what it costs


def test_what_costs_too_much_is_not_known_and_not_guessed(call, folder, spool, clock):
    early = begin(spool, *[1] * 5, job="trips")
    clock.tick(60)
    other = begin(spool, *[1] * 30, job="gps")
    deliver(spool, clock, job="gps")
    deliver(spool, clock, count=3)
    few = fates.Budget(each=20, together=1_000)
    assert asked(folder, few)[early] == Fates(dead=0, waiting=2)
    assert asked(folder, fates.LISTED)[early] == replace(ALL, delivered=3, waiting=2)
    assert asked(folder, few, "gps")[other] == Fates(dead=0, waiting=0), "30 receipts, 20 are looked at"
    assert asked(folder, fates.Budget(each=30, together=30), "gps")[other] == replace(ALL, delivered=30)


def steps_of(folder, job, *, deep=False):
    """How much SQLite works for it, in its own steps: the same on every machine."""
    steps = []
    with Reader.open(folder.state) as reader:
        runs = reader.runs(job)
        reader._reading.raw.set_progress_handler(lambda: steps.append(1), 100)
        found = reader.fates(runs, deep=deep)
    assert [one.delivered for _, one in found] == [run.records for run in runs]
    return len(steps)


def test_other_receipts_before_and_after_a_run_cost_next_to_nothing(folder, spool, clock):
    begin(spool, *[1] * 50)
    deliver(spool, clock)
    alone = steps_of(folder, "trips")
    for job in ("before", "behind"):
        for _ in range(3):
            clock.tick(600)
            begin(spool, *[1] * 4_000, job=job)
            deliver(spool, clock, job=job)
        if job == "before":
            clock.tick(600)
            begin(spool, *[1] * 50)
            deliver(spool, clock)
    among = steps_of(folder, "trips")
    assert alone > 0
    # Two runs now, each with some pieces of 100 receipts: some ten steps for each of them.
    assert among < alone + 2 * 300 * 12 / 100


def test_small_runs_are_charged_for_the_few_receipts_that_were_looked_at(folder, spool, clock):
    for _ in range(100):
        clock.tick(30)
        begin(spool, 1)
        deliver(spool, clock)
    budget = fates.Budget(each=1_000, together=100 * 100)
    assert set(asked(folder, budget).values()) == {replace(ALL, delivered=1)}


def test_more_than_ten_thousand_waiting_messages_are_not_looked_through(call, folder, spool, clock):
    early = begin(spool, 1, 2)
    deliver(spool, clock)
    late = begin(spool, *[1] * 10_002)
    deliver(spool, clock, count=1)
    found = told(folder)
    assert found[early] == replace(ALL, delivered=3), "the sum is right: nothing of it can wait"
    assert found[late] == Fates(delivered=1, superseded=0, dead=0)
    code, out, err = ask(call, folder)
    assert (code, "  1 delivered, ?" in out, "  all delivered" in out) == (0, True, True)
    assert err == (
        "?: not looked for, since there are too many receipts, letters or messages; --run looks further\n"
    )
    assert ask(call, folder, "--run", early)[2] == ""


def test_of_too_many_dead_letters_the_newest_are_looked_through(folder, spool, clock):
    early = begin(spool, 1, 1)
    for message in oldest(spool):
        spool.bury(message, replace(letter(message), died_at=clock.now())).result()
    clock.tick(60)
    late = spool.start_run("trips", clock.now(), "every", "sha").result()
    spool.append(late, [draft(), draft()]).result()
    for message in oldest(spool):
        spool.bury(message, replace(letter(message), died_at=clock.now())).result()
    found = asked(folder, fates.Budget(each=10, together=10, others=3))
    assert found == {late: replace(ALL, dead=2), early: Fates(waiting=0)}
