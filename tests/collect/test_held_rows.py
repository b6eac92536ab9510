"""A job whose kind of source changes in the middle of what it holds: nothing is held for ever, nothing is lost."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from agent.clock import SystemClock
from agent.config import SecretStore
from agent.databases import KnownDatabases
from agent.spool import Reader, Spool
from tests.support.collecting import csv_text, job_of, run_child
from tests.support.querying import database, sql_job

ROWS = 40_000


def stop_in_the_middle(place, job):
    """A run that ends after some chunks."""
    asked = iter(range(7))
    place.stopped = lambda: next(asked, None) is None
    result = place.run(job)
    assert result.state == "stopped"
    place.stopped = lambda: False


def held(place):
    with Reader.open(place.spool.folder) as reader:
        return next(job.held for job in reader.overview() if job.job == "j")


def open_rows(place):
    return [(row.path, row.state) for row in place.spool.open_files("j").result()]


@pytest.mark.parametrize("first", ["appended", "changed"])
def test_del_48_a_log_killed_in_a_part_and_read_as_a_file_or_the_other_way_round_is_sent_once(
    place, inbox, tmp_path, first
):
    second = "changed" if first == "appended" else "appended"
    path, state = inbox / "app.csv", tmp_path / "state"
    path.write_text(csv_text(ROWS))
    place.spool.close()
    died = run_child(state, path, 200, reread=first, on_bad_row="fail")
    assert died.returncode == -signal.SIGKILL, died.stderr
    place.spool = Spool.open(state, max_bytes=10**9, clock=SystemClock())
    assert held(place) > 0
    assert place.ids() == []
    assert place.run(job_of("csv", path, reread=second)).state == "done"
    assert place.ids() == list(range(1, ROWS + 1))
    assert held(place) == 0
    assert open_rows(place) == []


def test_what_a_job_held_of_a_file_goes_when_it_reads_a_table_and_is_read_when_it_is_back(
    place, inbox, tmp_path
):
    path = inbox / "a.csv"
    path.write_text(csv_text(ROWS))
    files = job_of("csv", path)
    stop_in_the_middle(place, files)
    with closing(sqlite3.connect(tmp_path / "t.db")) as con, con:
        con.executescript("CREATE TABLE t (id); INSERT INTO t VALUES (-1), (-2)")
    known = {"db": database(f"sqlite:///{tmp_path / 't.db'}")}
    place.databases = KnownDatabases(SecretStore(tmp_path / "none"), known)
    query = sql_job("SELECT id FROM t ORDER BY id DESC", map={"id": "=id"})
    table = replace(query, name="j", batch=files.batch)
    assert place.run(table).state == "done"
    assert place.ids() == [-1, -2]
    assert held(place) == 0
    assert open_rows(place) == []
    assert place.run(files).state == "done"
    assert place.ids() == [-1, -2, *range(1, ROWS + 1)]


def test_a_row_whose_place_in_the_file_was_forgotten_is_read_again(place, inbox):
    path = inbox / "a.csv"
    path.write_text(csv_text(ROWS))
    job = job_of("csv", path)
    stop_in_the_middle(place, job)
    place.spool.set_cursor("j", {"files": []}).result()  # as another kind of source leaves it
    path.rename(inbox.parent / "a.csv")  # and the file is gone: no run meets it any more
    assert place.run(job).state == "done"
    assert held(place) == 0
    assert open_rows(place) == []
    (inbox.parent / "a.csv").rename(path)
    assert place.run(job).state == "done"
    assert place.ids() == list(range(1, ROWS + 1))
