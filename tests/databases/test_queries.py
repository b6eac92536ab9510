"""What every database must do alike: rows arrive once, in order, and the cursor stands behind them."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from agent.spool import Reader
from agent.window import Window
from tests.databases.conftest import place_of
from tests.support.clock import FakeClock
from tests.support.querying import Place, database, run_child, sql_job

BY_ID = "SELECT id, grp, name FROM t WHERE id > :id ORDER BY id"
BY_GROUP = "SELECT id, grp FROM t WHERE grp > :grp ORDER BY grp, id"


def test_rows_arrive_once_and_the_next_run_goes_on_behind_them(place, table):
    table.fill(25)
    job = sql_job(BY_ID, cursor=["id"], map={"id": "=id", "name": "=name"})
    result = place.run(job)
    assert (result.state, result.records, result.messages) == ("done", 25, 3)
    assert place.records()[0] == {"id": 1, "name": "n1"}
    assert place.cursor() == {"id": ("integer", "25")}
    assert place.run(job).records == 0
    table.fill(3, start=26)
    assert place.run(job).records == 3
    assert place.ids() == list(range(1, 29))


def test_without_a_cursor_every_run_sends_all_rows_with_other_keys(place, table):
    table.fill(3)
    job = sql_job("SELECT id FROM t ORDER BY id")
    assert [place.run(job).records, place.run(job).records] == [3, 3]
    assert place.ids() == [1, 2, 3, 1, 2, 3]
    keys = [message.key for message in place.spool.oldest("j", 0).result()]
    assert len(set(keys)) == 2
    assert place.cursor() == {}


def test_a_compound_cursor_is_bound_by_name_whatever_its_order_in_the_text(place, table):
    table.fill(30, group=4)
    query = "SELECT id, grp FROM t WHERE grp > :grp OR (grp = :grp AND id > :id) ORDER BY grp, id LIMIT 9"
    job = sql_job(query, cursor=["grp", "id"])
    while place.run(job).records:
        pass
    assert place.ids() == list(range(1, 31))
    table.fill(5, start=31, group=4)
    while place.run(job).records:
        pass
    assert place.ids() == list(range(1, 36))


def test_the_row_at_the_edge_of_a_full_limit_waits_for_the_next_run(place, table):
    table.fill(10)
    job = sql_job(BY_ID + " LIMIT 4", cursor=["id"])
    assert [place.run(job).records for _ in range(5)] == [3, 3, 3, 1, 0]
    assert place.ids() == list(range(1, 11))


def test_a_limit_in_the_middle_of_equal_values_leaves_nothing_behind(place, table):
    table.fill(40, group=7)
    job = sql_job(BY_GROUP + " LIMIT 10", cursor=["grp"])
    while place.run(job).records:
        pass
    assert sorted(place.ids()) == list(range(1, 41))


def test_equal_values_that_fill_the_limit_are_an_error_that_says_so(place, table):
    table.fill(40, group=100)
    result = place.run(sql_job(BY_GROUP + " LIMIT 10", cursor=["grp"]))
    assert result.state == "failed"
    assert "all 10 records that the LIMIT lets through have the same values: grp=0" in result.reason
    assert "add a column to `cursor`" in result.reason


def test_null_in_a_cursor_names_the_record(place, table):
    table.fill(3)
    table.run("INSERT INTO t (id, grp) VALUES (4, NULL)")
    result = place.run(
        sql_job("SELECT id, grp FROM t WHERE grp > :grp OR grp IS NULL ORDER BY id", cursor=["grp"])
    )
    assert result.state == "failed"
    assert result.reason.startswith("db record 4: the cursor's column grp is NULL (add WHERE grp IS NOT NULL")
    assert place.ids() == [1, 2]  # more with the value of 3 may follow


def test_an_order_that_would_pass_rows_over_is_an_error(place, table):
    table.fill(5)
    result = place.run(sql_job("SELECT id FROM t WHERE id > :id ORDER BY id DESC", cursor=["id"]))
    assert result.state == "failed"
    assert "db record 2: id=4 comes after id=5: rows would be passed over" in result.reason
    assert "ORDER BY id" in result.reason
    assert place.ids() == []


def test_a_cursor_column_that_the_result_has_not_is_named_with_those_it_has(place, table):
    table.fill(5)
    result = place.run(sql_job("SELECT name, grp FROM t WHERE id > :id ORDER BY id", cursor=["id"]))
    assert result.reason == "db: missing column id (columns there are: name, grp)"


def test_a_missing_column_names_the_line_of_the_map(place, table):
    table.fill(1)
    result = place.run(sql_job(BY_ID, cursor=["id"], map={"id": "=idd"}))
    assert "jobs/j.yaml:7:9: body.map.id: =idd: there is no column idd" in result.reason
    assert "did you mean id?" in result.reason


def test_a_bad_row_ends_the_run_and_all_before_it_is_sent(place, table):
    table.fill(33)
    table.run("UPDATE t SET name = 'no number' WHERE id = 28")
    job = sql_job(BY_ID, cursor=["id"], map={"id": "=id", "n": "=CAST(replace(name, 'n', '') AS INTEGER)"})
    result = place.run(job)
    assert result.state == "failed"
    assert result.reason.startswith("db record 28 (id=28): body.map.n: =CAST(")
    assert '"name":"no number"' in result.reason
    assert place.ids() == list(range(1, 28))
    assert place.cursor() == {"id": ("integer", "27")}
    assert place.run(job).reason.startswith("db record 1 (id=28): ")
    table.run("UPDATE t SET name = 'n28' WHERE id = 28")
    assert place.run(job).state == "done"
    assert place.ids() == list(range(1, 34))


def test_bad_rows_become_dead_letters_and_the_others_go_on(place, table):
    table.fill(12)
    table.run("UPDATE t SET name = 'x' WHERE id IN (3, 12)")
    job = sql_job(
        BY_ID,
        cursor=["id"],
        map={"id": "=id", "n": "=CAST(replace(name, 'n', '') AS INTEGER)"},
        on_bad_row="dead_letter",
    )
    assert place.run(job).state == "done"
    assert place.ids() == [id_ for id_ in range(1, 12) if id_ != 3]
    with Reader.open(place.state) as reader:
        assert [letter.origin for letter in reader.dead("j")] == ["db", "db"]
    assert place.cursor() == {"id": ("integer", "12")}


def test_del_46_a_record_larger_than_any_batch_is_named_and_what_is_before_it_is_sent(place, table):
    table.fill(5)
    table.run("UPDATE t SET name = '" + "x" * 2_000_000 + "' WHERE id = 4")
    result = place.run(sql_job(BY_ID, cursor=["id"], map={"id": "=id", "name": "=name"}))
    assert result.reason.startswith("db record 4 (id=4): 2000")
    assert place.ids() == [1, 2, 3]


@pytest.mark.parametrize(
    "sql", ["upper(name)", "name LIKE 'n%'", "coalesce(name, 'none')", "id + 1", "utc(name)"]
)
def test_no_row_and_no_value_fit_whatever_the_map_asks_of_a_column(place, table, sql):
    table.fill(1)
    table.run("DELETE FROM t")
    job = sql_job(BY_ID, cursor=["id"], map={"id": "=id", "x": f"={sql}"})
    assert place.run(job).state == "done"
    table.run("INSERT INTO t VALUES (1, 1, NULL)")
    result = place.run(job)
    assert (result.state, result.records) == ("done", 1), result.reason


def test_types_cast_a_column_and_name_the_value_that_does_not_fit(place, table):
    table.fill(3)
    table.run(*(f"UPDATE t SET name = '0{id_}' WHERE id = {id_}" for id_ in (1, 2, 3)))
    assert place.run(sql_job(BY_ID, cursor=["id"], types={"name": "INTEGER"})).state == "done"
    assert [record["name"] for record in place.records()] == [1, 2, 3]
    table.run("INSERT INTO t VALUES (4, 4, 'four')")
    result = place.run(sql_job(BY_ID, cursor=["id"], types={"name": "INTEGER"}))
    assert "db record 1 (id=4): column name: four is not a INTEGER" in result.reason


def test_a_query_that_is_wrong_is_told_in_the_database_s_words_and_heals(place, table):
    job = sql_job(BY_ID, cursor=["id"])
    result = place.run(job)
    assert result.state == "failed"
    words = {
        "sqlite": "no such table: t",
        "postgresql": 'relation "t" does not exist',
        "mariadb": "db: Table 'test.t' doesn't exist (error 1146)",
    }
    assert words[table.kind] in result.reason
    table.fill(2)
    assert place.run(job).records == 2


def test_a_column_that_is_gone_or_has_another_type_is_told_and_nothing_is_lost(place, table):
    table.fill(2)
    job = sql_job(
        "SELECT * FROM t WHERE id > :id ORDER BY id", cursor=["id"], map={"id": "=id", "n": "=name"}
    )
    assert place.run(job).records == 2
    table.run("ALTER TABLE t RENAME COLUMN name TO label", "INSERT INTO t VALUES (3, 3, 'x')")
    assert "there is no column name" in place.run(job).reason
    table.run("ALTER TABLE t RENAME COLUMN label TO name")
    assert place.run(job).records == 1


def test_sec_13_a_query_cannot_write(place, table):
    table.fill(1)
    if table.kind == "postgresql":
        table.run("CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS $$ DELETE FROM t RETURNING id $$")
        result = place.run(sql_job("SELECT f() AS id"))
        assert "cannot execute DELETE in a read-only transaction" in result.reason
    elif table.kind == "mariadb":
        result = place.run(sql_job("DELETE FROM t RETURNING id"))
        assert "Cannot execute statement in a READ ONLY transaction" in result.reason
    else:
        result = place.run(sql_job("DELETE FROM t RETURNING id"))
        assert "readonly database" in result.reason
    assert "(a source only reads; see `read_only` of the connection)" in result.reason
    assert place.run(sql_job("SELECT id FROM t")).records == 1


def test_now_takes_the_position_of_the_last_row_and_sends_what_comes_after(place, table):
    table.fill(10)
    job = sql_job(BY_ID + " LIMIT 4", cursor=["id"], start="now")
    first = place.run(job)
    assert (first.state, first.records, first.reason) == (
        "done",
        0,
        "start: now: the next run begins behind id=10",
    )
    table.fill(2, start=11)
    assert place.run(job).records == 2
    assert place.ids() == [11, 12]


def test_now_in_an_empty_table_means_everything_that_comes(place, table):
    table.fill(1)
    table.run("DELETE FROM t")
    job = sql_job(BY_ID, cursor=["id"], start="now")
    place.run(job)
    table.run("INSERT INTO t VALUES (-5, 1, 'a'), (7, 1, 'b')")
    place.run(job)
    assert place.ids() == [-5, 7]


def test_sec_13_values_to_start_behind_are_bound(place, table):
    table.fill(5)
    place.run(sql_job(BY_ID, cursor=["id"], start={"id": 3}))
    assert place.ids() == [4, 5]


def test_the_beginning_is_before_every_text_and_every_number(place, table):
    table.run(
        "CREATE TABLE u (a text, b double precision)",
        "INSERT INTO u VALUES ('-', -1e100), ('+', 5), ('0', 0)",
    )
    place.run(sql_job("SELECT a FROM u WHERE a > :a ORDER BY a", cursor=["a"]))
    assert len(place.records()) == 3
    other = sql_job("SELECT b FROM u WHERE b > :b ORDER BY b", cursor=["b"])
    assert place.run(other).records == 3


def test_a_limit_of_push_ends_the_run_where_it_is_asked_to(place, table):
    table.fill(30)
    job = sql_job(BY_ID, cursor=["id"])
    assert place.run(job, limit=7).records == 7
    assert place.cursor() == {"id": ("integer", "7")}
    place.run(job)
    assert place.ids() == list(range(1, 31))


def test_since_and_until_are_the_window_of_the_run(place, table):
    table.run(
        "CREATE TABLE w (id bigint, at timestamp)",
        "INSERT INTO w VALUES (1, '2026-01-01 09:59:59'), (2, '2026-01-01 10:00:00'), (3, '2026-01-01 10:59:59.5'), "
        "(4, '2026-01-01 11:00:00')",
    )
    at = "at AT TIME ZONE 'UTC'" if table.kind == "postgresql" else "at"
    job = sql_job(f"SELECT id FROM w WHERE {at} >= :since AND {at} < :until ORDER BY id")
    assert "this run is about no window of time" in place.run(job).reason
    place.window = Window(
        since=datetime(2026, 1, 1, 10, tzinfo=UTC), until=datetime(2026, 1, 1, 11, tzinfo=UTC)
    )
    assert place.run(job).state == "done"
    assert place.ids() == [2, 3]


def test_young_rows_wait_until_they_have_settled(table, tmp_path):
    clock = FakeClock()
    place = place_of(table, tmp_path, clock=clock)
    table.run(
        "CREATE TABLE s (id bigint, at timestamp)",
        "INSERT INTO s VALUES (1, '2027-01-15 07:59:40'), (2, '2027-01-15 07:59:49'), (3, '2027-01-15 07:59:55'), "
        "(4, '2027-01-15 07:59:41')",
    )
    job = sql_job("SELECT id, at FROM s WHERE id > :id ORDER BY id", cursor=["id"], settle=("at", 10))
    place.run(job)
    assert place.ids() == [1, 2]  # 4 waits behind 3: the cursor must not pass it over
    clock.wall += 6
    place.run(job)
    assert place.ids() == [1, 2, 3, 4]
    wrong = sql_job(
        "SELECT id, at FROM s WHERE id > :id ORDER BY id", cursor=["id"], settle=("id", 10), start={"id": 0}
    )
    table.run("INSERT INTO s VALUES (5, '2027-01-15 07:59:41')")
    assert "settle needs a time, and the column id is none" in place.run(wrong).reason
    place.close()


def test_a_stopped_run_goes_on_later(place, table):
    table.fill(100)
    job = sql_job(BY_ID, cursor=["id"])
    place.stopped = True
    assert place.run(job).state == "stopped"
    place.stopped = False
    assert place.run(job).records == 100
    assert place.ids() == list(range(1, 101))


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("table", "group"), [("sqlite", 600), ("postgresql", 1)], indirect=["table"])
def test_ten_kills_in_the_middle_leave_every_row_once(table, tmp_path, group):
    rows, most = (6_000, 150) if group == 1 else (20_000, 700)
    table.fill(rows, group=group)
    cursor, query = ("id", BY_ID) if group == 1 else ("grp", BY_GROUP)
    chosen, seen = random.Random(group), []
    for _ in range(10):
        result = run_child(tmp_path / "state", table.url, query, cursor, chosen.randint(1, most))
        assert result.returncode in {-9, 0}, result.stdout + result.stderr
        with Reader.open(tmp_path / "state") as reader:
            seen.append(str(reader.cursor("j")))
    assert len(set(seen)) > 2  # the kills came in the middle
    assert run_child(tmp_path / "state", table.url, query, cursor, 0).stdout.strip() == "done"
    place = Place(tmp_path / "state", database(table.url))
    assert sorted(place.ids()) == list(range(1, rows + 1))
    place.close()


def test_a_column_that_is_there_twice_is_told_where_the_record_is_sent_as_it_is(place, table):
    table.fill(1)
    result = place.run(sql_job("SELECT id, 1 AS x, 2 AS x FROM t"))
    assert result.state == "failed"
    assert result.reason.startswith("db: the column 'x' is there twice (give each its own name in the query")
    assert place.run(sql_job("SELECT id, 1 AS x, 2 AS x FROM t", map={"id": "=id"})).state == "done"
    assert place.ids() == [1]
