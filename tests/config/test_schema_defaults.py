"""What a schema calls the default is what the model does without the key."""

from __future__ import annotations

import copy
import json

import pytest

from agent.config import load
from agent.config.build_database import OF_DATABASE
from agent.config.schema import read_schema

CONNECTION = {"connection": "platform", "type": "http", "url": "https://api.example.com"}
PASSWORD = {
    "type": "password",
    "url": "https://auth.example.com",
    "username": {"secret": "user"},
    "password": {"secret": "password"},
}
DATABASE = {"connection": "db", "type": "database", "url": "postgresql://db.example.com/fleet"}
SQL = {"type": "sql", "connection": "db", "query": "SELECT id FROM t WHERE id > :id", "cursor": ["id"]}
TOKEN = "https://auth.example.com/oauth/token"
OAUTH = {**PASSWORD, "type": "oauth_password", "url": TOKEN, "client": {"id": "c"}}
CLIENT = {"type": "client_credentials", "url": TOKEN, "client": {"id": "c", "secret": {"secret": "s"}}}
SEED = {"type": "refresh_token", "url": TOKEN, "refresh_token": {"secret": "seed"}}
HTTP = {"type": "http", "connection": "platform", "path": "/devices"}
PROGRAM = {"type": "command", "command": ["/usr/bin/export"]}
ALLOWED = {"commands": {"allow": ["/usr/bin/export"]}}
COMMAND = {"type": "token_command", "command": ["/usr/bin/get-token"]}
JOB = {
    "job": "one",
    "schedule": {"cron": "0 5 * * *"},
    "body": {"format": "json"},
    "target": {"connection": "platform", "path": "/x"},
}
# Where it may be written: the definition of the schema → the least document that holds it, and where in it.
PLACES = {
    ("agent", ""): ({}, []),
    ("connection", ""): (CONNECTION, []),
    ("job", "source_sql"): ({**JOB, "source": SQL}, ["source"]),
    **{
        ("connection", f"auth_{name}"): ({**CONNECTION, "auth": auth}, ["auth", *place])
        for name, auth, place in [
            ("password", PASSWORD, []),
            ("oauth_password", OAUTH, []),
            ("client_credentials", CLIENT, []),
            ("refresh_token", SEED, []),
            ("token_command", COMMAND, []),
            ("login_limit", PASSWORD, ["login_limit"]),
            ("client", OAUTH, ["client"]),
            ("fields_login", PASSWORD, ["fields"]),
            ("fields_all", OAUTH, ["fields"]),
            ("fields_client", CLIENT, ["fields"]),
            ("fields_refresh", SEED, ["fields"]),
            ("answer_pair", OAUTH, ["answer"]),
            ("answer_token", COMMAND, ["answer"]),
            ("token_header", PASSWORD, ["header"]),
        ]
    },
    ("job", ""): ({**JOB, "source": {"type": "json", "path": "/a"}}, []),
    ("job", "test"): (
        {
            **JOB,
            "source": {"type": "json", "path": "/a"},
            "tests": [{"name": "t", "given": [], "expect": []}],
        },
        ["tests", 0],
    ),
    ("job", "reply"): (
        {
            **JOB,
            "source": {"type": "json", "path": "/a"},
            "target": {**JOB["target"], "reply": {"items": "/results", "error": "/error"}},
        },
        ["target", "reply"],
    ),
    ("job", "schedule"): ({**JOB, "source": {"type": "json", "path": "/a"}}, ["schedule"]),
    ("job", "only"): (
        {**JOB, "source": {"type": "json", "path": "/a", "only": {"changed_by": ["id"]}}},
        ["source", "only"],
    ),
    ("job", "body_json"): ({**JOB, "source": {"type": "json", "path": "/a"}}, ["body"]),
    ("job", "body_raw"): (
        {**JOB, "source": {"type": "file", "path": "/a"}, "body": {"format": "raw"}},
        ["body"],
    ),
    ("job", "source_http"): ({**JOB, "source": HTTP}, ["source"]),
    ("job", "source_command"): ({**JOB, "source": PROGRAM}, ["source"]),
    **{
        ("job", f"body_{body['format']}"): (
            {**JOB, "source": {"type": "json", "path": "/a"}, "body": body},
            ["body"],
        )
        for body in (
            {"format": "ndjson"},
            {"format": "csv"},
            {"format": "xml", "root": {"name": "all"}, "each": "one"},
        )
    },
    **{
        ("job", f"source_{kind}"): (
            {
                **JOB,
                "source": {"type": kind, "path": "/a"},
                "body": {"format": "raw" if kind == "file" else "json"},
            },
            ["source"],
        )
        for kind in ("file", "csv", "ndjson", "json", "parquet", "excel")
    },
}
# These need another key beside them to mean anything.
FOR_CSV = {"delimiter", "quote", "header", "encoding"}
BESIDE = {"delimiter": {"columns": ["id"]}}


