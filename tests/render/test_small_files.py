"""The small files of a run share one DuckDB: each is read as if it had one of its own."""

from __future__ import annotations

import gzip
import json
import os
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agent.errors import AgentError, RecordError, SourceError
from agent.render import render_file
from agent.sources import duck
from agent.sources.kept import SMALL, Kept, Setting
from agent.sources.recent import Recent
from tests.support.rendering import bodies, context, documents, listed, make_job

SETTING = Setting(memory=200_000_000, threads=2, timezone="UTC", careful=False)


@pytest.fixture
def temp(tmp_path):
    folder = tmp_path / "temp"
    folder.mkdir()
    return folder


@pytest.fixture
def kept(temp):
    with Kept(temp) as one:
        yield one


def read(job, path, kept):
    """The records of all batches."""
    ctx = replace(context(kept.temp), kept=kept)
    found = bodies(render_file(job, listed(path), ctx))
    return list(chain.from_iterable(json.loads(body) for body in found))


def outcome(job, path, ctx):
    """All that is said of a file: bodies, bad records, and how it ends."""
    found = []
    try:
        for chunk in render_file(job, listed(path), ctx):
            drafts = [(draft.body, draft.records, draft.origin) for draft in chunk.drafts]
            found += [(drafts, chunk.rows, chunk.bad)]
    except AgentError as error:
        return found, type(error), error.message, error.hint
    return found


def test_without_room_for_its_copy_a_file_waits(tmp_path, kept, monkeypatch):
    (tmp_path / "a.csv").write_text("id\n1\n")
    job = make_job("csv", tmp_path / "*.csv", map={"a": "=id"})
    folder = kept.folder

    @contextmanager
    def full():
        with folder() as own:
            (own / "file").symlink_to("/dev/full")
            yield own

    with monkeypatch.context() as patch:
        patch.setattr(kept, "folder", full)
        told = r"^a\.csv: cannot be copied to be read: No space left on device$"
        with pytest.raises(SourceError, match=told) as caught:
            read(job, tmp_path / "a.csv", kept)
    assert not caught.value.lasting
    assert caught.value.hint == "it needs room in the state folder, as much as the file"
    assert read(job, tmp_path / "a.csv", kept) == [{"a": "1"}]


def test_file_after_file_gives_its_own_records(tmp_path, kept):
    job = make_job("csv", tmp_path / "*.csv", map={"a": "=id"}, types={"id": "INTEGER"})
    for number in range(5):
        (tmp_path / f"{number}.csv").write_text(f"id\n{number}\n{number + 10}\n")
        assert read(job, tmp_path / f"{number}.csv", kept) == [{"a": number}, {"a": number + 10}]
        assert kept.open


def test_other_content_of_the_same_name_size_and_time_is_read(tmp_path, kept):
    path = tmp_path / "a.csv"
    job = make_job("csv", path, map={"a": "=id"})
    path.write_text("id\n11\n")
    before = path.stat()
    assert read(job, path, kept) == [{"a": "11"}]
    path.write_text("id\n22\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
    )
    assert read(job, path, kept) == [{"a": "22"}]


def test_columns_that_change_places_are_bound_anew(tmp_path, kept):
    job = make_job("csv", tmp_path / "*.csv", map={"a": "=a", "b": "=b + 1"}, types={"b": "INTEGER"})
    for name, text in (("1", "a,b\nx,1\n"), ("2", "b,a\n2,y\n"), ("3", "c,a,b\n0,z,3\n")):
        (tmp_path / f"{name}.csv").write_text(text)
    found = [read(job, tmp_path / f"{name}.csv", kept) for name in "123"]
    assert found == [[{"a": "x", "b": 2}], [{"a": "y", "b": 3}], [{"a": "z", "b": 4}]]


def test_a_column_that_is_missing_after_a_good_file_is_said(tmp_path, kept):
    (tmp_path / "1.csv").write_text("a,b\nx,1\n")
    (tmp_path / "2.csv").write_text("a,bb\nx,1\n")
    job = make_job("csv", tmp_path / "*.csv", map={"b": "=b"})
    assert read(job, tmp_path / "1.csv", kept) == [{"b": "1"}]
    with pytest.raises(SourceError, match="there is no column b") as caught:
        read(job, tmp_path / "2.csv", kept)
    assert caught.value.hint == "found in 2.csv"


