"""Which files a run reads, in which order, how often, and what becomes of bad ones."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from tests.support.collecting import csv_text, job_of


def touch(path, seconds=100):
    """Another mtime, the same content."""
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns - seconds * 10**9))


def test_a_whole_file_becomes_one_message_byte_for_byte_once(place, inbox):
    (inbox / "a.csv").write_bytes(b"x;y\r\n1;2")
    job = job_of("file", inbox / "*.csv")
    first, second = place.run(job), place.run(job)
    assert (first.state, first.records, first.messages) == ("done", 1, 1)
    assert (second.state, second.records, second.messages) == ("done", 0, 0)
    assert place.visible() == [b"x;y\r\n1;2"]


def test_records_become_batches_in_order_once(place, inbox):
    (inbox / "a.csv").write_text(csv_text(35))
    job = job_of("csv", inbox / "*.csv")
    assert (place.run(job).records, place.run(job).records) == (35, 0)
    assert place.ids() == list(range(1, 36))
    assert len(place.visible()) == 4


def test_200_files_are_spooled_in_the_order_of_their_names(place, inbox):
    names = [f"{number:03d}" for number in range(200)]
    now = time.time_ns()
    for name in reversed(names):
        path = inbox / f"{name}.txt"
        path.write_text(name)
        os.utime(path, ns=(now, now))
    assert place.run(job_of("file", inbox / "*.txt")).messages == 200
    assert place.visible() == [name.encode() for name in names]


def test_the_same_content_under_another_name_is_noted_and_not_sent(place, inbox, caplog):
    caplog.set_level("INFO", "push_agent")
    (inbox / "a.txt").write_text("same")
    job = job_of("file", inbox / "*.txt")
    place.run(job)
    (inbox / "b.txt").write_text("same")
    result = place.run(job)
    assert (result.state, result.messages, result.settled) == ("done", 0, True)
    [(state, reason)] = place.rows("j", inbox / "b.txt")
    assert state == "duplicate"
    assert reason.startswith(f"the same content as {inbox}/a.txt of 20")
    assert "not sent again" in caplog.text


def test_once_per_path_sends_the_same_content_of_two_paths_and_a_path_once(place, inbox):
    job = job_of("file", inbox / "*.txt", once_per="path")
    (inbox / "a.txt").write_text("same")
    (inbox / "b.txt").write_text("same")
    assert place.run(job).messages == 2
    (inbox / "a.txt").write_text("other")
    assert place.run(job).messages == 0
    assert place.rows("j", inbox / "a.txt")[0][1].startswith("this path was sent before, at 20")


def test_a_changed_file_of_records_is_read_again_whole_and_a_touched_one_is_not(place, inbox):
    path = inbox / "a.csv"
    path.write_text(csv_text(3))
    job = job_of("csv", path)
    assert place.run(job).records == 3
    touch(path)
    assert place.run(job).records == 0
    path.write_text(csv_text(4))
    assert place.run(job).records == 4
    assert place.ids() == [1, 2, 3, 1, 2, 3, 4]


def test_reread_always_reads_it_at_every_run(place, inbox):
    (inbox / "a.csv").write_text(csv_text(2))
    job = job_of("csv", inbox / "*.csv", reread="always")
    assert [place.run(job).records for _ in range(3)] == [2, 2, 2]


def test_del_49_a_file_that_grows_is_read_once_it_has_settled(place, inbox):
    path = inbox / "a.csv"
    path.write_text("id\n1\n2")
    job = job_of("csv", path, settle=3600)
    result = place.run(job)
    assert (result.state, result.records) == ("done", 0)
    assert result.look_again_at == pytest.approx(path.stat().st_mtime + 3600)
    touch(path, 4000)
    assert place.run(job).records == 2


def test_a_bad_record_keeps_back_its_whole_file_and_no_other(place, inbox):
    bad, good = inbox / "a.csv", inbox / "b.csv"
    bad.write_text(csv_text(25) + "x,y\n")
    good.write_text(csv_text(2, start=100))
    result = place.run(job_of("csv", inbox / "*.csv"))
    assert (result.state, result.records, result.messages) == ("failed", 2, 1)
    assert "a.csv" in result.reason
    assert place.ids() == [100, 101]
    assert place.rows("j", bad)[0][0] == "failed"
    assert place.rows("j", bad)[0][1].startswith("not sent: ")


def test_a_bad_file_is_tried_again_when_it_or_the_job_changes_and_not_before(place, inbox):
    path = inbox / "a.txt"
    path.write_text("no;such\n")
    job = job_of("file", path, columns=("id",))
    assert place.run(job).state == "failed"
    assert place.run(job).state == "done"
    assert place.run(replace(job, sha256="v2")).state == "failed"
    assert place.run(replace(job, sha256="v2")).state == "done"
    path.write_text("id\n1\n")
    assert place.run(replace(job, sha256="v2")).messages == 1


def test_bad_rows_as_dead_letters_do_not_hold_the_good_ones(place, inbox):
    (inbox / "a.csv").write_text("id\n1\nbad,row\n3\n")
    result = place.run(job_of("csv", inbox / "*.csv", on_bad_row="dead_letter"))
    assert (result.state, result.records) == ("done", 2)
    assert place.ids() == [1, 3]
    [row] = place.spool.files_by_path("j", str(inbox / "a.csv")).result()
    [letter] = place.spool.letters_of_file(row.id, 10).result()
    assert (letter.reason, letter.origin, letter.records) == ("bad record", "a.csv line 3", 1)
    assert letter.answer.status is None


def test_a_file_that_is_deleted_between_listing_and_reading_is_only_noted(place, inbox):
    first, second = inbox / "a.txt", inbox / "b.txt"
    first.write_text("a")
    second.write_text("b")
    place.hands.say = lambda text: second.unlink(missing_ok=True) if text == "reading a.txt" else None
    result = place.run(job_of("file", inbox / "*.txt"))
    assert (result.state, result.messages) == ("done", 1)
    assert "b.txt: is gone since it was listed" in result.reason


def test_a_file_that_changes_between_listing_and_reading_is_looked_at_again_soon(place, inbox):
    path = inbox / "a.txt"
    path.write_text("a")
    place.hands.say = lambda text: path.write_text("longer") if text == "reading a.txt" else None
    result = place.run(job_of("file", path))
    assert (result.state, result.messages) == ("done", 0)
    assert result.look_again_at is not None
    place.hands.say = lambda text: None
    place.run(job_of("file", path))
    assert place.visible() == [b"longer"]


def test_del_48_a_fifo_a_folder_and_a_loop_of_links_are_no_files(place, inbox):
    os.mkfifo(inbox / "a.txt")
    (inbox / "b.txt").mkdir()
    (inbox / "c.txt").symlink_to(inbox / "c.txt")
    assert place.run(job_of("file", inbox / "*.txt")).state == "done"
    assert place.visible() == []


def test_an_empty_file_of_records_is_done_with_nothing_to_send(place, inbox):
    (inbox / "a.csv").write_text("id\n")
    result = place.run(job_of("csv", inbox / "*.csv"))
    assert (result.state, result.messages, result.settled) == ("done", 0, True)
    assert place.rows("j", inbox / "a.csv") == [("spooled", "")]


def test_a_name_that_is_no_text_is_a_problem_of_that_file_only(place, inbox):
    (inbox / "b.txt").write_text("good")
    (inbox / os.fsdecode(b"a\xff.txt")).write_text("bad name")
    result = place.run(job_of("file", inbox / "*.txt"))
    assert (result.state, result.messages) == ("failed", 1)
    assert "its name holds characters that are no text" in result.reason


def test_a_limit_ends_the_run_after_the_file_in_which_it_is_reached(place, inbox):
    for name in "abc":
        (inbox / f"{name}.csv").write_text(csv_text(6, start=ord(name) * 10))
    job = job_of("csv", inbox / "*.csv")
    result = place.run(job, limit=7)
    assert (result.state, result.records) == ("done", 12)
    assert "stopped before c.csv: the limit of 7 is reached" in result.reason
    assert place.run(job).records == 6


def test_many_problems_are_told_in_one_line(place, inbox):
    for number in range(5):
        (inbox / f"{number}.txt").write_text(f"no{number}\n")
    result = place.run(job_of("file", inbox / "*.txt", columns=("id",)))
    assert result.reason.endswith("; and 2 more")


def test_of_any_number_of_files_with_the_same_content_one_is_sent(place, inbox):
    for number in range(60):
        (inbox / f"{number:02}.txt").write_text("same")
    assert place.run(job_of("file", inbox / "*.txt")).messages == 1


def test_a_file_touched_any_number_of_times_is_not_sent_again(place, inbox):
    path = inbox / "a.csv"
    path.write_text(csv_text(3))
    job = job_of("csv", path)
    place.run(job)
    for seconds in range(60):
        touch(path, seconds)
        place.run(job)
    assert place.ids() == [1, 2, 3]


def test_a_thousand_known_files_are_asked_about_together(place, inbox, monkeypatch):
    for number in range(1000):
        (inbox / f"{number:04}.csv").write_text(f"id\n{number}\n")
    job = job_of("file", inbox / "*.csv")
    assert place.run(job).messages == 1000
    trips = []
    real = place.spool._thread.submit
    monkeypatch.setattr(place.spool._thread, "submit", lambda *a, **o: (trips.append(1), real(*a, **o))[1])
    assert place.run(job).messages == 0
    assert len(trips) < 20
