"""SQLite: values have types there, columns do not."""

from __future__ import annotations

import sqlite3
import threading
from base64 import b64decode
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest

from agent.databases.steps import Steps
from agent.errors import SourceError
from agent.sources import not_utf8
from agent.spool import Reader
from tests.databases.conftest import Table
from tests.support.querying import Place, database, sql_job

BY_ID = "SELECT id, v FROM w WHERE id > :id ORDER BY id"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "data.db"
    sqlite3.connect(path).close()
    return Table("sqlite", f"sqlite:///{path}", path)


def filled(table, first, later, count=6000):
    """`first` in all rows but the last, which has `later`."""
    table.run(
        "CREATE TABLE w (id INTEGER PRIMARY KEY, v)",
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
        f"INSERT INTO w SELECT i, CASE WHEN i = {count} THEN {later} ELSE {first} END FROM n",
    )


@pytest.mark.parametrize(
    ("first", "later", "wanted"),
    [
        ("NULL", "'text'", [None, "text"]),
        ("NULL", "2.5", [None, 2.5]),
        ("NULL", "7", [None, 7]),
        ("1", "2.5", [1.0, 2.5]),
        ("1", "'text'", ["1", "text"]),
        ("1.5", "'text'", ["1.5", "text"]),
        ("'text'", "3", ["text", "3"]),
        ("2.5", "3", [2.5, 3.0]),
    ],
)
def test_a_column_whose_later_rows_hold_another_type_is_read_as_the_wider_one(
    table, place, first, later, wanted
):
    filled(table, first, later)
    job = sql_job(BY_ID, cursor=["id"], records=500)
    result = place.run(job)
    assert result.state == "done", result.reason
    assert place.ids() == list(range(1, 6001))
    # what was sent before the wider type was known has its own: 1 is no other number than 1.0
    values = [record["v"] for record in place.records()]
    assert str(values[0]) in {str(wanted[0]), str(wanted[0]).removesuffix(".0")}
    assert values[-1] == wanted[1]
    table.run(f"INSERT INTO w VALUES (6001, {later})")
    assert place.run(job).records == 1
    assert str(place.records()[-1]["v"]) == str(wanted[1]).removesuffix(".0")


def test_without_a_cursor_the_rows_that_were_sent_are_not_sent_again_for_a_wider_type(table, place):
    filled(table, "1", "2.5", count=30_000)
    assert place.run(sql_job("SELECT id, v FROM w ORDER BY id", records=500)).state == "done"
    assert place.ids() == list(range(1, 30_001))
    keys = [message.key for message in place.spool.oldest("j", 0, limit=1000).result()]
    assert len(set(keys)) == len(keys)


def test_a_type_of_the_config_is_stronger(table, place):
    filled(table, "NULL", "'007'")
    assert place.run(sql_job(BY_ID, cursor=["id"], types={"v": "VARCHAR"})).state == "done"
    assert place.records()[-1]["v"] == "007"


@pytest.mark.parametrize("chosen", ["count(*)", "x"])
def test_a_query_that_never_ends_is_ended(table, tmp_path, chosen):
    place = Place(tmp_path / "state", database(table.url, statement_timeout=timedelta(milliseconds=300)))
    endless = f"WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT {chosen} AS id FROM r"
    assert "the query took longer than 0.3 s" in place.run(sql_job(endless)).reason
    place.close()


def until_left_alone_no_more():
    for thread in threading.enumerate():
        if thread.name == "query":
            thread.join(50)


def test_a_query_that_gives_rows_and_then_none_for_long_is_ended_too(table, tmp_path):
    place = Place(tmp_path / "state", database(table.url, statement_timeout=timedelta(milliseconds=20)))
    slow = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r WHERE x < 3000000) SELECT x FROM r"
    result = place.run(sql_job(f"{slow} WHERE x < 50"))
    assert "the query took longer than 0.02 s" in result.reason
    place.close()
    until_left_alone_no_more()


