"""`reread: appended`: what was added to a log is sent once, wherever the log was renamed, copied, cut off."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from agent.sources import log_part
from agent.spool import Reader
from tests.support.collecting import csv_text, job_of


@pytest.fixture
def log(inbox):
    return inbox / "app.csv"


def logs(pattern, kind="csv", **more):
    return job_of(kind, pattern, map={"id": "=id"}, reread="appended", **more)


def add(path, *numbers, end="\n"):
    with path.open("a") as file:
        file.write("".join(f"{number}\n" for number in numbers).removesuffix("\n") + end)


def seeds(place, job="j"):
    return [one.key for one in place.spool.oldest(job, 0, limit=100_000, max_bytes=10**9).result()]


def test_what_is_added_is_sent_and_what_was_sent_is_not(place, log):
    job = logs(log)
    log.write_text("id\n1\n2\n")
    assert place.run(job).records == 2
    assert place.run(job).records == 0
    add(log, 3, 4)
    result = place.run(job)
    assert (result.state, result.records, result.reason) == ("done", 2, "")
    assert place.ids() == [1, 2, 3, 4]
    assert len(set(seeds(place))) == 2


def test_a_log_is_read_however_fresh_it_is(place, log):
    log.write_text("id\n1\n")
    assert place.run(logs(log, settle=3600)).records == 1


def test_del_49_a_half_written_line_waits_for_its_end(place, log):
    job = logs(log)
    log.write_text("i")
    assert place.run(job).state == "done"
    add(log, end="d\n1")
    assert place.run(job).records == 0
    add(log, end="0\n2")
    assert place.run(job).records == 1
    add(log, end="0\n")
    assert place.run(job).records == 1
    assert place.ids() == [10, 20]


@pytest.mark.parametrize("on_bad_row", ["fail", "dead_letter"])
def test_del_49_a_record_with_an_open_quote_waits_until_it_is_closed(place, log, on_bad_row):
    job = logs(log, on_bad_row=on_bad_row)
    log.write_text('id,text\n1,"a\nb"\n2,"c\nd\n')
    result = place.run(job)
    assert (result.records, result.reason) == (1, "app.csv: 2 lines wait for the end of a quoted field")
    add(log, end='e"\n3,plain 5" pipe\n')
    assert (place.run(job).records, place.ids()) == (2, [1, 2, 3])


def test_del_49_ndjson_waits_for_the_end_of_the_line_too(place, inbox):
    log = inbox / "app.ndjson"
    job = logs(log, "ndjson")
    log.write_text('{"id": 1}\n{"id": ')
    assert place.run(job).records == 1
    with log.open("a") as file:
        file.write('2}\n\n{"x": 5}\n')
    assert place.run(job).records == 2
    sent = [row for body in place.visible() for row in json.loads(body)]
    assert sent == [{"id": 1}, {"id": 2}, {"id": None}], "what a record does not have is null, not an error"
    with log.open("a") as file:
        file.write('{"x": 6}\n')
    assert place.run(job).records == 1, "nor if no record of the part has it"


@pytest.mark.parametrize("named", ["app.csv", "app.csv*"])
def test_del_48_the_rest_of_a_renamed_log_is_sent_before_the_new_one(place, log, inbox, named):
    job = logs(inbox / named)
    log.write_text("id\n1\n")
    place.run(job)
    add(log, 2, 3)
    log.rename(inbox / "app.csv.1")
    log.write_text("id\n4\n")
    place.run(job)
    add(inbox / "app.csv.1", 5)
    add(log, 6)
    place.run(job)
    assert place.ids() == [1, 2, 3, 4, 5, 6], "a writer that still holds the old one loses nothing"


@pytest.mark.parametrize("named", ["app.csv", "app.csv*"])
def test_del_48_a_log_that_is_cut_off_begins_anew(place, log, inbox, named, caplog):
    job = logs(inbox / named)
    log.write_text("id\n1\n2\n")
    place.run(job)
    log.write_text("id\n3\n")
    place.run(job)
    assert place.ids() == [1, 2, 3]
    assert "a log begins anew: it is read from its start" in caplog.text
    place.run(job)
    assert caplog.text.count("begins anew") == 1


def test_del_48_a_log_that_is_cut_off_and_longer_than_before_begins_anew(place, log):
    job = logs(log)
    log.write_text("id\n1\n2\n")
    place.run(job)
    log.write_text("id\n3\n4\n5\n6\n7\n")
    place.run(job)
    assert place.ids() == [1, 2, 3, 4, 5, 6, 7]


def test_del_48_the_same_text_after_a_cut_is_sent_under_other_keys(place, log):
    job = logs(log)
    log.write_text("id\n1\n")
    place.run(job)
    os.truncate(log, 0)
    place.run(job)
    add(log, "id", 1)
    place.run(job)
    assert place.ids() == [1, 1]
    assert len(set(seeds(place))) == 2


@pytest.mark.parametrize("rows", [3, 3000])
def test_del_48_a_copy_that_was_made_before_the_cut_is_gone_on_with(place, log, inbox, rows):
    job = logs(inbox / "app.csv*")
    log.write_text(csv_text(rows))
    place.run(job)
    add(log, rows + 1)
    shutil.copy2(log, inbox / "app.csv.1")
    if rows > 1000:
        early = place.run(job)
        assert early.reason == "app.csv.1 is not read: a copy of app.csv"
        assert early.records == 1
    os.truncate(log, 0)
    add(log, "id", rows + 2)
    place.run(job)
    place.run(job)
    assert place.ids() == list(range(1, rows + 3))


def test_del_48_a_log_that_was_replaced_by_another_file_begins_anew(place, log, inbox):
    job = logs(log)
    log.write_text("id\n1\n2\n")
    place.run(job)
    other = inbox / "new"
    other.write_text("id\n1\n2\n3\n")
    other.replace(log)
    place.run(job)
    assert place.ids() == [1, 2, 1, 2, 3]


@pytest.mark.parametrize("kind", ["folder", "fifo", "loop", "device"])
def test_del_48_what_is_no_file_any_more_never_blocks_and_is_said(place, log, kind):
    job = logs(log)
    log.write_text("id\n1\n")
    place.run(job)
    log.unlink()
    if kind == "folder":
        log.mkdir()
    elif kind == "fifo":
        os.mkfifo(log)
    elif kind == "loop":
        log.symlink_to(log)
    else:
        log.symlink_to("/dev/zero")
    for _ in range(2):
        result = place.run(job)
        assert (result.state, result.reason) == ("failed", "app.csv: is not a regular file")
    log.rmdir() if kind == "folder" else log.unlink()
    log.write_text("id\n2\n")
    assert (place.run(job).state, place.ids()) == ("done", [1, 2])


def test_a_link_beside_its_log_does_not_make_two_of_it(place, log, inbox):
    log.write_text("id\n1\n")
    (inbox / "current.csv").symlink_to(log)
    job = logs(inbox / "*.csv")
    place.run(job)
    add(log, 2)
    place.run(job)
    assert place.ids() == [1, 2]


def test_a_packed_file_is_said_and_harms_no_other(place, log, inbox):
    log.write_text("id\n1\n")
    (inbox / "app.csv.2.gz").write_bytes(b"x")
    result = place.run(logs(inbox / "app.csv*"))
    hint = "(let `path` name the unpacked ones only)"
    assert result.reason == f"app.csv.2.gz: a packed file cannot be read as it grows {hint}"
    assert (result.state, place.ids()) == ("failed", [1])


def test_a_log_whose_name_is_no_text_is_said_and_harms_no_other(place, log, inbox):
    log.write_text("id\n1\n")
    Path(os.fsdecode(os.fsencode(inbox) + b"/caf\xe9.csv")).write_text("id\n2\n")
    result = place.run(logs(inbox / "*.csv"))
    assert (result.state, result.records) == ("failed", 1)
    assert result.reason.endswith("/caf\\udce9.csv': its name holds characters that are no text")
    assert place.ids() == [1]
    log.rename(os.fsdecode(os.fsencode(inbox) + b"/\xe9"))
    assert place.run(logs(inbox / "*.csv")).records == 0


def test_a_bad_row_stops_its_log_at_the_part_before_it(place, log, inbox, caplog):
    (inbox / "other.csv").write_text("id\n7\n")
    job = logs(inbox / "*.csv")
    log.write_text("id,b\n1,x\n")
    place.run(job)
    add(log, "2,y", "3", "4,z")
    for _ in range(2):
        result = place.run(job)
        assert result.state == "failed"
        assert result.reason.startswith("app.csv line 4: 1 fields instead of 2")
        assert result.records == 0
    assert sorted(place.ids()) == [1, 7]
    assert caplog.text.count("a log is not read on") == 1, "it is told once"
    later = place.run(logs(inbox / "*.csv", on_bad_row="dead_letter"))
    assert (later.state, later.records) == ("done", 2)
    assert sorted(place.ids()) == [1, 2, 4, 7]
    with Reader.open(place.temp.parent / "state") as reader:
        assert [letter.origin for letter in reader.dead("j")] == ["app.csv line 4"]


def test_a_value_that_is_none_is_named_by_its_line_in_the_log(place, log):
    job = logs(log, types={"id": "INTEGER"})
    log.write_text("id\n1\n2\n")
    place.run(job)
    add(log, 3, "x")
    assert place.run(job).reason.startswith("app.csv record 4 (line 5): column id")


def test_rows_are_numbered_over_all_parts(place, log):
    job = logs(log)
    log.write_text("id\n1\n2\n")
    place.run(job)
    add(log, 3, 4)
    place.run(job)
    origins = [one.origin for one in place.spool.oldest("j", 0, limit=9, max_bytes=10**9).result()]
    assert origins == ["app.csv rows 1-2", "app.csv rows 3-4"]


def test_a_log_without_a_header_keeps_its_columns(place, log):
    job = job_of(
        "csv", log, map={"id": "=column0"}, reread="appended", header=False, on_bad_row="dead_letter"
    )
    log.write_text("1,a\n")
    place.run(job)
    add(log, "2", "3,c")
    assert place.run(job).records == 1
    assert place.ids() == [1, 3]


def test_a_log_of_a_code_page_is_read_in_parts_too(place, log):
    job = job_of("csv", log, map={"n": "=näme"}, reread="appended", encoding="windows-1252")
    log.write_bytes("näme\nJürgen\n".encode("windows-1252"))
    place.run(job)
    with log.open("ab") as file:
        file.write("Zoë\n".encode("windows-1252"))
    place.run(job)
    assert [row["n"] for body in place.visible() for row in json.loads(body)] == ["Jürgen", "Zoë"]


def test_a_large_log_is_read_in_parts_up_to_what_there_was_at_the_start(place, log, monkeypatch):
    monkeypatch.setattr(log_part, "_PIECE", 1000)
    monkeypatch.setattr(log_part.cut, "__defaults__", (2500,))
    log.write_text(csv_text(3000))
    job = logs(log)
    place.hands.say = lambda text: add(log, 99) if text.startswith("reading") else None
    assert place.run(job).records == 3000
    assert place.ids() == list(range(1, 3001))
    place.hands.say = lambda text: None
    place.run(job)
    assert set(place.ids()[3000:]) == {99}


def test_a_limit_ends_the_run_behind_a_part(place, log, monkeypatch):
    monkeypatch.setattr(log_part, "_PIECE", 1000)
    monkeypatch.setattr(log_part.cut, "__defaults__", (1000,))
    log.write_text(csv_text(3000))
    job = logs(log)
    result = place.run(job, limit=1)
    assert result.reason == "stopped in app.csv: the limit of 1 is reached"
    assert 1 <= result.records < 3000
    place.run(job)
    assert place.ids() == list(range(1, 3001))


def test_a_log_that_is_gone_before_its_end_was_read_is_told(place, log, caplog):
    job = logs(log)
    log.write_text("id\n1\n2")
    place.run(job)
    log.unlink()
    assert place.run(job).state == "done"
    assert "a log is gone before its end was read" in caplog.text
    assert place.spool.cursor("j").result()["logs"] == []


def test_a_successor_with_the_same_long_header_is_no_copy(place, inbox):
    header = "id," + ",".join(f"column with a long name {number}" for number in range(400)) + "\n"
    row = "," * 400 + "\n"
    job = logs(inbox / "*.csv")
    (inbox / "1.csv").write_text(header + f"1{row}2{row}")
    place.run(job)
    (inbox / "2.csv").write_text(header + f"3{row}")
    place.run(job)
    assert place.ids() == [1, 2, 3]


def test_del_48_a_log_that_is_rotated_under_our_eyes_is_looked_at_again(place, log, inbox):
    job = logs(log)
    log.write_text("id\n1\n")
    place.run(job)
    add(log, 2)

    def rotate(text):
        if text == "reading app.csv" and log.exists():
            os.truncate(log, 0)

    place.hands.say = rotate
    result = place.run(job)
    assert (result.state, result.reason) == ("done", "app.csv: was cut off while it was read")
    assert result.look_again_at is not None
    place.hands.say = lambda text: None
    add(log, "id", 3)
    place.run(job)
    assert place.ids() == [1, 3]


def test_a_log_that_may_not_be_read_is_said_and_gone_on_with_later(place, log, inbox, monkeypatch):
    job = logs(log)
    log.write_text("id\n1\n")
    place.run(job)
    add(log, 2)
    real = os.open

    def refused(path, flags, *rest, **more):
        if not flags & os.O_PATH and flags & os.O_NOCTTY:
            raise PermissionError(13, "Permission denied", path)
        return real(path, flags, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refused)
        result = place.run(job)
        assert (result.state, result.reason) == ("failed", "app.csv: cannot be opened: Permission denied")
    assert place.run(job).state == "done"
    assert place.ids() == [1, 2]


def test_a_job_that_read_its_files_whole_until_now_begins_with_their_start(place, log):
    log.write_text(csv_text(40_000))
    whole = job_of("csv", log)
    asked = iter(range(5))
    place.stopped = lambda: next(asked, None) is None
    assert place.run(whole).state == "stopped"
    place.stopped = lambda: False
    assert place.run(logs(log)).state == "done"
    assert place.ids() == list(range(1, 40_001))


def test_a_record_that_never_ends_is_an_error_with_its_line(place, log, monkeypatch):
    for name, size in (("_PIECE", 1000), ("LONGEST", 5_000_000), ("LONGEST_OPEN", 10_000)):
        monkeypatch.setattr(log_part, name, size)
    log.write_text('id,b\n1,x\n2,"' + "3,y\n" * 5000)
    result = place.run(logs(log))
    assert result.reason.startswith("app.csv line 3: a quote that does not end")
    log.write_text("id\n1\n" + "x" * 5_100_000)
    assert place.run(logs(log)).reason.startswith("app.csv line 2 and behind: a record of more than 5 MB")


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_blank_lines_alone_are_done_with(place, inbox, kind):
    log = inbox / "app.log"
    log.write_text("id,b\n1,x\n" if kind == "csv" else '{"id": 1}\n')
    job = logs(log, kind)
    place.run(job)
    add(log, end="\n\n")
    result = place.run(job)
    assert (result.state, result.reason, result.records) == ("done", "", 0)
    add(log, "2,y" if kind == "csv" else '{"id": 2}')
    place.run(job)
    assert place.ids() == [1, 2]


def test_a_part_under_way_is_ended_as_it_was_cut_although_the_job_has_changed(place, log):
    log.write_text("id,b\n" + "".join(f"{number},'\n" for number in range(1, 20_001)))
    job = logs(log, on_bad_row="dead_letter")
    asked = iter(range(7))
    place.stopped = lambda: next(asked, None) is None
    assert place.run(job).state == "stopped"
    place.stopped = lambda: False
    assert 0 < len(place.ids()) < 20_000
    place.run(logs(log, on_bad_row="dead_letter", quote="'"))
    (mark,) = place.spool.cursor("j").result()["logs"]
    assert (mark["end"], mark["offset"]) == (0, log.stat().st_size)


def test_del_48_a_log_that_was_empty_when_it_was_met_is_found_under_its_new_name(place, log, inbox):
    job = logs(log)
    log.write_text("")
    place.run(job)
    add(log, "id", 1)
    log.rename(inbox / "app.csv.1")
    log.write_text("id\n2\n")
    place.run(job)
    assert place.ids() == [1, 2]