def test_an_error_names_the_file_and_leaves_the_next_one_right(tmp_path, kept):
    job = make_job("csv", tmp_path / "*.csv", map={"a": "=id"}, types={"id": "INTEGER"})
    (tmp_path / "bad.csv").write_text("id\n1\nx\n")
    (tmp_path / "good.csv").write_text("id\n2\n")
    with pytest.raises(RecordError, match=r"^bad.csv record 2 \(line 3\): column id: "):
        read(job, tmp_path / "bad.csv", kept)
    assert not kept.open
    assert read(job, tmp_path / "good.csv", kept) == [{"a": 2}]


def test_bad_rows_of_one_file_are_not_told_of_the_next(tmp_path, kept):
    job = make_job("csv", tmp_path / "*.csv", map={"a": "=id"}, on_bad_row="dead_letter")
    (tmp_path / "bad.csv").write_text("id,b\n1,2\n1,2,3\n")
    (tmp_path / "good.csv").write_text("id,b\n5,6\n")
    ctx = replace(context(kept.temp), kept=kept)
    told = [
        [chunk.bad for chunk in render_file(job, listed(tmp_path / name), ctx)]
        for name in ("bad.csv", "good.csv")
    ]
    assert [(bad.line, bad.reason) for bad in chain.from_iterable(told[0])] == [(3, "3 fields instead of 2")]
    assert list(chain.from_iterable(told[1])) == []


TEXTS = {
    "plain.csv": b"id,b\n1,x\n2,y\n",
    "quoted.csv": b'id,b\n1,"a\nb"\n2,""\n3,\n',
    "marked.csv": b"\xef\xbb\xbfid,b\r\n1,x\r\n",
    "packed.csv.gz": gzip.compress(b"id,b\n1,x\n", mtime=0),
    "packed.csv.zst": pa.Codec("zstd").compress(b"id,b\n1,x\n", asbytes=True),
    "broken.csv.gz": gzip.compress(b"id,b\n1,x\n", mtime=0)[:-5],
    "long.csv": b"id,b\n1,x\n1,2,3\n",
    "short.csv": b"id,b\n1\n",
    "open.csv": b'id,b\n1,"x\n',
    "typed.csv": b"id,b\nx,1\n",
    "latin.csv": b"id,b\n1,\xe9\n",
    "empty.csv": b"",
    "header.csv": b"id,b\n",
    "blank.csv": b"id,b\n\n1,2\n\n",
    "two\nlines'.csv": b"id,b\n7,x\n",
}


@pytest.mark.parametrize("on_bad_row", ["fail", "dead_letter"])
def test_a_shared_one_says_what_one_of_its_own_says(tmp_path, temp, kept, on_bad_row):
    job = make_job(
        "csv", tmp_path / "*", map={"a": "=id", "b": "=b"}, types={"id": "INTEGER"}, on_bad_row=on_bad_row
    )
    paths = [tmp_path / name for name in TEXTS]
    for path in paths:
        path.write_bytes(TEXTS[path.name])
    alone = [outcome(job, path, context(temp)) for path in paths]
    shared = [outcome(job, path, replace(context(temp), kept=kept)) for path in [*paths, *paths]]
    assert shared == [*alone, *alone]


@pytest.mark.parametrize(("kind", "text"), [("json", '[{"id": %d}]'), ("ndjson", '{"id": %d}\n')])
def test_documents_are_read_too(tmp_path, kept, kind, text):
    job = make_job(kind, tmp_path / "*.x")
    for number in (1, 2):
        (tmp_path / f"{number}.x").write_text(text % number)
    assert [read(job, tmp_path / f"{number}.x", kept) for number in (1, 2)] == [[{"id": 1}], [{"id": 2}]]


def test_tables_of_columns_keep_their_own_types(tmp_path, kept):
    job = make_job("parquet", tmp_path / "*.parquet", map={"a": "=id"})
    for name, values in (("1", [1]), ("2", ["x"])):
        pq.write_table(pa.table({"id": values}), tmp_path / f"{name}.parquet")
    assert [read(job, tmp_path / f"{n}.parquet", kept) for n in "12"] == [[{"a": 1}], [{"a": "x"}]]


def test_jobs_of_other_time_zones_read_times_their_way(tmp_path, kept):
    path = tmp_path / "a.csv"
    path.write_text("moment\n2026-01-01 12:00:00\n")
    found = []
    for zone in ("UTC", "Asia/Tokyo", "UTC"):
        job = make_job("csv", path, map={"t": "=moment"}, types={"moment": "TIMESTAMPTZ"}, timezone=zone)
        found += read(job, path, kept)
        assert found[-1] == documents(job, path)[0]
    assert [one["t"] for one in found] == [
        "2026-01-01T12:00:00Z",
        "2026-01-01T03:00:00Z",
        "2026-01-01T12:00:00Z",
    ]