def test_what_cannot_be_interrupted_is_left_alone_and_not_begun_again():
    go_on, closed = threading.Event(), threading.Event()
    steps = Steps("steps", "db", lambda: True, closed.set)
    with pytest.raises(TimeoutError):
        steps.take(go_on.wait)
    steps.close()
    assert not closed.is_set()
    with pytest.raises(SourceError, match="db: an earlier query that took too long still goes on"):
        Steps("steps", "db", lambda: False, closed.set)
    assert Steps("another job", "db", lambda: False, closed.set).take(lambda: 7) == 7
    go_on.set()
    assert closed.wait(30)
    until_left_alone_no_more()
    again = Steps("steps", "db", lambda: False, closed.clear)
    with pytest.raises(ZeroDivisionError):
        again.take(lambda: 1 // 0)
    again.close()
    assert not closed.is_set()


def test_a_query_that_never_ends_stops_with_the_agent(table, place):
    stopper = threading.Timer(0.2, lambda: setattr(place, "stopped", True))
    stopper.start()
    endless = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT count(*) AS id FROM r"
    assert place.run(sql_job(endless)).state == "stopped"
    stopper.join()


def test_a_file_that_is_not_there_is_not_made(table, tmp_path):
    missing = tmp_path / "none.db"
    place = Place(tmp_path / "state", database(f"sqlite:///{missing}"))
    result = place.run(sql_job("SELECT 1 AS id"))
    assert result.reason == f"db: there is no file {missing} (see `url` of the connection)"
    assert not missing.exists()
    place.close()


def test_a_file_that_is_no_database_is_told(table, tmp_path):
    odd = tmp_path / "odd.db"
    odd.write_bytes(b"no database at all" * 1000)
    place = Place(tmp_path / "state", database(f"sqlite:///{odd}"))
    assert place.run(sql_job("SELECT 1 AS id FROM t")).reason == "db: file is not a database"
    place.close()


def test_a_writer_beside_us_is_no_trouble_in_wal_mode(table, place):
    table.run("PRAGMA journal_mode=WAL")
    table.fill(10)
    writer = sqlite3.connect(table.path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO t VALUES (11, 1, 'n')")
    job = sql_job("SELECT id FROM t WHERE id > :id ORDER BY id", cursor=["id"])
    assert place.run(job).records == 10
    writer.execute("COMMIT")
    assert place.run(job).records == 1
    writer.close()


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("INTEGER", [-(2**63) + 1, 0, 2**53 + 1, 2**63 - 1]),
        ("REAL", [-1e300, 0.1, 0.30000000000000004]),
        ("TEXT", ["!", "a'b", "é", "😀 :x"]),
        ("BLOB", [b"\0", b"\0\xff", b"\xff"]),
        ("", [-5, 7, 2**60]),
    ],
)
def test_a_cursor_of_any_type_is_bound_back_exactly(table, place, type_, values):
    with sqlite3.connect(table.path) as con:
        con.execute(f"CREATE TABLE c (id INTEGER, v {type_})")
        con.executemany("INSERT INTO c VALUES (?, ?)", list(enumerate(values)))
    con.close()
    job = sql_job("SELECT id, v FROM c WHERE v > :v ORDER BY v", cursor=["v"], map={"id": "=id"})
    for count in range(1, len(values) + 1):
        assert place.run(job, limit=1).records == 1
        assert place.ids() == list(range(count))
    assert place.run(job).records == 0


def test_large_fields_are_read_a_few_rows_at_a_time(table, place):
    table.run(
        "CREATE TABLE l (id INTEGER, v TEXT)",
        *(f"INSERT INTO l VALUES ({n}, hex(zeroblob(1000000)))" for n in range(40)),
    )
    job = sql_job("SELECT id, v FROM l ORDER BY id", map={"id": "=id", "size": "=length(v)"})
    assert place.run(job).records == 40
    assert place.records()[39] == {"id": 39, "size": 2_000_000}


def test_sec_13_nasty_text_comes_through_as_it_is(table, place):
    nasty = ["", "\"'\\\n\r\t\x01\x7f", "\u2028\u2029", "x" * 100_000, "{}[],:", "�"]
    with sqlite3.connect(table.path) as con:
        con.execute("CREATE TABLE n (id INTEGER, v TEXT)")
        con.executemany("INSERT INTO n VALUES (?, ?)", list(enumerate(nasty)))
    con.close()
    assert place.run(sql_job("SELECT id, v FROM n ORDER BY id")).state == "done"
    assert [record["v"] for record in place.records()] == nasty


