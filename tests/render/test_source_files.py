from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
from datetime import timedelta

import pytest

from agent.clock import SystemClock
from agent.config.model import Files
from agent.errors import SourceError
from agent.render import render_feed, render_file
from agent.render.feed import FileFeed
from agent.sources.files import list_files, sha256_of
from tests.support.rendering import context, drafts, listed, make_job, render


class Still:
    """A clock that stands still."""

    def __init__(self, now):
        self._now = now

    def now(self):
        return self._now

    boottime = monotonic = now

    async def sleep(self, seconds):
        raise AssertionError("nobody waits here")


def put(path, mtime, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (mtime, mtime))
    return path


def names(listing):
    return [file.path.name for file in listing.files]


def test_settled_files_come_in_order_and_the_others_say_when(tmp_path):
    put(tmp_path / "b.csv", 100)
    put(tmp_path / "a.csv", 100)
    put(tmp_path / "c.csv", 50)
    put(tmp_path / "late.csv", 997)
    put(tmp_path / "future.csv", 5000)
    files = Files(paths=(str(tmp_path / "*.csv"), str(tmp_path / "a*")), settle=timedelta(seconds=5))
    found = list_files(files, Still(1000.0))
    assert names(found) == ["c.csv", "a.csv", "b.csv", "future.csv"]
    assert found.again == 1002.0
    by_name = Files(paths=files.paths, order=("name",), settle=timedelta(0))
    assert names(list_files(by_name, Still(1000.0))) == ["a.csv", "b.csv", "c.csv", "future.csv", "late.csv"]


def test_hidden_and_unfinished_files_and_done_folders_are_left_alone(tmp_path):
    for name in (
        ".x.csv",
        "x.csv.tmp",
        "x.part",
        "x~",
        "done/d.csv",
        "sub/failed/e.csv",
        "sub/f.csv",
        "g.csv",
    ):
        put(tmp_path / name, 10)
    files = Files(paths=(str(tmp_path / "**"),), settle=timedelta(0), done="done/", failed="failed/")
    assert names(list_files(files, Still(1000.0))) == ["f.csv", "g.csv"]
    assert names(list_files(Files(paths=(str(tmp_path / "nowhere" / "*"),)), Still(1000.0))) == []


def test_del_48_only_regular_files_are_listed_and_nothing_blocks(tmp_path):
    os.mkfifo(tmp_path / "fifo.csv")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    (tmp_path / "null.csv").symlink_to("/dev/null")
    put(tmp_path / "good.csv", 10)
    (tmp_path / "link.csv").symlink_to(tmp_path / "good.csv")
    files = Files(paths=(str(tmp_path / "*.csv"),), settle=timedelta(0))
    assert names(list_files(files, Still(1000.0))) == ["good.csv", "link.csv"]
    with pytest.raises(SourceError, match="not a regular file"):
        sha256_of(tmp_path / "fifo.csv")


@pytest.mark.parametrize("kind", ["csv", "file"])
def test_del_48_a_file_that_became_a_fifo_or_went_away_is_refused(tmp_path, kind):
    path = put(tmp_path / "x.csv", 10, b"a\n1\n")
    job, file = make_job(kind, path), listed(path)
    path.unlink()
    with pytest.raises(SourceError, match=r"x.csv: is gone since it was listed"):
        list(render_file(job, file, context(tmp_path)))
    os.mkfifo(path)
    with pytest.raises(SourceError, match=r"x.csv: is not a regular file"):
        list(render_file(job, file, context(tmp_path)))


@pytest.mark.parametrize("kind", ["csv", "ndjson", "file"])
def test_a_file_that_changed_since_it_was_listed_is_refused_for_now(tmp_path, kind):
    path = put(tmp_path / "x.csv", 10, b'{"a":1}\n')
    job, file = make_job(kind, path), listed(path)
    path.write_bytes(b'{"a":2}\n{"a":3}\n')
    with pytest.raises(SourceError, match=r"x.csv: changed since it was listed") as caught:
        list(render_file(job, file, context(tmp_path)))
    assert not caught.value.lasting


