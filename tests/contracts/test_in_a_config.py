"""`body.schema` in a job file: read, found to be usable, and part of what the job is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.config_on_disk import ConfigFolder

JOB = """\
job: one
schedule: {{every: 30s}}
source: {{type: csv, path: /data/*.csv}}
body: {{format: json, per: record, map: {{id: =id}}, schema: {schema}}}
target: {{connection: stg, endpoint: planning}}
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = ConfigFolder(Path())
    folder.connection()
    folder.put("jobs/one.yaml", JOB.format(schema="schemas/event.json"))
    return folder


def schema(config, text, name="event"):
    config.put(f"schemas/{name}.json", text if isinstance(text, str) else json.dumps(text))


def test_the_schema_and_what_it_names_are_part_of_the_job(config, tmp_path):
    schema(config, {"$ref": "base.json"})
    schema(config, {"type": "object"}, "base")
    loaded = config.load()
    assert loaded.problems == ()
    contract = loaded.plan.jobs["one"].body.contract
    assert (contract.kind, contract.check) == ("json", "all")
    paths = [f"{tmp_path}/schemas/{name}.json" for name in ("event", "base")]
    assert [file.path for file in contract.files] == paths
    assert loaded.beside == frozenset(paths)


def test_a_job_whose_schema_is_another_one_is_another_job(config):
    schema(config, {"$ref": "base.json"})
    seen = set()
    for base in ({"type": "object"}, {"type": "array"}, {"type": "object"}):
        schema(config, base, "base")
        loaded = config.load()
        seen.add(loaded.plan.jobs["one"].sha256)
        assert loaded.files["jobs/one.yaml"] == loaded.plan.jobs["one"].sha256
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "schemas/event.json cannot be read: no such file or directory"),
        ("{,", "event.json:1:2: is no JSON"),
        ({"type": "strin"}, "event.json: is no JSON Schema: type: "),
        (
            {"$ref": "https://example.com/a.json"},
            "event.json: names https://example.com/a.json, which is no file here",
        ),
    ],
)
def test_a_schema_that_cannot_be_used_is_told_at_its_line(config, text, said):
    if text is not None:
        schema(config, text)
    (problem,) = config.load().problems
    assert (problem.line, problem.path) == (4, "body.schema")
    assert said in problem.message
    assert config.load().plan.jobs == {}
    assert len(config.load().beside) == 1


def test_a_folder_is_no_schema_and_neither_is_a_huge_file(config):
    (Path("schemas/event.json")).mkdir(parents=True)
    assert "is not a regular file" in config.told()
    Path("schemas/event.json").rmdir()
    schema(config, " " * (4 * 1024 * 1024 + 1))
    assert "event.json is larger than 4 MiB" in config.told()
