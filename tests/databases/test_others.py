"""The way of the other databases, with every dialect that can be had here, and its own odd corners."""

from __future__ import annotations

import gc
import sqlite3
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest

from agent.config.sql_text import read_sql
from agent.databases import others
from agent.databases.values import SignIn
from agent.errors import SourceError
from agent.sources.asking import Question, WiderError
from agent.sources.mark import LOWEST, Mark
from tests.databases.conftest import Table, place_of
from tests.support.querying import Place, database, sql_job

NOBODY = SignIn(username="", password="")


def ask(url, query, marks=None, cursor=(), wider=None):
    """All rows of a query, read by SQLAlchemy with the dialect of the URL."""
    question = Question(
        job="j", query=read_sql(query), marks=marks or {}, cursor=tuple(cursor), wider=wider or {}
    )
    asked = others.ask(database(url, username=None), NOBODY, question)
    answer = next(asked)
    try:
        rows = [row for batch in answer.batches() for row in batch.to_pylist()]
    finally:
        asked.close()
    return rows, answer


@pytest.fixture
def url(request, tmp_path):
    if request.param == "sqlite":
        sqlite3.connect(tmp_path / "other.db").close()
        return f"sqlite:///{tmp_path}/other.db"
    postgres = request.getfixturevalue("postgres")
    return f"postgresql+psycopg://postgres@/postgres?host={postgres.folder}&port={postgres.port}"


BOTH = pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)


@BOTH
def test_rows_come_in_batches_and_in_order_with_bound_values(url):
    query = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) "
        "SELECT i AS id, 'a:b' AS x, ':id' AS y FROM n WHERE i > :id ORDER BY i -- :no"
    )
    rows, answer = ask(url, query, {"id": Mark("integer", "10")})
    assert answer.names == ("id", "x", "y")
    assert [row["c0"] for row in rows] == list(range(11, 10001))
    assert rows[0] == {"c0": 11, "c1": "a:b", "c2": ":id"}


@BOTH
def test_a_column_that_is_null_or_changes_its_type_is_asked_for_again(url):
    query = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
        "SELECT i AS id, CASE WHEN i = 5000 THEN 2.5 WHEN i > 4990 THEN 7 END AS x FROM n"
    )
    rows, _ = ask(url, query)
    assert (rows[0]["c1"], rows[-1]["c1"]) == (None, "2.5")  # NULL in all of the first rows: text
    rows, _ = ask(url, query, wider={"x": "REAL"})
    assert rows[-1]["c1"] == 2.5


def test_a_value_of_another_type_says_which_is_wide_enough(tmp_path):
    sqlite3.connect(tmp_path / "o.db").close()
    query = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
        "SELECT CASE WHEN i = 5000 THEN {} ELSE 1 END AS x FROM n"
    )
    for value, kind in (("2.5", "REAL"), ("'a'", "TEXT")):
        with pytest.raises(WiderError) as caught:
            ask(f"sqlite:///{tmp_path}/o.db", query.format(value))
        assert caught.value.wider == {"x": kind}


def test_values_of_python_become_arrow_with_their_digits(postgres):
    url = f"postgresql+psycopg://postgres@/postgres?host={postgres.folder}&port={postgres.port}"
    rows, _ = ask(
        url,
        "SELECT 1.50::numeric a, '2026-01-02'::date b, '10:00:00.5'::time c, '\\x00ff'::bytea d, '{\"x\": 1}'::json e, "
        "gen_random_uuid() f, NULL g, true h, '2026-01-02 10:00+01'::timestamptz i",
    )
    row = rows[0]
    assert row["c0"] == Decimal("1.50")
    assert (row["c1"], row["c2"], row["c3"]) == (date(2026, 1, 2), time(10, 0, 0, 500000), b"\0\xff")
    assert (row["c4"], row["c6"], row["c7"]) == ('{"x": 1}', None, True)
    assert len(row["c5"]) == 36
    assert row["c8"] == datetime(2026, 1, 2, 9, tzinfo=UTC)


def test_an_error_holds_neither_the_statement_nor_its_values(postgres):
    url = f"postgresql+psycopg://postgres@/postgres?host={postgres.folder}&port={postgres.port}"
    with pytest.raises(SourceError) as caught:
        ask(url, "SELECT 1 / (:id - 5) AS x", {"id": Mark("integer", "5")})
    assert caught.value.message == "db: division by zero"


