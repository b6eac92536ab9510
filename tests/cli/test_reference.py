"""`push-agent schema` and the reference that is made of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from agent.config.document import plain, scan
from agent.config.schema import read_schema
from agent.reference import flow
from tests.support.world import ROOT

KINDS = {"agent": "agent.yaml", "connection": "connections/*.yaml", "job": "jobs/*.yaml"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_printed_schema_accepts_the_examples(call, kind):
    code, out, _ = call("schema", kind)
    assert code == 0
    validator = Draft202012Validator(json.loads(out))
    files = sorted((ROOT / "examples").glob(KINDS[kind]))
    assert files
    for file in files:
        assert not list(validator.iter_errors(plain(scan(file.read_bytes(), file.name).root)))


def test_all_prints_the_three_by_name(call):
    code, out, _ = call("schema", "all")
    assert code == 0
    assert json.loads(out) == {kind: read_schema(kind) for kind in KINDS}


def test_a_job_is_what_most_people_ask_for(call):
    assert call("schema")[1] == call("schema", "job")[1]


@pytest.mark.parametrize("kind", KINDS)
def test_one_kind_as_markdown_names_each_of_its_keys(call, kind):
    code, out, _ = call("schema", kind, "--output", "markdown")
    assert code == 0
    assert out.startswith("# ")
    for key in read_schema(kind)["properties"]:
        assert f"| `{key}` | " in out


def test_the_reference_is_what_schemas_and_commands_say_now(call):
    code, out, _ = call("schema", "all", "--output", "markdown")
    assert code == 0
    told = "push-agent schema all --output markdown > docs/REFERENCE.md"
    assert (ROOT / "docs/REFERENCE.md").read_text() == out, f"run: {told}"


def test_every_row_of_the_reference_has_the_cells_of_its_table():
    cells = 0
    for line in (ROOT / "docs/REFERENCE.md").read_text().splitlines():
        now = line.replace("\\|", "").count("|") if line.startswith("|") else 0
        assert not cells or now in {0, cells}, line
        cells = now


def examples(schema):
    """Every example and default anywhere in a schema."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "examples" and isinstance(value, list):
                yield from value
            elif key == "default" and "description" in schema:
                yield value
            else:
                yield from examples(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from examples(value)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_reference_shows_is_yaml_that_means_the_example(kind):
    found = list(examples(read_schema(kind)))
    assert len(found) > 10
    for example in found:
        document = scan(f"key: {flow(example)}\n".encode(), Path("x").name)
        assert not document.problems
        assert plain(document.root) == {"key": example}