def defaults(schema, path=()):
    """(keys on the way, default) of every property that states one."""
    if not isinstance(schema, dict):
        return
    for key, part in schema.get("properties", {}).items():
        if "default" in part:
            yield (*path, key), part["default"]
        yield from defaults(part, (*path, key))
    for branch in ("then", "else"):
        yield from defaults(schema.get(branch), path)


def cases():
    for kind in ("agent", "connection", "job"):
        schema = read_schema(kind)
        for name, part in [("", schema), *schema["$defs"].items()]:
            for path, value in defaults(part):
                yield pytest.param(kind, name, path, value, id=f"{kind}.{name}.{'.'.join(path)}")


ALL = list(cases())


def plan_of(folder, kind, document):
    files = {"agent": ALLOWED, "connection": CONNECTION, "database": DATABASE, kind: document}
    names = {
        "agent": "agent.yaml",
        "connection": "connections/platform.yaml",
        "database": "connections/db.yaml",
        "job": "jobs/one.yaml",
    }
    for each, content in files.items():
        path = folder / names[each]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    loaded = load(folder)
    assert not loaded.problems, loaded.problems
    jobs = {name: (job.schedules, job.source, job.body, job.batch, job.target, job.delivery, job.tests)
            for name, job in loaded.plan.jobs.items()}  # fmt: skip
    return loaded.plan.settings, dict(loaded.plan.connections), dict(loaded.plan.databases), jobs


@pytest.mark.parametrize(("kind", "name", "path", "value"), ALL)
def test_a_stated_default_changes_nothing_when_it_is_written_down(tmp_path, kind, name, path, value):
    document, place = PLACES[kind, name]
    if kind == "connection" and not name and path[0] in OF_DATABASE:
        document = {**DATABASE, "connection": "other"}
    with_default = copy.deepcopy(document)
    spot = with_default
    for key in (*place, *path[:-1]):
        spot = spot[key] if isinstance(spot, list) else spot.setdefault(key, {})
    without = copy.deepcopy(with_default)
    if name in {"source_http", "source_command"} and path[-1] in FOR_CSV:
        for each in (spot, without["source"]):
            each["format"] = "csv"
    if path[0] == "paging" and name == "source_http":
        for each in (spot, without["source"].setdefault("paging", {})):
            each["cursor"] = "/cursor"
    if path[-1] in BESIDE and name == "source_file":
        spot.update(BESIDE[path[-1]])
        without["source"].update(BESIDE[path[-1]])
    if path[-1] == "lanes":
        spot["by"] = without["delivery"]["order"]["by"] = "=id"
    spot[path[-1]] = value
    # an empty mapping on the way is fine, except where a key of it is a must
    assert plan_of(tmp_path / "with", kind, with_default) == plan_of(
        tmp_path / "without", kind, pruned(without)
    )


def pruned(document):
    """Without the empty mappings that were only made on the way."""
    return {
        key: pruned(part) if isinstance(part, dict) else part
        for key, part in document.items()
        if part != {} or key == "auth"
    }


def test_the_defaults_are_found():
    assert len(ALL) > 50
    assert {param.values[0] for param in ALL} == {"agent", "connection", "job"}