def test_two_columns_of_one_name_are_both_sent_and_neither_can_be_named(table, place):
    assert place.run(sql_job("SELECT 1 AS a, 2 AS a, 3 AS b", map={"b": "=b"})).state == "done"
    assert place.records() == [{"b": 3}]
    refused = place.run(sql_job("SELECT 1 AS a, 2 AS a", map={"a": "=a"}))
    assert "=a: there are 2 columns called a" in refused.reason


@pytest.mark.parametrize("row", [3, 5000])
def test_text_that_is_not_utf_8_is_a_bad_record_and_in_no_body(table, place, row):
    filled(table, "'text'", "CAST(x'63616665ff' AS TEXT)", row)
    table.run(f"INSERT INTO w VALUES ({row + 1}, 'text')")
    job = sql_job(BY_ID, cursor=["id"], records=500, map={"id": "=id", "v": "=v || '!'"})
    result = place.run(job)
    assert result.reason.startswith(f"db record {row} (id={row}): column v: cafe\\xff is not UTF-8")
    assert place.ids() == list(range(1, row))
    assert place.run(replace(job, source=replace(job.source, on_bad_row="dead_letter"))).state == "done"
    assert place.ids() == [*range(1, row), row + 1]
    with Reader.open(place.state) as reader:
        assert len(reader.dead("j")) == 1


def test_bytes_far_behind_texts_are_a_bad_record_where_they_are_no_text(table, place):
    filled(table, "'text'", "x'ff'", 5000)
    result = place.run(sql_job(BY_ID, cursor=["id"], records=500))
    assert result.reason.startswith("db record 5000 (id=5000): column v: \\xff is not UTF-8")
    assert place.ids() == list(range(1, 5000))


def test_a_cursor_that_is_not_utf_8_is_told_and_nothing_is_passed_over(table, place):
    table.run("CREATE TABLE c (id TEXT)", "INSERT INTO c VALUES ('a'), ('b'), (CAST(x'ff' AS TEXT))")
    job = sql_job("SELECT id FROM c WHERE id > :id ORDER BY id", cursor=["id"])
    assert place.run(job).reason.startswith("db record 3: column id: \\xff is not UTF-8")
    assert place.ids() == ["a"]  # the next one may have more rows behind it
    table.run("UPDATE c SET id = 'c' WHERE id > 'b'")
    assert place.run(job).state == "done"
    assert place.ids() == ["a", "b", "c"]


def test_lists_and_texts_in_one_batch_are_told_apart_row_by_row():
    good, bad = pa.array([b"a", b"b"]).view(pa.string()), pa.array([b"a", b"\xff"]).view(pa.string())
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2]), bad)
    batch = pa.record_batch([good, bad, lists], ["c0", "c1", "c2"])
    told = not_utf8.told(batch, ("x", "y", "z"))
    assert told.column("why").to_pylist() == [None, "column y: \\xff is not UTF-8"]
    assert told.select([0, 1, 2]).to_pylist() == [
        {"c0": "a", "c1": "a", "c2": ["a"]},
        {"c0": "b", "c1": None, "c2": None},
    ]


def test_numbers_among_texts_keep_their_digits(table, place):
    filled(table, "CASE WHEN i % 2 THEN i + 0.123456789 ELSE 'text' END", "'text'", 6000)
    assert place.run(sql_job(BY_ID, cursor=["id"], records=5000)).state == "done"
    values = [record["v"] for record in place.records()]
    assert values[:3] == ["1.123456789", "text", "3.123456789"]
    assert values[-2:] == ["5999.123456789", "text"]


def test_bytes_stay_bytes_whatever_comes_behind_them(table, place):
    filled(table, "CASE WHEN i = 2 THEN 1.23456789 ELSE x'ff00' END", "12", 5000)
    assert place.run(sql_job(BY_ID, cursor=["id"], records=2500)).state == "done"
    values = [b64decode(record["v"]) for record in place.records()]
    assert (values[:3], values[-1]) == ([b"\xff\0", b"1.23456789", b"\xff\0"], b"12")