def test_a_file_that_grows_while_it_is_read_is_refused_for_now(tmp_path):
    path = put(tmp_path / "x.csv", 10, b"a\n" + b"1\n" * 50_000)
    chunks = render_file(make_job("csv", path, per="record"), listed(path), context(tmp_path))
    next(chunks)
    with path.open("ab") as out:
        out.write(b"2\n")
    with pytest.raises(SourceError, match=r"x.csv: changed while it was read"):
        list(chunks)


@pytest.mark.parametrize("kind", ["csv", "ndjson", "json"])
@pytest.mark.parametrize("to", ["x.csv.1", None])
def test_a_file_that_is_moved_or_replaced_before_it_is_read_is_refused_for_now(tmp_path, kind, to):
    class Meanwhile(FileFeed):
        def relation(self, con, found, uses):
            given = super().relation(con, found, uses)
            if to:
                path.rename(tmp_path / to)
            else:
                put(tmp_path / "y.csv", 10, b'{"a":2}\n').replace(path)
            return given

    path = put(tmp_path / "x.csv", 10, b'{"a":1}\n')
    job = make_job(kind, path, map={"a": "=a"} if kind != "csv" else None)
    feed = Meanwhile(file=listed(path), source=job.source, cancelled=lambda: False)
    with pytest.raises(SourceError, match=r"^x.csv: was moved or replaced while it was read$") as caught:
        list(render_feed(job, job.source, feed, context(tmp_path)))
    assert not caught.value.lasting


def test_a_reading_can_be_cancelled_and_left(tmp_path):
    path = put(tmp_path / "x.csv", 10, b"a\n" + b"1\n" * 200_000)
    job = make_job("csv", path, per="record")
    with pytest.raises(SourceError, match="cancelled"):
        list(render_file(job, listed(path), context(tmp_path, cancelled=lambda: True)))
    chunks = render_file(job, listed(path), context(tmp_path))
    assert len(next(chunks).drafts) == 1000
    chunks.close()


def test_a_whole_file_is_one_draft_byte_for_byte(tmp_path):
    content = b"trip ID,STOP ID\r\n1,\xff\x00\r\n" * 100_000
    path = put(tmp_path / "planning.csv", 10, content)
    (draft,) = drafts(render(make_job("file", path), path))
    assert gzip.decompress(draft.body) == content
    assert (draft.size, draft.records, draft.content_type, draft.origin) == (
        len(content),
        1,
        "text/csv",
        "planning.csv",
    )
    assert drafts(render(make_job("file", path), path))[0].body == draft.body
    assert render(make_job("file", path), path, start_row=1) == []
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()


def test_the_columns_of_a_whole_file_are_checked_first(tmp_path):
    path = put(tmp_path / "planning.csv", 10, '\ufefftrip ID;"STOP ID"\r\n1;2\r\n'.encode())
    assert len(render(make_job("file", path, columns=("STOP ID", "trip ID"), delimiter=";"), path)) == 1
    with pytest.raises(SourceError, match=r"planning\.csv: missing column stop id") as caught:
        render(make_job("file", path, columns=("stop id",), delimiter=";"), path)
    assert caught.value.hint == "did you mean STOP ID? columns there are: trip ID, STOP ID"


def test_duckdb_is_not_loaded_for_whole_files(tmp_path):
    path = put(tmp_path / "x.csv", 10, b"a\n1\n")
    code = (
        "import sys; from pathlib import Path; from tests.support.rendering import *; p = Path(sys.argv[1]);"
        "job = make_job('file', p, columns=('a',)); from agent.check import check_job;"
        "assert render(job, p) and check_job(job, context(p.parent)) == [];"
        "assert 'duckdb' not in sys.modules and 'pyarrow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


@pytest.mark.parametrize("done", ["../done", "{root}/done/"])
def test_what_was_moved_to_a_folder_that_the_pattern_finds_too_is_not_found_again(tmp_path, done):
    for name in ("a", "done"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.csv").write_text("x")
    files = Files(
        paths=(str(tmp_path / "*" / "*.csv"),), settle=timedelta(0), done=done.format(root=tmp_path)
    )
    listing = list_files(files, SystemClock())
    assert [file.path for file in listing.files] == [tmp_path / "a" / "x.csv"]
