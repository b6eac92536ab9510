"""CSV files as they should not be: named with their line, set aside with the reason; other files go on."""

from __future__ import annotations

import json
import os
import time

import pytest


def why_of(stage, name):
    return json.loads((stage.drop / "failed" / f"{name}.why.json").read_text())


BAD = {
    "missing-column": (b"m,o\n1,2\n", ("n",)),
    "ragged": (b"n,m\n1,2\n2,3\n3,4,5\n4,5\n", (":4", "line 4")),
    "wrong-encoding": ("n,m\n1,2\nR\u00fcsselsheim,3\n".encode("latin-1"), (":3", "line 3")),
    "open-quote": (b'n,m\n1,2\n"2,3\n4,5\n', (":3", "line 3", ":4", "line 4")),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_set_aside_whole_with_its_line_and_the_others_go_on(stage, kind):
    content, places = BAD[kind]
    stage.connection().records().load()
    stage.put("a-good.csv", "n,m\na,1\n")
    stage.world.until(lambda: stage.arrived() == ["a"], "the file before is delivered")
    stage.put("b-bad.csv", content)
    stage.put("c-good.csv", "n,m\nc,1\n")
    stage.world.until((stage.drop / "failed/b-bad.csv.why.json").exists, "the bad file is set aside")
    stage.world.until(lambda: stage.arrived() == ["a", "c"], "the others are delivered")
    told = why_of(stage, "b-bad.csv")
    assert "b-bad.csv" in told["reason"]
    assert any(place in told["reason"] for place in places), told["reason"]
    assert (stage.drop / "failed/b-bad.csv").read_bytes() == content
    runs = [line for line in stage.world.events("nothing of a file is sent") if line["job"] == stage.name]
    assert len(runs) == 1
    assert "b-bad.csv" in runs[0]["reason"]


def test_nul_bytes_in_a_value_arrive_as_they_are(stage):
    stage.connection().records().load()
    stage.put("nul.csv", b"n,m\n1,2\n2\x00,3\n")
    stage.world.until(lambda: stage.arrived() == ["1", "2\0"], "the file is delivered")


def test_a_file_of_nothing_but_nul_bytes_is_set_aside(stage):
    stage.connection().records().load()
    stage.put("zeroed.csv", bytes(5000))
    stage.put("good.csv", b"n\n1\n")
    stage.world.until((stage.drop / "failed/zeroed.csv.why.json").exists, "the file is set aside")
    stage.world.until(lambda: stage.arrived() == ["1"], "the other file is delivered")
    assert "zeroed.csv" in why_of(stage, "zeroed.csv")["reason"]


def test_status_goes_on_to_say_which_file_was_bad_after_good_runs(stage):
    stage.connection().records().load()
    stage.put("bad.csv", b"n,m\n1,2,3\n")
    stage.world.until((stage.drop / "failed/bad.csv.why.json").exists, "the bad file is set aside")
    assert "bad.csv line 2" in stage.world.run("status", check=0).stdout
    stage.put("good.csv", b"n,m\n1,2\n")
    stage.world.until(lambda: stage.arrived() == ["1"], "the good file is delivered")
    stage.world.until(lambda: stage.status()["last_run"]["state"] == "done", "a good run came after it")
    assert "bad.csv line 2" in stage.status()["last_failed_run"]["reason"]
    assert "bad.csv line 2" in stage.world.run("status", check=0).stdout


def test_bad_rows_become_dead_letters_where_the_job_says_so_and_the_rest_is_delivered(stage):
    stage.connection().records(source="on_bad_row: dead_letter").load()
    stage.put("mixed.csv", b"n,m\n1,2\n2,3,4\n3,4\n")
    stage.world.until(lambda: stage.arrived() == ["1", "3"], "the good rows are delivered")
    stage.world.until(lambda: stage.status()["dead"] == 1, "the bad row is a dead letter")
    assert "mixed.csv line 3" in stage.world.run("dead", "list", "--job", stage.name, check=0).stdout


def test_an_empty_file_is_told_and_nothing_is_sent_of_it(stage):
    stage.connection().records().load()
    stage.put("empty.csv", b"")
    stage.put("good.csv", b"n\n1\n")
    stage.world.until(lambda: stage.arrived() == ["1"], "the other file is delivered")
    folder = stage.world.until(
        lambda: next((one for one in ("done", "failed") if (stage.drop / one / "empty.csv").exists()), ""),
        "the empty file is put away",
    )
    assert folder == "done" or "empty" in why_of(stage, "empty.csv")["reason"]


def test_a_raw_file_without_a_needed_column_is_not_sent(stage):
    stage.connection().files(source="columns: [trip ID, STOP ID]").load()
    stage.put("a.csv", b"trip ID,stop\n1,2\n")
    stage.put("b.csv", b"trip ID,STOP ID\n1,2\n")
    stage.world.until((stage.drop / "done/b.csv").exists, "the good file is done")
    stage.world.until((stage.drop / "failed/a.csv.why.json").exists, "the bad file is set aside")
    assert "STOP ID" in why_of(stage, "a.csv")["reason"]
    assert len(stage.requests()) == 1


def test_del_49_a_file_that_still_grows_is_read_once_and_whole(stage):
    stage.connection().records(settle="30m").load()
    path = stage.drop / "grows.csv"
    wanted = [str(n) for n in range(12)]
    path.write_text("n\n")
    for number in wanted:
        # Its name is final from the start; after each line a run looks at it and lets it be.
        with path.open("a") as file:
            file.write(f"{number}\n")
        assert stage.ask("push", job=stage.name, limit=None)["records"] == 0
        assert stage.arrived() == []
    long_ago = time.time() - 31 * 60
    os.utime(path, (long_ago, long_ago))
    stage.world.until(lambda: len(stage.arrived()) >= len(wanted), "the file is delivered")
    assert stage.arrived() == wanted


def test_files_that_are_deleted_before_they_are_read_harm_nobody(stage):
    stage.connection().records().load()
    for number in range(30):
        stage.put(f"gone-{number:02}.csv", f"n\ngone{number}\n").unlink()
    stage.put("stays.csv", "n\nstays\n")
    stage.world.until(lambda: "stays" in stage.arrived(), "the file that stayed is delivered")
    arrived = stage.arrived()
    assert len(arrived) == len(set(arrived))
    assert not (stage.drop / "failed").exists() or not list((stage.drop / "failed").iterdir())
