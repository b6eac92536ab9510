"""PostgreSQL: its types, its errors, and what an unreliable server does to a run."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from agent.window import Window
from tests.databases.conftest import Table
from tests.support.postgres import PASSWORD
from tests.support.querying import Place, database, secret, sql_job


@pytest.fixture
def table(postgres, tmp_path):
    postgres.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return Table("postgresql", postgres.url, tmp_path, postgres)


CURSORS = {
    "int2": ["-32767", "0", "32767"],
    "int8": ["-9223372036854775807", "9007199254740993", "9007199254740994", "9223372036854775807"],
    "float8": ["-1e300", "0.1", "0.30000000000000004", "1e300"],
    "numeric": [
        "-5",
        "0.1",
        "12345678901234567890.000000000000000001",
        "12345678901234567890.000000000000000002",
    ],
    "numeric(38,10)": ["-1.0000000001", "1234567890123456789012345678.0000000001"],
    "text": ["!", "a'b", 'a"b\\c', "é", "€ 5 :x"],
    "date": ["0001-01-02", "2026-02-28", "9999-12-31"],
    "timestamp": ["0001-01-01 00:00:00.000001", "2026-10-25 02:30:00", "9999-12-31 23:59:59.999999"],
    "timestamptz": [
        "2026-10-25 02:30:00.000001+02",
        "2026-10-25 02:30:00.000001+01",
        "2026-10-25 02:30:00.000002+01",
    ],
    "time": ["00:00:00.000001", "23:59:59.999999"],
    "uuid": ["00000000-0000-0000-0000-000000000001", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "bytea": ["\\x00", "\\x00ff", "\\xff"],
    "bool": ["true"],
}


@pytest.mark.parametrize("type_", CURSORS)
def test_a_cursor_of_any_type_is_bound_back_exactly(table, place, type_):
    table.run(f"CREATE TABLE c (id int, v {type_})")
    with table.postgres.open() as con:
        for id_, value in enumerate(CURSORS[type_]):
            con.execute("INSERT INTO c VALUES (%s, %s)", (id_, value))
    job = sql_job("SELECT id, v FROM c WHERE v > :v ORDER BY v", cursor=["v"], map={"id": "=id"})
    for count in range(1, len(CURSORS[type_]) + 1):
        result = place.run(job, limit=1)
        assert (result.state, result.records) == ("done", 1), result.reason
        assert len(place.ids()) == count
    assert place.run(job).records == 0
    # the order of text is that of the database's collation
    ordered = sorted(place.ids()) if type_ == "text" else place.ids()
    assert ordered == list(range(len(CURSORS[type_])))


def test_values_arrive_as_json_with_all_their_digits(table, place):
    query = """SELECT 1::int2 a, 9007199254740993::int8 b, 1.50::numeric(10,2) c, 12345678901234567890.10::numeric d,
        'NaN'::numeric e, 'NaN'::float8 f, 'Infinity'::float8 g, true h, NULL::int i, '{"x": [1, 1.0]}'::jsonb j,
        '\\x00ff'::bytea k, '2026-10-25 02:30:00+02'::timestamptz l, '2026-10-25 02:30:00'::timestamp m,
        '2026-01-02'::date n, '7f000001-0000-0000-0000-000000000000'::uuid o, '10.0.0.1/8'::inet p, ARRAY[1,2] q,
        'infinity'::timestamptz r, 12.5::money s, int4range(1,5) t, ARRAY['a','b'] u, '1 day 2 hours'::interval v"""
    result = place.run(sql_job(query))
    assert result.state == "done", result.reason
    found = place.records()[0]
    assert found == {
        "a": 1, "b": 9007199254740993, "c": 1.5, "d": 12345678901234567890.1, "e": None, "f": None, "g": None,
        "h": True, "i": None, "j": {"x": [1, 1.0]}, "k": "AP8=", "l": "2026-10-25T00:30:00Z", "m": "2026-10-25T02:30:00",
        "n": "2026-01-02", "o": "7f000001-0000-0000-0000-000000000000", "p": "10.0.0.1/8", "q": [1, 2], "r": None,
        "s": 12.5, "t": "[1,5)", "u": ["a", "b"], "v": "1 day 02:00:00",
    }  # fmt: skip


def test_an_infinity_is_null_and_a_time_that_cannot_be_counted_is_told(table, place):
    times = "('infinity'::timestamp), ('-infinity'), ('9999-12-31'), ('2026-01-01')"
    found = place.run(sql_job(f"SELECT t FROM (VALUES {times}) v(t)"))
    assert (found.state, found.reason) == ("done", "")
    assert [row["t"] is None for row in place.records()] == [True, True, False, False]
    late = place.run(sql_job("SELECT 1 AS id, t FROM (VALUES (now()), ('294276-06-30'::timestamptz)) v(t)"))
    assert late.state == "failed"
    assert late.reason.startswith("db record 2: column t: the time is beyond the year 294246 (")


def test_a_value_that_cannot_be_written_is_named_by_its_column_where_there_is_no_map(table, place):
    table.run("CREATE TABLE y (id int, at timestamptz, ats timestamp[])")
    table.run("INSERT INTO y VALUES (1, '10000-01-01', NULL), (2, NULL, '{0044-03-15 BC}')")
    job = sql_job("SELECT * FROM y WHERE id > :id ORDER BY id", cursor=["id"])
    assert place.run(job).reason.startswith("db record 1 (id=1): column at cannot be written (the record: ")
    table.run("DELETE FROM y WHERE id = 1")
    assert place.run(job).reason.startswith("db record 1 (id=2): column ats cannot be written (the record: ")


def test_digits_of_a_number_without_bounds_are_kept_where_it_stands_alone(table, place):
    job = sql_job("SELECT 12345678901234567890.10::numeric AS d", map={"alone": "=d", "more": "=d > 5"})
    place.run(job)
    from tests.support.collecting import bodies_of  # noqa: PLC0415

    assert bodies_of(place.spool, "j") == [b'[{"alone":12345678901234567890.10,"more":true}]']


def test_a_type_that_has_no_beginning_asks_for_values(table, place):
    table.run(
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE TABLE m (v mood)",
        "INSERT INTO m VALUES ('sad'), ('ok')",
    )
    query = "SELECT v FROM m WHERE v > :v ORDER BY v"
    result = place.run(sql_job(query, cursor=["v"]))
    assert "start: beginning knows no smallest mood, as the column v is" in result.reason
    assert "write `start: {v: …}`" in result.reason
    assert place.run(sql_job(query, cursor=["v"], start={"v": "sad"})).records == 1


def test_a_parameter_whose_type_hangs_on_itself_is_bound_by_what_was_stored(table, place):
    table.run(
        "CREATE TABLE d (at timestamptz)",
        "INSERT INTO d VALUES ('2026-01-05 12:00+00'), ('2026-01-07 12:00+00')",
    )
    query = "SELECT at FROM d WHERE at > date_trunc('day', :at) + interval '1 day' ORDER BY at"
    place.run(sql_job(query, cursor=["at"], start={"at": "2026-01-01T00:00:00Z"}))
    assert len(place.records()) in {0, 2}
    table.run("INSERT INTO d VALUES ('2026-01-08 12:00+00')")
    assert (
        place.run(sql_job("SELECT at FROM d WHERE at > :at::timestamptz ORDER BY at", cursor=["at"])).state
        == "done"
    )


def test_a_query_that_takes_too_long_ends_and_says_so(table, tmp_path):
    slow = Place(tmp_path / "slow", database(table.url, statement_timeout=timedelta(milliseconds=100)))
    result = slow.run(sql_job("SELECT pg_sleep(50)::text AS id"))
    assert result.reason.startswith("db: the query took longer than 0.1 s (an index")
    slow.close()


@pytest.mark.parametrize("row", [9, 1])
def test_a_query_is_cancelled_when_the_agent_stops(table, place, row):
    table.fill(10)
    job = sql_job(
        f"SELECT id, pg_sleep(CASE WHEN id = {row} THEN 50 END)::text AS s FROM t WHERE id > :id ORDER BY id",
        cursor=["id"],
    )

    def stop_when_it_sleeps():
        with table.postgres.open() as con:
            while not con.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'").fetchone():
                pass
        place.stopped = True

    helper = threading.Thread(target=stop_when_it_sleeps)
    helper.start()
    result = place.run(job)
    helper.join()
    assert (result.state, result.reason) == ("stopped", "the agent stopped; the next run goes on from here")
    with table.postgres.open() as con:
        assert not con.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'").fetchone()


def test_a_server_that_ends_the_connection_in_the_middle_costs_nothing_but_time(table, place):
    table.fill(60_000)
    # the backend ends itself at a row that lies behind several chunks
    job = sql_job(
        "SELECT id, repeat('x', 500) AS pad, CASE WHEN id = 55000 THEN pg_terminate_backend(pg_backend_pid()) END AS x "
        "FROM t WHERE id > :id ORDER BY id",
        cursor=["id"],
        map={"id": "=id"},
        records=500,
    )
    result = place.run(job)
    assert result.state == "failed"
    assert "terminat" in result.reason or "server closed" in result.reason
    sent = len(place.ids())
    assert sent > 0
    assert place.ids() == list(range(1, sent + 1))
    assert (
        place.run(
            sql_job("SELECT id FROM t WHERE id > :id ORDER BY id", cursor=["id"], map={"id": "=id"})
        ).state
        == "done"
    )
    assert place.ids() == list(range(1, 60_001))


def test_a_server_that_is_away_is_told_in_its_words_and_heals(postgres, table, place):
    table.fill(3)
    job = sql_job("SELECT id FROM t WHERE id > :id ORDER BY id", cursor=["id"])
    postgres.control("-m", "fast", "stop")
    try:
        result = place.run(job)
    finally:
        options = f"-c listen_addresses=127.0.0.1 -c port={postgres.port} -c unix_socket_directories={postgres.folder} -c fsync=off"
        postgres.control("-l", str(postgres.folder / "log"), "-o", options, "start")
    assert result.reason.startswith("db: cannot be reached: connection to server on socket")
    assert place.run(job).records == 3


def test_a_password_is_a_secret_reference_and_stands_in_no_error(postgres, table, tmp_path, caplog):
    secrets = tmp_path / "config" / "secrets"
    secrets.mkdir(parents=True, mode=0o700)
    (secrets / "pg").touch(mode=0o600)
    (secrets / "pg").write_text(PASSWORD + "\n")
    place = Place(
        tmp_path / "other",
        database(postgres.tcp, username="postgres", password=secret("pg")),
        secrets=tmp_path / "config",
    )
    assert place.run(sql_job("SELECT 1 AS id")).records == 1
    table.run(f"CREATE FUNCTION leak() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE '{PASSWORD}'; END $$")
    result = place.run(sql_job("SELECT leak() AS id"))
    assert result.reason == "db: ********"
    (secrets / "pg").write_text("wrong-pass%word")
    result = place.run(sql_job("SELECT 1 AS id"))
    assert "password authentication failed" in result.reason
    for text in (result.reason, caplog.text, repr(place.database)):
        assert PASSWORD not in text
        assert "wrong-pass" not in text
    (secrets / "pg").unlink()
    place.close()


def test_rows_of_a_table_that_is_locked_are_waited_for_no_longer_than_allowed(postgres, table, tmp_path):
    table.fill(1)
    place = Place(tmp_path / "locked", database(table.url, statement_timeout=timedelta(milliseconds=200)))
    with psycopg.connect(
        host=str(postgres.folder), port=postgres.port, user="postgres", dbname="postgres"
    ) as con:
        con.execute("DROP TABLE t")
        assert "the query took longer than" in place.run(sql_job("SELECT id FROM t")).reason
        con.commit()
    assert 'relation "t" does not exist' in place.run(sql_job("SELECT id FROM t")).reason
    place.close()


def test_the_position_now_of_a_time_is_this_moment(table, place):
    table.run(
        "CREATE TABLE p (id bigint, at timestamptz)",
        "INSERT INTO p SELECT g, now() - g * interval '1 s' FROM generate_series(1, 50) g",
    )
    job = sql_job(
        "SELECT id, at FROM p WHERE (at, id) > (:at, :id) ORDER BY at, id LIMIT 7",
        cursor=["at", "id"],
        start="now",
    )
    assert place.run(job).records == 0
    assert place.cursor()["id"] == ("lowest", "")
    table.run("INSERT INTO p VALUES (99, now() + interval '1 s')")
    assert place.run(job).records == 1
    assert place.ids() == [99]


def test_json_that_no_reader_takes_is_a_bad_record_and_not_null(table, place):
    query = """SELECT id, doc::json FROM (VALUES (1, '{"a": 1}'), (2, '"\\ud800"'), (3, 'null')) v(id, doc)"""
    result = place.run(sql_job(query, on_bad_row="dead_letter"))
    assert result.state == "done", result.reason
    assert place.records() == [{"id": 1, "doc": {"a": 1}}, {"id": 3, "doc": None}]
    assert place.run(sql_job(query)).reason.startswith(
        'db record 2: column doc: "\\ud800" is not JSON that can be read'
    )


def test_a_cursor_whose_column_became_text_is_told_and_passes_nothing_over(table, place):
    table.fill(999)
    job = sql_job("SELECT id FROM t WHERE id > :id ORDER BY id", cursor=["id"])
    assert place.run(job).records == 999
    table.run("ALTER TABLE t ALTER COLUMN id TYPE text")
    table.run("INSERT INTO t (id) VALUES ('1000')")  # before '999', in the order of texts
    result = place.run(job)
    assert result.state == "failed"
    assert "the column id is text, and the cursor stands at integer 999: rows would be" in result.reason
    cast = sql_job("SELECT id::int FROM t WHERE id::int > :id ORDER BY id::int", cursor=["id"])
    assert place.run(cast).records == 1


def test_a_window_is_a_time_also_where_the_result_has_a_column_of_its_name(table, place):
    place.window = Window(since=datetime(2026, 1, 1, tzinfo=UTC), until=datetime(2026, 1, 2, tzinfo=UTC))
    place.run(sql_job("SELECT 1 AS id, 'x' AS since WHERE '2026-01-01 12:00Z'::timestamptz > :since"))
    assert place.records() == [{"id": 1, "since": "x"}]
