"""Files are moved when what they held was delivered or refused: the right one, once, whatever happens."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.finish import Finisher, hint_of
from agent.spool import Spool
from tests.support.another import another_file_system
from tests.support.clock import FakeClock, turns
from tests.support.collecting import csv_text, job_of
from tests.support.spool import letter, receipt


@pytest.fixture
def finisher(place):
    return Finisher(place.spool, SystemClock())


def job_in(inbox, kind="file", pattern="*.txt", **more):
    return job_of(kind, inbox / pattern, done="done/", failed="failed/", **more)


def deliver(place, refuse=0):
    """Refuse the first ones, deliver the others."""
    messages = place.spool.oldest("j", 0, limit=1000).result()
    for message in messages[:refuse]:
        place.spool.bury(message, letter(message)).result()
    for message in messages[refuse:]:
        place.spool.ack(message, receipt(message)).result()


async def run(place, finisher, job):
    finisher.set_jobs({job.name: job})
    await asyncio.to_thread(place.run, job)


def listed(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_a_file_is_moved_when_all_of_it_is_delivered_and_not_before(place, inbox, finisher):
    (inbox / "a.csv").write_text(csv_text(30))
    await run(place, finisher, job_in(inbox, "csv", "*.csv"))
    await finisher.sweep()
    assert listed(inbox) == ["a.csv"]
    deliver(place)
    await finisher.sweep()
    assert listed(inbox) == ["done/a.csv"]
    [row] = place.spool.files_by_path("j", str(inbox / "a.csv")).result()
    assert (row.state, row.moved_to) == ("done", str(inbox / "done" / "a.csv"))
    await finisher.sweep()
    assert listed(inbox) == ["done/a.csv"]


async def test_a_refused_file_lies_in_failed_with_the_answer_beside_it(place, inbox, finisher):
    (inbox / "a.csv").write_text(csv_text(30))
    await run(place, finisher, job_in(inbox, "csv", "*.csv"))
    [first, *_] = place.spool.oldest("j", 0).result()
    deliver(place, refuse=1)
    await finisher.sweep()
    assert listed(inbox) == ["failed/a.csv", "failed/a.csv.why.json"]
    why = json.loads((inbox / "failed" / "a.csv.why.json").read_text())
    assert (why["job"], why["file"], why["refused"], why["delivered"]) == ("j", str(inbox / "a.csv"), 1, 2)
    [answer] = why["answers"]
    assert answer == {
        "key": first.key,
        "time": "2027-01-15T08:00:02.000Z",
        "reason": "refused",
        "from": first.origin,
        "request": "POST https://target.test/in",
        "status": 422,
        "answer": "422 Unprocessable Content",
        "body": "no such vehicle",
    }
    assert place.rows("j", inbox / "a.csv") == [("failed", "1 refused, 2 delivered")]


async def test_bad_content_lies_in_failed_with_the_reason_beside_it(place, inbox, finisher):
    (inbox / "a.txt").write_text("no;such\n")
    await run(place, finisher, job_in(inbox, columns=("id",)))
    await finisher.sweep()
    assert listed(inbox) == ["failed/a.txt", "failed/a.txt.why.json"]
    why = json.loads((inbox / "failed" / "a.txt.why.json").read_text())
    assert why["reason"].startswith("not sent: a.txt")
    assert why["answers"] == []
    (inbox / "a.txt").write_text("id\n")
    assert (await asyncio.to_thread(place.run, job_in(inbox, columns=("id",)))).messages == 1


async def test_a_duplicate_goes_to_done_and_a_name_that_is_taken_gets_a_number(place, inbox, finisher):
    job = job_in(inbox)
    for _ in range(3):
        (inbox / "a.txt").write_text("same")
        await run(place, finisher, job)
        deliver(place)
        await finisher.sweep()
    assert listed(inbox) == ["done/a.txt", "done/a.txt.1", "done/a.txt.2"]


async def test_a_duplicate_of_what_is_refused_later_does_not_keep_it_from_being_tried_again(
    place, inbox, finisher
):
    job = job_in(inbox)
    for name in ("a.txt", "b.txt"):
        (inbox / name).write_text("same")
    await run(place, finisher, job)
    await finisher.sweep()
    deliver(place, refuse=1)
    await finisher.sweep()
    assert listed(inbox) == ["done/b.txt", "failed/a.txt", "failed/a.txt.why.json"]
    (inbox / "c.txt").write_text("same")
    await run(place, finisher, job)
    assert place.visible() == [b"same"]


async def test_a_file_that_is_read_at_every_run_does_not_fill_the_state(place, inbox, finisher):
    (inbox / "a.csv").write_text(csv_text(5))
    job = job_of("csv", inbox / "*.csv", reread="always")
    for _ in range(5):
        await run(place, finisher, job)
        deliver(place)
        await finisher.sweep()
    [row] = place.spool.files_by_path("j", str(inbox / "a.csv")).result()
    assert row.state == "done"


@pytest.mark.parametrize("letter_", ["n", "\u00fc"])
async def test_a_refused_file_with_the_longest_of_names_is_set_aside_with_its_reason(
    place, inbox, finisher, letter_
):
    name = letter_ * (251 // len(letter_.encode())) + ".txt"
    for content in ("refused", "refused too"):
        (inbox / name).write_text(content)
        await run(place, finisher, job_in(inbox))
        deliver(place, refuse=1)
        await finisher.sweep()
        assert finisher.stuck() == ()
    lying = listed(inbox / "failed")
    assert len(lying) == 4
    assert sorted(
        (inbox / "failed" / each).read_text() for each in lying if each.endswith((".txt", ".1"))
    ) == [
        "refused",
        "refused too",
    ]
    reasons = [json.loads((inbox / "failed" / each).read_text()) for each in lying if each.endswith(".json")]
    assert [reason["file"] for reason in reasons] == [str(inbox / name)] * 2


async def test_a_file_that_changed_since_it_was_read_stays_because_it_is_new_work(place, inbox, finisher):
    path = inbox / "a.txt"
    path.write_text("old")
    job = job_in(inbox)
    await run(place, finisher, job)
    path.write_text("newer")
    deliver(place)
    await finisher.sweep()
    assert listed(inbox) == ["a.txt"]
    assert place.rows("j", path) == [("done", "it changed since it was read")]
    await run(place, finisher, job)
    assert place.visible() == [b"newer"]


async def test_a_file_that_is_gone_is_finished_where_it_was(place, inbox, finisher):
    (inbox / "a.txt").write_text("a")
    await run(place, finisher, job_in(inbox))
    (inbox / "a.txt").unlink()
    deliver(place)
    await finisher.sweep()
    assert place.rows("j", inbox / "a.txt") == [("done", "it was gone")]
    assert place.spool.settled_files().result() == []


async def test_a_crash_between_the_move_and_its_note_is_repaired_at_the_next_start(place, inbox, finisher):
    path = inbox / "a.txt"
    path.write_text("a")
    await run(place, finisher, job_in(inbox))
    deliver(place)
    (inbox / "done").mkdir()
    (inbox / "done" / "a.txt").write_text("an older one")
    path.rename(inbox / "done" / "a.txt.1")
    await finisher.sweep()
    [row] = place.spool.files_by_path("j", str(path)).result()
    assert (row.state, row.moved_to) == ("done", str(inbox / "done" / "a.txt.1"))


async def test_without_folders_a_file_stays_and_is_finished(place, inbox, finisher):
    (inbox / "a.txt").write_text("a")
    await run(place, finisher, job_of("file", inbox / "*.txt"))
    deliver(place)
    await finisher.sweep()
    assert listed(inbox) == ["a.txt"]
    assert place.rows("j", inbox / "a.txt") == [("done", "")]


async def test_a_file_that_was_given_up_half_way_is_not_moved(place, inbox, finisher):
    path = inbox / "a.csv"
    path.write_text(csv_text(40_000))
    job = job_in(inbox, "csv", "*.csv")
    asked = iter(range(5))
    place.stopped = lambda: next(asked, None) is None
    await run(place, finisher, job)
    place.stopped = lambda: False
    path.write_text(csv_text(5))
    await run(place, finisher, job)
    await finisher.sweep()
    assert listed(inbox) == ["a.csv"]
    deliver(place)
    await finisher.sweep()
    assert listed(inbox) == ["done/a.csv"]


async def test_what_cannot_be_moved_is_said_once_visible_and_tried_again(place, inbox, tmp_path, caplog):
    caplog.set_level("INFO", "push_agent")
    (inbox / "done").write_text("a file where the folder should be")
    path = inbox / "a.txt"
    path.write_text("a")
    clock = FakeClock()
    finisher = Finisher(place.spool, clock)
    await run(place, finisher, job_in(inbox))
    deliver(place)
    await finisher.sweep()
    await finisher.sweep()
    [stuck] = finisher.stuck("j")
    assert (stuck.path, stuck.reason) == (str(path), f"File exists: {inbox}/done")
    assert stuck.hint == f"{inbox}/done must be a folder"
    assert finisher.stuck("other") == ()
    assert [record.getMessage() for record in caplog.records].count("a file cannot be moved") == 1
    assert len(place.spool.settled_files().result()) == 1
    (inbox / "done").unlink()
    await finisher.sweep()
    assert finisher.stuck() == ()
    assert listed(inbox) == ["done/a.txt"]


async def test_a_file_that_cannot_be_moved_is_delivered_and_is_not_sent_again_whatever_comes(place, inbox):
    (inbox / "done").write_text("a file where the folder should be")
    (inbox / "a.txt").write_text("a")
    job = job_in(inbox)
    clock = FakeClock()
    finisher = Finisher(place.spool, clock)
    await run(place, finisher, job)
    deliver(place)
    await finisher.sweep()
    for _ in ("another run", "another process"):
        result = await asyncio.to_thread(place.run, job)
        assert (result.messages, place.visible()) == (0, [])
        finisher = Finisher(place.spool, clock)
        finisher.set_jobs({"j": job})
        await finisher.sweep()
        assert [file.path for file in finisher.stuck()] == [str(inbox / "a.txt")]
    (inbox / "done").unlink()
    await finisher.sweep(patient=True)
    assert listed(inbox) == ["a.txt"]  # not yet: it was tried a moment ago
    await clock.advance(31)
    await finisher.sweep(patient=True)
    assert listed(inbox) == ["done/a.txt"]
    assert place.rows("j", inbox / "a.txt") == [("done", "")]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EROFS, "ReadWritePaths="),
        (errno.EACCES, "let the user of push-agent write to /in/done and to /in"),
        (errno.EPERM, "let the user of push-agent write"),
        (errno.ENOENT, "make the folder above /in/done, or mount it"),
        (errno.EEXIST, "/in/done must be a folder"),
        (errno.ENOSPC, "make room on the disk of /in/done"),
        (errno.EIO, ""),
    ],
)
def test_for_what_keeps_a_file_from_being_moved_there_is_a_hint(number, said):
    hint = hint_of(OSError(number, os.strerror(number), "/in/done"), Path("/in"))
    assert said in hint
    assert bool(hint) == bool(said)


async def test_another_file_system_gets_a_copy_that_is_whole_before_the_file_is_gone(place, inbox, finisher):
    folder = another_file_system(inbox) / f"push-agent-test-{os.getpid()}"
    (inbox / "a.txt").write_text("content")
    job = job_of("file", inbox / "*.txt", done=str(folder))
    await run(place, finisher, job)
    deliver(place)
    await finisher.sweep()
    try:
        assert listed(inbox) == []
        assert listed(folder) == ["a.txt"]
        assert (folder / "a.txt").read_text() == "content"
    finally:
        (folder / "a.txt").unlink(missing_ok=True)
        folder.rmdir()


async def test_the_files_of_a_removed_job_stay_until_it_is_back(place, inbox, finisher):
    (inbox / "a.txt").write_text("a")
    job = job_in(inbox)
    await run(place, finisher, job)
    finisher.set_jobs({})
    deliver(place)
    await finisher.sweep()
    assert listed(inbox) == ["a.txt"]
    finisher.set_jobs({"j": job})
    await finisher.sweep()
    assert listed(inbox) == ["done/a.txt"]


async def test_a_finisher_that_starts_before_the_jobs_are_known_moves_their_files_once_they_are(place, inbox):
    (inbox / "a.txt").write_text("a")
    job = job_in(inbox)
    await asyncio.to_thread(place.run, job)
    deliver(place)
    finisher = Finisher(place.spool, FakeClock(auto=True))
    await finisher.start()
    await until(lambda: not finisher._wake.is_set())
    await finisher.sweep()
    assert listed(inbox) == ["a.txt"]
    finisher.set_jobs({"j": job})
    await until(lambda: listed(inbox) == ["done/a.txt"])
    await finisher.stop()


async def test_files_are_moved_by_and_by_when_a_sweep_failed_and_nothing_else_happens(place, inbox):
    (inbox / "a.txt").write_text("a")
    job = job_in(inbox)
    finisher = Finisher(place.spool, FakeClock(auto=True))
    await run(place, finisher, job)
    deliver(place)
    place.spool._thread._db.raw.execute("ALTER TABLE files RENAME TO away")
    await finisher.start()
    await until(lambda: finisher._failed and not finisher._wake.is_set())
    place.spool._thread._db.raw.execute("ALTER TABLE away RENAME TO files")
    await until(lambda: listed(inbox) == ["done/a.txt"])
    await finisher.stop()


async def test_started_it_moves_what_the_last_process_left_and_what_it_is_woken_for(place, inbox):
    (inbox / "a.txt").write_text("a")
    job = job_in(inbox)
    finisher = Finisher(place.spool, FakeClock(auto=True))
    await run(place, finisher, job)
    deliver(place)
    await finisher.start()
    await until(lambda: listed(inbox) == ["done/a.txt"])
    (inbox / "b.txt").write_text("b")
    await run(place, finisher, job)
    deliver(place)
    finisher.wake()
    await until(lambda: listed(inbox) == ["done/a.txt", "done/b.txt"])
    await finisher.stop()
    await finisher.stop()


async def test_a_spool_that_cannot_be_used_is_said_and_outlived(place, inbox, tmp_path, caplog):
    finisher = Finisher(place.spool, FakeClock())
    await asyncio.to_thread(place.spool.close)
    await finisher.start()
    await until(lambda: "files are not moved now" in caplog.text)
    await finisher.stop()
    place.spool = await asyncio.to_thread(
        Spool.open, tmp_path / "state", max_bytes=10**9, clock=SystemClock()
    )
    await asyncio.to_thread(place.spool.close)


async def until(true):
    """Let the loop and its threads work until it is so; the test's own timeout ends it otherwise."""
    while not true():
        await turns()
        await asyncio.to_thread(os.sched_yield)
