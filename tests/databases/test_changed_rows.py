"""`only: {changed_by: …}` over queries: the whole table without a cursor, what was read behind one."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agent.collect import collect_job
from agent.config.model import Only
from agent.spool import Reader
from agent.window import Window
from tests.support.querying import Place, database, run_child, sql_job
from tests.support.rendering import tree, where

ALL = "SELECT id, v FROM t ORDER BY id"
LOG = "SELECT id, k, v FROM log WHERE id > :id ORDER BY id"


def only(*columns: str, deleted="ignore", map=None):  # noqa: A002 - the word of the YAML
    node = tree(map) if map is not None else None
    return Only(changed_by=columns, deleted=deleted, deleted_map=node, where=where("only"))


class Table:
    def __init__(self, path):
        self.path = path
        self.run(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v)", "CREATE TABLE log (id INTEGER PRIMARY KEY, k, v)"
        )

    def run(self, *statements):
        with closing(sqlite3.connect(self.path)) as con, con:
            for statement in statements:
                con.execute(statement)

    def become(self, rows):
        values = ", ".join(f"({key}, {value})" for key, value in rows.items())
        self.run("DELETE FROM t", f"INSERT INTO t VALUES {values}")

    def log(self, *pairs):
        self.run(*(f"INSERT INTO log (k, v) VALUES ('{key}', {value})" for key, value in pairs))


@pytest.fixture
def table(tmp_path):
    return Table(tmp_path / "t.db")


@pytest.fixture
def place(tmp_path, table):
    one = Place(tmp_path / "state", database(f"sqlite:///{table.path}"))
    yield one
    one.close()


def sent(place):
    """What was spooled since the last look."""
    found = [(row["id"], row.get("v")) for row in place.records()]
    before = getattr(place, "looked", 0)
    place.looked = len(found)
    return found[before:]


def done(place, job, **more):
    result = place.run(job, **more)
    assert (result.state, result.reason) == ("done", "")
    return sent(place)


def test_without_a_cursor_the_result_is_the_table_and_only_what_changed_is_sent(place, table):
    job = sql_job(ALL, only=only("id"))
    table.become({1: 10, 2: 20, 3: 30})
    assert done(place, job) == [(1, 10), (2, 20), (3, 30)]
    assert done(place, job) == []
    table.become({1: 10, 2: 21, 4: 40})
    assert done(place, job) == [(2, 21), (4, 40)]
    table.become({1: 10, 2: 20, 3: 30, 4: 40})  # gone keys stay known
    assert done(place, job) == [(2, 20)]
    assert len(list((place.state / "seen/j").iterdir())) == 1


def test_deleted_rows_are_sent_behind_the_others(place, table):
    job = sql_job(ALL, only=only("id", deleted="send", map={"id": "=id", "v": "gone"}))
    table.become({1: 10, 2: 20, 3: 30})
    assert done(place, job) == [(1, 10), (2, 20), (3, 30)]
    table.become({2: 22, 4: 40})
    assert done(place, job) == [(2, 22), (4, 40), (1, "gone"), (3, "gone")]
    assert done(place, job) == []


def test_an_empty_result_deletes_nothing_and_says_so(place, table):
    job = sql_job(ALL, only=only("id", deleted="send"))
    table.become({1: 10})
    done(place, job)
    table.run("DELETE FROM t")
    result = place.run(job)
    assert result.state == "failed"
    assert result.reason == (
        "db holds no record: that would delete all 1 keys (is it complete? with `deleted: send` each reading "
        "is the whole list)"
    )
    table.become({1: 10, 2: 20})
    assert done(place, job) == [(2, 20)]


def test_a_result_that_breaks_off_deletes_nothing(place, table):
    job = sql_job(ALL, only=only("id", deleted="send"))
    table.become({key: key for key in range(5000)})
    done(place, job)
    # the last row cannot be computed: what came before it is not the whole table
    broken = f"SELECT id, CASE WHEN id < 4999 THEN v ELSE abs(-9223372036854775808) END AS v FROM ({ALL})"
    result = place.run(sql_job(broken, only=only("id", deleted="send")))
    assert (result.state, result.messages) == ("failed", 0)
    assert "integer overflow" in result.reason
    assert sent(place) == []
    assert done(place, job) == []


def test_a_limit_of_a_push_does_not_make_the_rest_look_gone(place, table):
    job = sql_job(ALL, only=only("id", deleted="send"))
    table.become(dict.fromkeys(range(50), 0))
    assert len(done(place, job, limit=10)) == 50
    assert done(place, job, limit=10) == []


def test_a_key_that_is_there_twice_or_empty_is_a_bad_row(place, table):
    table.become({1: 10, 2: 10})
    twice = "SELECT v AS id, id AS v FROM t ORDER BY t.id"
    result = place.run(sql_job(twice, only=only("id")))
    assert result.state == "failed"
    assert "db record 2: the same id as record 1 (only.changed_by)" in result.reason
    assert done(place, sql_job(twice, only=only("id"), on_bad_row="dead_letter")) == [(10, 1)]
    with Reader.open(place.state) as reader:
        [letter] = reader.dead("j")
        assert letter.answer.reason == "the same id as record 1 (only.changed_by)"
    missing = place.run(sql_job(ALL, only=only("plate")))
    assert missing.reason.startswith("db: missing column plate (columns there are: id, v)")
    null = place.run(sql_job("SELECT NULL AS id, 1 AS v", only=only("id")))
    assert "column id: the key is empty" in null.reason


def test_behind_a_cursor_each_row_is_told_against_the_one_before_it_of_its_key(place, table):
    job = sql_job(LOG, cursor=["id"], map={"id": "=k", "v": "=v"}, only=only("k"))
    table.log(("a", 1), ("b", 1), ("a", 1), ("a", 2), ("a", 2), ("a", 1))
    assert done(place, job) == [("a", 1), ("b", 1), ("a", 2), ("a", 1)]
    assert place.cursor() == {"id": ("integer", "6")}
    table.log(("a", 1), ("b", 1), ("c", 1), ("b", 2), ("b", 1))
    assert done(place, job) == [("c", 1), ("b", 2), ("b", 1)]
    assert place.cursor() == {"id": ("integer", "11")}
    table.log(("b", 1), ("c", 1))
    assert done(place, job) == []  # and yet the cursor moves
    assert place.cursor() == {"id": ("integer", "13")}


def test_a_row_that_is_set_aside_does_not_count_as_sent(place, table):
    rows = only("k")
    job = sql_job(LOG, cursor=["id"], map={"id": "=k", "v": "=v"}, only=rows, on_bad_row="dead_letter")
    job = replace(job, batch=replace(job.batch, bytes=60))
    large = "'" + "x" * 90 + "'"
    table.log(("a", 1), ("a", large), ("a", large))
    assert done(place, job) == [("a", "1")]
    table.log(("a", 1), ("b", "'x'"))
    assert done(place, job) == [("b", "x")]  # 1 is what was sent last for a
    with Reader.open(place.state) as reader:
        assert len(reader.dead("j")) == 1


def test_a_group_that_the_limit_cuts_waits_for_the_next_run(place, table):
    query = "SELECT v AS grp, id, k FROM log WHERE v > :grp ORDER BY v, id LIMIT 5"
    job = sql_job(query, cursor=["grp"], map={"id": "=id", "v": "=k"}, only=only("id"))
    table.log(*(("x", group) for group in (1, 1, 1, 2, 2, 2)))
    assert [key for key, _ in done(place, job)] == [1, 2, 3]
    assert place.cursor() == {"grp": ("integer", "1")}
    assert [key for key, _ in done(place, job)] == [4, 5, 6]


def test_a_window_is_told_by_keys_and_what_is_known_counts_with_it(tmp_path, table):
    since, until = (f"CAST(strftime('%s', :{word}) AS INTEGER)" for word in ("since", "until"))
    query = f"SELECT id, v FROM t WHERE v >= {since} AND v < {until} ORDER BY id"
    job = sql_job(query, map={"id": "=id", "v": "x"}, only=only("id"))
    window = Window(since=datetime.fromtimestamp(100, UTC), until=datetime.fromtimestamp(200, UTC))
    place = Place(tmp_path / "state", database(f"sqlite:///{table.path}"), window=window)
    table.become({1: 100, 2: 150, 3: 200})

    def run(*, ends=True):
        run = place.spool.start_window(
            "j", 200.0, "test", job.sha256, window, hold=True, backfill=None
        ).result()
        result = collect_job(job, run, place.spool, place.context, hands=place.hands, poll=0)
        place.spool.end_run(run, state=result.state if ends else "failed", reason="", durable=True).result()
        return sent(place)

    assert run(ends=False) == []  # it failed after all was spooled: nothing is visible, nothing is known
    assert [key for key, _ in run()] == [1, 2]
    assert run() == []
    place.close()


def test_another_key_and_lost_marks_send_everything_again(place, table):
    table.become({1: 10, 2: 20})
    done(place, sql_job(ALL, only=only("id")))
    assert done(place, sql_job(ALL, only=only("id", "v"))) == [(1, 10), (2, 20)]
    for path in (place.state / "seen/j").iterdir():
        path.write_bytes(b"x")
    assert done(place, sql_job(ALL, only=only("id", "v"))) == [(1, 10), (2, 20)]
    assert done(place, sql_job(ALL)) == [(1, 10), (2, 20)]
    assert not list((place.state / "seen/j").iterdir())


def versions(count, keys=400):
    """Tables, one after the other: rows come, go, change and change back."""
    for number in range(count):
        dice = random.Random(number)
        yield {key: dice.randint(0, 2) for key in range(keys) if dice.random() < 0.9}


def expected(tables):
    known, out = {}, []
    for rows in tables:
        out += [(key, value) for key, value in rows.items() if known.get(key) != value]
        out += [(key, None) for key in sorted(known) if key not in rows]
        known = dict(rows)
    return out


@pytest.mark.timeout(240)  # a dozen processes
def test_del_01_02_03_a_kill_at_any_statement_loses_no_change_and_sends_none_twice(tmp_path, table):
    dice, state, url = random.Random(7), tmp_path / "state", f"sqlite:///{table.path}"
    killed, tables = 0, []
    for rows in versions(3):
        table.become(rows)
        tables.append(rows)
        for _ in range(2):
            result = run_child(state, url, ALL, "", dice.randint(5, 60), only="id", deleted="send")
            assert result.returncode in {-9, 0}, result.stdout + result.stderr
            killed += result.returncode == -9
        result = run_child(state, url, ALL, "", 0, only="id", deleted="send")
        assert result.stdout.strip() == "done", result.stdout + result.stderr
    assert killed > 2
    place = Place(state, database(url))
    found = sent(place)
    place.close()
    assert found == expected(tables)


@pytest.mark.timeout(240)  # a dozen processes
def test_a_log_killed_at_any_statement_sends_each_change_once(tmp_path, table):
    dice, state, url = random.Random(3), tmp_path / "state", f"sqlite:///{table.path}"
    killed, rows = 0, [(f"k{dice.randint(0, 20)}", dice.randint(0, 2)) for _ in range(600)]
    for part in range(2):
        table.log(*rows[part * 300 : part * 300 + 300])
        for _ in range(2):
            result = run_child(state, url, LOG, "id", dice.randint(5, 50), only="k")
            assert result.returncode in {-9, 0}, result.stdout + result.stderr
            killed += result.returncode == -9
    assert run_child(state, url, LOG, "id", 0, only="k").stdout.strip() == "done"
    assert killed > 1
    place = Place(state, database(url))
    found = [(row["k"], row["v"]) for row in place.records()]
    place.close()
    known, wanted = {}, []
    for key, value in rows:
        wanted += [(key, value)] if known.get(key) != value else []
        known[key] = value
    assert found == wanted
