"""SQL jobs by the commands: validate connects to nothing, dry-run moves nothing, push moves the cursor."""

from __future__ import annotations

import json
import sqlite3

import pytest

DATABASE = "connection: data\ntype: database\nurl: sqlite:///{path}\n"
JOB = """\
job: positions
schedule: {cron: "0 0 29 2 *"}
source:
  type: sql
  connection: data
  query: SELECT id, plate FROM position WHERE id > :id ORDER BY id
  cursor: [id]
body: {format: json, map: {id: =id, plate: =plate}}
batch: {records: 2}
target: {connection: platform, endpoint: ingest}
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "data.db"
    add(
        path,
        "CREATE TABLE position (id INTEGER, plate TEXT)",
        "INSERT INTO position VALUES (1, 'A'), (2, 'B'), (3, 'C')",
    )
    return path


def add(path, *statements):
    with sqlite3.connect(path) as con:
        for statement in statements:
            con.execute(statement)
    con.close()


def with_sql(world, path):
    (world.config / "connections/data.yaml").write_text(DATABASE.format(path=path))
    world.job("positions", JOB)
    return ("--config", world.config, "--state", world.state)


def test_validate_connects_to_nothing_and_counts_the_database(call, folder, path):
    where = with_sql(folder, path)
    path.unlink()
    code, out, err = call("validate", *where[:2], "--output", "json")
    assert (code, err) == (0, "")
    assert json.loads(out)["connections"] == ["data", "platform"]


def test_dry_run_shows_the_next_requests_and_leaves_no_state(call, folder, path):
    where = with_sql(folder, path)
    code, out, _ = call("dry-run", "positions", *where, "--output", "json")
    assert code == 0
    shown = json.loads(out)
    assert [(one["origin"], one["body"]) for one in shown] == [
        ("data rows 1-2", '[{"id":1,"plate":"A"},{"id":2,"plate":"B"}]'),
        ("data rows 3-3", '[{"id":3,"plate":"C"}]'),
    ]
    assert not folder.state.exists()
    code, _, err = call("dry-run", "positions", *where, "--sample", path)
    assert code == 1
    assert "a query takes no sample file" in err
    add(path, "DROP TABLE position")
    code, _, err = call("dry-run", "positions", *where)
    assert (code, "data: no such table: position" in err) == (1, True)


def test_push_goes_on_behind_what_was_sent_and_dry_run_knows_it(call, world, sandbox, path):
    where = with_sql(world, path)
    code, out, err = call("dry-run", "positions", *where, "--output", "json")
    keys = [one["key"] for one in json.loads(out)]
    code, out, err = call("push", "positions", *where, "--output", "json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert (result["state"], result["records"], result["messages"], result["delivered"]) == ("done", 3, 2, 3)
    for key in keys:  # a dry run showed the very keys
        assert key in call("find", key, "--state", world.state)[1]
    assert "nothing to send" in call("dry-run", "positions", *where)[1]
    assert len(json.loads(call("dry-run", "positions", *where, "--all", "--output", "json")[1])) == 2
    add(path, "INSERT INTO position VALUES (4, 'D')")
    code, out, _ = call("dry-run", "positions", *where, "--output", "json")
    assert [one["body"] for one in json.loads(out)] == ['[{"id":4,"plate":"D"}]']
    assert json.loads(call("push", "positions", *where, "--output", "json")[1])["delivered"] == 1


def test_a_query_that_fails_is_shown_by_push_and_by_status(call, world, sandbox, path):
    where = with_sql(world, path)
    add(path, "DROP TABLE position")
    code, _, err = call("push", "positions", *where)
    assert code == 1
    assert "positions: failed: data: no such table: position" in err
    code, out, _ = call("status", "--state", world.state)
    assert "no such table: position" in out


def test_the_secret_of_a_database_is_looked_for_by_validate(call, folder, path):
    (folder.config / "connections/data.yaml").write_text(
        "connection: data\ntype: database\nurl: postgresql://127.0.0.1/x\nusername: me\npassword: {secret: nowhere}\n"
    )
    folder.job("positions", JOB)
    code, _, err = call("validate", "--config", folder.config)
    assert code == 78
    assert "connections/data.yaml:5:1: password: the secret {secret: nowhere} does not exist" in err
