"""The schemas are the source of truth: complete, explained, and one with the code and with other validators."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from agent.config import build_agent, load, model
from agent.config.accept import compile_check
from agent.config.document import plain, scan
from agent.config.schema import _strict, inlined_schema, read_schema

ROOT = Path(__file__).parents[2]
KINDS = ("agent", "connection", "job")
EXAMPLES = {
    "agent": [ROOT / "examples/agent.yaml"],
    "connection": sorted((ROOT / "examples/connections").glob("*.yaml")),
    "job": sorted((ROOT / "examples/jobs").glob("*.yaml")),
}


def properties(schema: object, path: str = "") -> Iterator[tuple[str, dict]]:
    if isinstance(schema, list):
        for part in schema:
            yield from properties(part, path)
    if not isinstance(schema, dict):
        return
    for key, part in schema.items():
        if key == "properties" and path.rpartition(".")[2] != "properties":
            for name, one in part.items():
                if "if" not in path.split("."):
                    yield f"{path}.{name}", one
                yield from properties(one, f"{path}.{name}")
        elif key not in {"examples", "const", "enum"}:
            yield from properties(part, f"{path}.{key}")


def all_properties() -> list[tuple[str, str, dict]]:
    return [(kind, path, one) for kind in KINDS for path, one in properties(read_schema(kind))]


@pytest.mark.parametrize("kind", KINDS)
def test_the_schemas_are_valid_and_closed(kind):
    schema = read_schema(kind)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"]
    assert schema["additionalProperties"] is False


def test_every_property_has_a_description_and_examples_that_are_valid():
    found = all_properties()
    assert len(found) > 80
    for kind, path, one in found:
        assert len(one.get("description", "")) > 10, f"{kind}{path}"
        assert one.get("examples"), f"{kind}{path}"
        schema = {**one, "$defs": read_schema(kind).get("$defs", {})}
        for example in one["examples"]:
            errors = [error.message for error in Draft202012Validator(schema).iter_errors(example)]
            assert not errors, f"{kind}{path}"


def test_every_object_with_properties_of_its_own_is_closed_or_chosen_by_its_type():
    for kind, path, one in all_properties():
        if "properties" in one and "allOf" not in one:
            assert one["additionalProperties"] is False, f"{kind}{path}"
    for kind in KINDS:
        for name, one in read_schema(kind).get("$defs", {}).items():
            assert "properties" not in one or one["additionalProperties"] is False, f"{kind} {name}"


KEY_OF = {  # the field of the model → the key of the schema, where they differ
    "name": {"job", "connection", "name"}, "schedules": {"schedule"}, "base": {"url"}, "accepts_gzip": {"gzip"},
    "paths": {"path"}, "files": {"path"}, "sniff": {"types"}, "connect_timeout": {"connect"}, "log_level": {"level"},
    "log_format": {"format"}, "spool_max_bytes": {"max_bytes"}, "spool_max_messages": {"max_messages"}, "receipts_keep": {"keep"}, "receipts_max_bytes": {"max_bytes"}, "receipt_keys": {"keys"}, "collect_memory": {"memory"},
    "collect_threads": {"threads"}, "collect_concurrency": {"concurrency"}, "kind": {"secret", "env", "file"},
    "commands_allow": {"allow"}, "size_param": {"param"}, "by": {"page", "offset"}, "number": {"page"},
    "reading": {"format"}, "pointer": {"next", "cursor"}, "dialect": {"send"}, "expr": {"by"}, "contract": {"schema"},
    "column": {"of"}, "age": {"for"}, "deleted_map": {"map"},
}  # fmt: skip
NOT_WRITTEN = {"where", "sha256", "file", "program"}
WRITTEN = [
    model.AgentSettings, model.BasicAuth, model.BearerAuth, model.HeaderAuth, model.PasswordAuth, model.LoginLimit,
    model.OAuthPasswordAuth, model.ClientCredentialsAuth, model.RefreshTokenAuth, model.TokenCommandAuth, model.Dialect,
    model.Client, model.FieldNames, model.AnswerNames, model.TokenHeader,
    model.Limits, model.Tls, model.Connection, model.Schedule, model.Files, model.FileSource, model.CsvSource,
    model.NdjsonSource, model.JsonSource, model.ParquetSource, model.ExcelSource, model.Only, model.HttpSource,
    model.CommandSource, model.NextPage, model.CursorPage, model.NumberedPage, model.RawBody, model.JsonBody,
    model.Batch, model.Target, model.Delivery, model.Strict, model.ByKey, model.Unordered, model.Expire, model.Job,
    model.JobTest, model.Expected, model.ExpectedDead, model.Database, model.SqlSource, model.SettledRows,
]  # fmt: skip


@pytest.mark.parametrize("value", WRITTEN, ids=lambda value: value.__name__)
def test_every_field_of_the_model_can_be_written(value):
    keys = {path.rpartition(".")[2] for _, path, _ in all_properties()}
    for one in fields(value):
        if one.name not in NOT_WRITTEN:
            assert KEY_OF.get(one.name, {one.name}) & keys, one.name


def test_the_defaults_in_the_example_are_those_of_the_model():
    loaded = load(ROOT / "examples")
    program = "/usr/local/bin/export-trips"  # what may run has no default that an example could show
    assert loaded.plan.settings == model.AgentSettings(commands_allow=(program,))
    assert build_agent.AgentSettings is model.AgentSettings


def test_the_examples_pass_without_a_warning():
    loaded = load(ROOT / "examples")
    assert not loaded.problems
    assert set(loaded.plan.jobs) == {
        "minimal",
        "planning-csv",
        "gps-csv",
        "gps-positions",
        "sct-tracking",
        "tracking-devices",
        "devices-api",
        "trips-command",
        "stops-batch",
        "positions-latest",
    }
    assert set(loaded.plan.connections) == {
        "fleet-api",
        "simacan-stg",
        "simacan-prod",
        "oauth-password",
        "client-credentials",
        "refresh-token",
        "token-command",
        "own-dialect",
    }
    assert set(loaded.plan.databases) == {"fleet-db", "tms-db"}


@pytest.mark.parametrize("kind", KINDS)
def test_each_example_names_the_schema_for_editors_in_its_first_line(kind):
    for file in EXAMPLES[kind]:
        found = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", file.read_text().splitlines()[0])
        assert found
        assert (file.parent / found[1]).resolve() == ROOT / f"schemas/{kind}.schema.json"


@pytest.mark.parametrize("kind", KINDS)
def test_an_independent_validator_accepts_the_examples(kind):
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--schemafile",
        str(ROOT / f"schemas/{kind}.schema.json"),
    ]
    done = subprocess.run([*command, *map(str, EXAMPLES[kind])], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_short_way_and_jsonschema_agree_about_every_sample_file(kind):
    folder = {"agent": "agent", "connection": "connections", "job": "jobs"}[kind]
    files = [*EXAMPLES[kind], *(ROOT / "tests/bad_configs" / folder).glob("*.yaml")]
    short, long = compile_check(inlined_schema(kind)), _strict()(inlined_schema(kind))
    answers = set()
    for file in files:
        root = scan(file.read_bytes(), "x").root
        if root is not None:
            answer = short(plain(root))
            answers.add(answer)
            assert answer == long.is_valid(plain(root)), file.name
    assert answers == {True, False}


@pytest.mark.parametrize("kind", KINDS)
def test_the_short_way_and_jsonschema_agree_about_every_example_put_wherever_it_does_not_belong(kind):
    short, long = compile_check(inlined_schema(kind)), _strict()(inlined_schema(kind))
    whole = plain(scan(EXAMPLES[kind][-1].read_bytes(), "x").root)
    samples = [None, True, 0, 1, 5.0, -3, "", "x", [], [1], ["a", "a"], {}, {"a": 1}, "30s", "1MB", 10**9]
    samples += [example for _, _, one in all_properties() for example in one["examples"]]
    for key in read_schema(kind)["properties"]:
        for sample in samples:
            changed = {**whole, key: sample}
            assert short(changed) == long.is_valid(changed), (key, sample)


@pytest.mark.parametrize("twice", [False, True])
def test_sec_19_a_list_as_long_as_a_file_can_hold_is_checked_in_one_pass(twice):
    whole = plain(scan(EXAMPLES["job"][-1].read_bytes(), "x").root)
    long = [f"c{number}" for number in range(90_000)] + (["c0"] if twice else [])
    changed = {**whole, "source": {"type": "csv", "path": "/data/*.csv", "columns": long}}
    assert compile_check(inlined_schema("job"))(changed) is not twice
    assert _strict()(inlined_schema("job")).is_valid(changed) is not twice


def test_none_of_the_keys_of_later_versions_is_accepted():
    keys = {path.rpartition(".")[2] for _, path, _ in all_properties()}
    assert not keys & {"dry_run"}