def test_a_type_without_a_known_beginning_asks_for_values(tmp_path):
    sqlite3.connect(tmp_path / "o.db").close()
    with pytest.raises(SourceError, match="start: beginning knows no smallest value of the column id"):
        ask(f"sqlite:///{tmp_path}/o.db", "SELECT 1 AS id WHERE 1 > :id", {"id": LOWEST}, ["id"])


@pytest.mark.parametrize("kind", ["mssql+pymssql", "oracle+oracledb"])
def test_a_driver_that_is_not_installed_is_an_error_with_the_way_to_get_it(tmp_path, kind, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("agent.databases.values.import_module", missing)
    place = Place(tmp_path / "state", database(f"{kind}://127.0.0.1:1/x"))
    result = place.run(sql_job("SELECT 1 AS id"))
    extra = kind.partition("+")[0]
    assert result.reason == (
        f"{kind}:// needs an extra that is not installed (pip install 'push-agent[{extra}]')"
    )
    place.close()


@pytest.fixture
def table(maria, tmp_path):
    maria.run("DROP DATABASE IF EXISTS test", "CREATE DATABASE test")
    return Table("mariadb", maria.url, tmp_path, maria=maria)


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("bigint", [-(2**62), 0, 2**53 + 1, 2**63 - 1]),
        ("bigint unsigned", [1, 2**64 - 1]),
        (
            "decimal(30,10)",
            ["-1.0000000001", "12345678901234567890.0000000001", "12345678901234567890.0000000002"],
        ),
        ("double", [-1e100, 0.1, 0.30000000000000004]),
        ("varchar(50) COLLATE utf8mb4_bin", ["!", "a'b", "é", "😀 :x %s"]),
        (
            "datetime(6)",
            ["1900-01-01 00:00:00.000001", "2026-10-25 02:30:00.000001", "2026-10-25 02:30:00.000002"],
        ),
        ("date", ["1900-01-01", "9999-12-31"]),
    ],
)
def test_a_cursor_of_any_type_is_bound_back_exactly(table, place, type_, values):
    table.run(f"CREATE TABLE c (id int, v {type_}) CHARACTER SET utf8mb4")
    with table.maria.open() as con, con.cursor() as cursor:
        cursor.executemany("INSERT INTO test.c VALUES (%s, %s)", list(enumerate(values)))
    job = sql_job("SELECT id, v FROM c WHERE v > :v ORDER BY v", cursor=["v"], map={"id": "=id"})
    for count in range(1, len(values) + 1):
        result = place.run(job, limit=1)
        assert result.records == 1, result.reason
        assert place.ids() == list(range(count))
    assert place.run(job).records == 0


def test_a_server_that_is_away_and_a_wrong_password_are_told_without_it(table, tmp_path):
    away = Place(tmp_path / "away", database("mysql+pymysql://127.0.0.1:1/x"))
    assert "Can't connect to MySQL server on '127.0.0.1'" in away.run(sql_job("SELECT 1 AS id")).reason
    away.close()
    place = place_of(table, tmp_path)
    (tmp_path / "config/secrets/password").write_text("wrong-p@ss/word")
    reason = place.run(sql_job("SELECT 1 AS id")).reason
    assert "Access denied for user 'agent'" in reason
    assert "wrong-p@ss" not in reason
    place.close()


def test_a_connection_that_is_lost_in_the_middle_is_told_once_and_leaves_no_traceback(table, place):
    endless = "SELECT seq AS id, repeat('x', 300) AS v FROM seq_1_to_100000000"
    question = Question(job="j", query=read_sql(endless), marks={})
    told = pytest.raises(SourceError, match=r"^db: ")
    with told as caught, place.known.ask("db", question) as answer:
        batches = answer.batches()
        next(batches)
        with table.maria.open() as con, con.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM information_schema.processlist WHERE info LIKE %s", (f"{endless}%",)
            )
            cursor.execute(f"KILL {cursor.fetchone()[0]}")
        for _ in batches:
            pass
    assert "Lost connection" in caught.value.message or "gone away" in caught.value.message
    del answer, batches, caught, told
    gc.collect()  # what a driver does then would be a warning, and so an error


def test_times_of_mysql_are_those_of_utc(table, place):
    table.run(
        "CREATE TABLE w (at timestamp)",
        "SET time_zone = '+05:00'",
        "INSERT INTO w VALUES ('2026-01-01 15:00:00')",
    )
    result = place.run(
        sql_job("SELECT at AS moment FROM w WHERE 'a%b:c' LIKE '%:c'", map={"at": "=utc(moment)"})
    )
    assert result.reason == ""
    assert place.records() == [{"at": "2026-01-01T10:00:00Z"}]
