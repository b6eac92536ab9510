"""`validate` tells what of a map cannot fulfil its schema, at its line, before a record was seen."""

from __future__ import annotations

import json

import pytest

from tests.support.job_tests import Trials

EVENT = {
    "type": "object",
    "required": ["kind", "place"],
    "additionalProperties": False,
    "properties": {
        "kind": {"enum": ["a", "b"]},
        "place": {"$ref": "#/$defs/place"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}},
        "note": {"type": ["string", "null"]},
    },
    "patternProperties": {"^x-": {}},
    "$defs": {
        "place": {
            "allOf": [{"type": "object", "required": ["lat"]}, {"properties": {"lat": {"type": "number"}}}]
        }
    },
}
GOOD = {"kind": "a", "place": {"lat": "=lat"}, "tags": ["ab", "=id"], "x-y": 1, "note": None}


@pytest.fixture
def tested(tmp_path):
    return Trials(tmp_path)


def put(
    tested, tree, schema=EVENT, body="", *, source="types: {lat: DOUBLE}, settle: 0s", path="/data/none.csv"
):
    (tested.config / "event.json").write_text(json.dumps(schema))
    document = json.dumps(tree)
    tested.put(
        f"source: {{type: csv, path: {path}, {source}}}\n"
        f"body: {{format: json, schema: event.json, map: {document}{body}}}\n"
    )
    return [problem.partition("one.yaml:")[2] for problem in tested.problems()]


def test_a_map_that_fits_is_right(tested):
    assert put(tested, GOOD) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "c"}, 'body.map.kind: event.json refuses this: "c" is not one of'),
        ({"place": {}}, "body.map.place: event.json wants the key lat, and it is not in the map"),
        ({"place": None}, "body.map: event.json wants the key place, and it is not in the map"),
        (
            {"place": {"lat": "52"}},
            'body.map.place.lat: event.json refuses this: "52" is not of type "number"',
        ),
        ({"place": [1]}, "body.map.place: event.json wants object here, this is a list"),
        ({"tags": {"a": 1}}, "body.map.tags: event.json wants array here, this is keys and values"),
        (
            {"tags": ["a", "abcd"]},
            'body.map.tags[1]: event.json refuses this: "abcd" is longer than 3 characters',
        ),
        ({"note": 1}, 'body.map.note: event.json refuses this: 1 is not of types "null", "string"'),
        ({"Kind": "a"}, "body.map.Kind: event.json has no key Kind here\n  hint: did you mean kind?"),
    ],
)
def test_what_can_never_fit_is_told_at_its_place(tested, changes, said):
    tree = {key: value for key, value in {**GOOD, **changes}.items() if key != "place" or value is not None}
    (problem,) = put(tested, tree)
    assert problem.startswith("4:")
    assert said in problem


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [{"type": "array"}, {"required": ["z"]}]},
        {"$ref": "#/$defs/none", "$defs": {"none": True}},
        {"$ref": "#"},
        {"if": {}, "then": {"type": "array"}},
        {"properties": {"kind": {"$schema": "x", "minimum": 5}}},
    ],
)
def test_what_cannot_be_known_is_not_told(tested, schema):
    assert put(tested, GOOD, schema) == []


def test_patterns_at_which_python_would_look_for_ever_end(tested):
    many = "a" * 40 + "b"
    schema = {
        "properties": {"k": {"pattern": "^(a+)+$"}},
        "patternProperties": {"^(a|aa)+$": {}, "^(b+)+$": {}},
        "additionalProperties": False,
    }
    refused, unknown = put(tested, {"k": many, many: 1, "b": 1}, schema)
    assert f'body.map.k: event.json refuses this: "{many}" does not match "^(a+)+$"' in refused
    assert f"body.map.{many}: event.json has no key {many} here" in unknown


def test_a_null_that_is_left_out_is_not_refused(tested):
    schema = {"properties": {"note": {"type": "string"}}}
    assert len(put(tested, GOOD, schema)) == 1
    assert put(tested, GOOD, schema, ", nulls: drop") == []


def test_the_type_of_an_expression_is_told_where_a_file_shows_it(tested, call, tmp_path):
    data = tmp_path / "a.csv"
    data.write_text("id,lat\nx,52\n")
    assert put(tested, GOOD, source="settle: 0s", path=data) == []  # not known without looking at the file
    code, _, err = call("validate", tested.config, "--no-secrets")
    assert code == 78
    assert "one.yaml:4:" in err
    assert (
        "body.map.place.lat: =lat: event.json wants number here, this is string\n"
        "  hint: give the column its type (`types` of the source), or cast it: =CAST(… AS DOUBLE)\n"
    ) in err
    assert put(tested, GOOD, path=data) == []
    assert call("validate", tested.config, "--no-secrets")[0] == 0