def test_it_reaches_nothing_but_the_file_being_read(tmp_path, temp, kept):
    other = tmp_path / "other.csv"
    other.write_text("secret\n1\n")
    beside = temp / "beside.csv"
    beside.write_text("secret\n1\n")
    with kept.folder() as first:
        earlier = first / "file"
        earlier.write_text("id\n1\n")
        with kept.connect(SETTING) as con:
            assert duck.rows(con, f"SELECT * FROM read_csv('{earlier}')") == [(1,)]
    with kept.folder() as folder, kept.connect(SETTING) as con:
        assert not earlier.exists()
        assert [path.name for path in folder.parent.iterdir()] == [folder.name]
        for path in (other, beside, folder / "../../beside.csv", "/etc/passwd", "/proc/self/environ"):
            with pytest.raises(duckdb.PermissionException):
                duck.rows(con, f"SELECT * FROM read_text('{path}')")
        (folder / "link").symlink_to(other)
        with pytest.raises(duckdb.PermissionException):
            duck.rows(con, f"SELECT * FROM read_text('{folder / 'link'}')")


def test_every_connection_is_locked_down_and_knows_nothing_of_those_before(kept):
    with kept.folder():
        with kept.connect(SETTING) as con:
            con.execute("CREATE TEMP TABLE left_behind AS SELECT 1")
            con.execute("SET VARIABLE told = 1")
            for change in (
                "enable_external_access=true",
                "TimeZone='Asia/Tokyo'",
                "lock_configuration=false",
            ):
                with pytest.raises(duckdb.Error):
                    con.execute(f"SET {change}")
        with kept.connect(SETTING) as con:
            assert duck.rows(con, "SELECT current_setting('TimeZone'), getvariable('told')") == [
                ("UTC", None)
            ]
            with pytest.raises(duckdb.CatalogException):
                con.execute("SELECT * FROM left_behind")


def test_its_memory_and_folder_are_given_back(tmp_path, temp):
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n")
    job = make_job("csv", path)
    with Kept(temp) as kept:
        read(job, path, kept)
        assert kept.open
        [folder] = temp.iterdir()
        assert list(folder.iterdir()) == []
    assert not kept.open
    assert list(temp.iterdir()) == []


def test_a_large_file_has_the_memory_for_itself(tmp_path, temp, kept):
    small, large = tmp_path / "small.csv", tmp_path / "large.csv"
    small.write_text("id\n1\n")
    large.write_text("id\n" + "123456789\n" * (SMALL // 10 + 1))
    job = make_job("csv", tmp_path / "*.csv", map={"a": "=id"})
    read(job, small, kept)
    assert kept.open
    assert len(read(job, large, kept)) == SMALL // 10 + 1
    assert not kept.open
    assert read(job, small, kept) == [{"a": "1"}]


def test_a_file_that_changes_before_it_is_copied_is_not_read(tmp_path, kept):
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n")
    job = make_job("csv", path)
    file = listed(path)
    path.write_text("id\n1\n2\n")
    with pytest.raises(SourceError, match=r"a.csv: changed since it was listed"):
        list(render_file(job, file, replace(context(kept.temp), kept=kept)))


def test_what_an_expression_is_is_asked_once(tmp_path, kept, monkeypatch):
    (tmp_path / "a.csv").write_text("id\n1\n")
    job = make_job("csv", tmp_path / "a.csv", map={"a": "=id || 'asked once'"}, types={"id": "SMALLINT"})
    read(job, tmp_path / "a.csv", kept)
    asked = []
    original = duck.query

    def query(con, sql):
        asked.append(sql)
        return original(con, sql)

    monkeypatch.setattr(duck, "query", query)
    assert read(job, tmp_path / "a.csv", kept) == [{"a": "1asked once"}]
    assert len(asked) == 1, asked


def test_what_was_found_first_is_forgotten_first():
    recent: Recent[int] = Recent(2)
    for number, texts in enumerate((("a", "b"), ("ab",), ("a", "", "b"))):
        assert recent.get(*texts) is None
        assert recent.keep(number, *texts) == number
    assert [recent.get(*texts) for texts in (("a", "b"), ("ab",), ("a", "", "b"))] == [None, 1, 2]
