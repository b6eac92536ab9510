"""Limits of one job and of all: they make appends wait, never those by which something can leave at last."""

from __future__ import annotations

import pytest

from agent.errors import SpoolFull
from agent.limit import Limit
from tests.support.spool import draft, open_spool, receipt, stamp


def lot(count):
    return [draft(b"x" * 100) for _ in range(count)]


def take(spool, job="gps", count=1):
    for message in spool.oldest(job, 0, limit=count).result()[:count]:
        spool.ack(message, receipt(message)).result()


def refused(spool, run, drafts, **more):
    error = spool.append(run, drafts, **more).exception()
    assert isinstance(error, SpoolFull)
    return error


def test_at_a_jobs_limit_of_messages_its_appends_wait_and_those_of_others_go_on(spool, run):
    spool.limits.jobs = {"gps": Limit(max_messages=10)}
    other = spool.start_run("other", 1.0, "every", "sha").result()
    spool.append(run, lot(10)).result()
    error = refused(spool, run, lot(1), cursor={"n": 11})
    assert error.message == "spool is full: 10 of 10 messages of job gps"
    assert (error.limit, error.exit_code) == ("job", 75)
    assert spool.why_full("gps").result() == error.message
    assert spool.cursor("gps").result() is None
    spool.append(other, lot(50)).result()
    take(spool)
    assert spool.why_full("gps").result() == ""
    spool.append(run, lot(1)).result()
    refused(spool, run, lot(1))


def test_a_jobs_limit_of_bytes_counts_bodies_before_they_are_packed(spool, run):
    spool.limits.jobs = {"gps": Limit(max_bytes=1000)}
    spool.append(run, lot(10)).result()
    assert refused(spool, run, lot(1)).message == "spool is full: 1,000 of 1,000 bytes of job gps"
    take(spool)
    spool.append(run, lot(1)).result()


def test_a_limit_of_all_messages_counts_every_job(spool, run):
    spool.limits.total = Limit(max_messages=10)
    other = spool.start_run("other", 1.0, "every", "sha").result()
    spool.append(other, lot(6)).result()
    spool.append(run, lot(4)).result()
    error = refused(spool, run, lot(1))
    assert (error.message, error.limit) == ("spool is full: 10 of 10 messages", "all")
    assert spool.why_full("gps").result() == spool.why_full("other").result() == error.message
    take(spool, "other")
    spool.append(run, lot(1)).result()


def test_a_chunk_that_is_larger_than_the_limit_comes_in_when_nothing_of_the_job_waits(spool, run):
    spool.limits.jobs = {"gps": Limit(max_messages=3)}
    spool.append(run, lot(10)).result()
    refused(spool, run, lot(10))
    take(spool, count=9)
    refused(spool, run, lot(10))
    take(spool)
    spool.append(run, lot(10)).result()


def test_a_file_that_is_held_and_larger_than_the_limit_comes_in_whole_behind_what_leaves(spool, run):
    spool.limits.jobs = {"gps": Limit(max_messages=5)}
    spool.limits.total = Limit(max_messages=8)
    spool.append(run, lot(2)).result()
    file = spool.open_file("gps", run, stamp(), "sha", hold=True).result()
    spool.append(run, lot(3), file=file).result()
    refused(spool, run, lot(3), file=file)
    take(spool, count=2)
    for _ in range(5):  # nothing can leave before all of it is there
        spool.append(run, lot(3), file=file).result()
    spool.release_file(file).result()
    assert len(spool.oldest("gps", 0).result()) == 18
    refused(spool, run, lot(1))


def test_two_files_that_are_held_at_the_limit_do_not_wait_for_each_other(spool, run):
    spool.limits.jobs = {"gps": Limit(max_messages=5)}
    first = spool.open_file("gps", run, stamp("/in/1.csv"), "sha 1", hold=True).result()
    spool.append(run, lot(4), file=first).result()
    second = spool.open_file("gps", run, stamp("/in/2.csv"), "sha 2", hold=True).result()
    spool.append(run, lot(4), file=second).result()
    spool.append(run, lot(4), file=first).result()


def test_deliveries_burials_and_cursors_are_never_limited(spool, run):
    spool.limits.jobs = {"gps": Limit(max_messages=1)}
    spool.append(run, lot(1)).result()
    spool.append(run, [], cursor={"n": 1}).result()
    take(spool)
    assert spool.oldest("gps", 0).result() == []


def test_a_limit_that_was_raised_counts_for_the_next_append(spool, run):
    spool.limits.jobs = {"gps": Limit(max_messages=1)}
    spool.append(run, lot(1)).result()
    refused(spool, run, lot(1))
    spool.limits.jobs = {"gps": Limit(max_messages=2)}
    spool.append(run, lot(1)).result()
    spool.limits.jobs = {}
    spool.append(run, lot(100)).result()


def test_limits_hold_after_a_restart_for_what_was_there_before(state, clock):
    spool = open_spool(state, clock=clock)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    spool.append(run, lot(5)).result()
    spool.close()
    spool = open_spool(state, clock=clock)
    spool.limits.jobs = {"gps": Limit(max_messages=5)}
    run = spool.start_run("gps", 2.0, "every", "sha").result()
    refused(spool, run, lot(1))
    spool.close()


@pytest.mark.parametrize(
    ("limit", "messages", "size", "share", "told"),
    [
        (Limit(max_messages=1000), 850, 0, 0.85, "850 of 1,000 messages"),
        (Limit(max_bytes=2000), 5, 500, 0.25, "500 of 2,000 bytes"),
        (Limit(max_bytes=2000, max_messages=10), 9, 500, 0.9, "9 of 10 messages"),
        (Limit(max_bytes=2000, max_messages=10), 1, 1900, 0.95, "1,900 of 2,000 bytes"),
    ],
)
def test_a_limit_says_the_part_of_it_that_is_taken_most(limit, messages, size, share, told):
    assert limit
    assert limit.share(messages, size) == share
    assert limit.told(messages, size) == told
    assert limit.told(messages, size, "job gps") == f"{told} of job gps"


def test_no_limit_is_never_full():
    assert not Limit()
    assert Limit().share(10**9, 10**15) == 0.0
