"""A JSON Schema as a contract: what is a schema, where its files come from, what is wrong with a document."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agent.contracts import ContractError, compiled, gather


def files(tmp_path, **schemas):
    for name, schema in schemas.items():
        (tmp_path / f"{name}.json").write_text(schema if isinstance(schema, str) else json.dumps(schema))
    return gather("json", str(tmp_path / "main.json"), read)


def read(path):
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - the path is a text
            return file.read()
    except OSError:
        raise ContractError(f"{path} is not there") from None


def checker(tmp_path, **schemas):
    return compiled("json", files(tmp_path, **schemas))


def test_what_is_wrong_with_a_document_is_told_with_its_places(tmp_path):
    check = checker(
        tmp_path,
        main={
            "required": ["id"],
            "properties": {
                "a": {"items": {"properties": {"x y": {"type": "number"}}}},
                "when": {"format": "date-time"},
            },
        },
    )
    assert check.reason('{"id": 1, "a": [{"x y": 2}], "when": "2026-10-27T09:00:31Z"}') == ""
    assert check.reason('{"a": [{}, {"x y": "z"}], "when": "soon"}') == (
        '"id" is a required property; a[1]."x y": "z" is not of type "number"; when: "soon" is not a "date-time"'
    )


def test_a_key_of_the_documents_may_have_the_name_of_a_keyword(tmp_path):
    check = checker(
        tmp_path,
        main={"properties": {"default": {"$ref": "other.json"}, "const": {"$ref": "other.json"}}},
        other={"type": "string"},
    )
    assert check.reason('{"default": "a", "const": 1}') == 'const: 1 is not of type "string"'


def test_a_reference_that_is_only_a_value_names_no_file(tmp_path):
    check = checker(tmp_path, main={"enum": [{"$ref": "none.json"}], "default": {"$ref": "none.json"}})
    assert check.reason('{"$ref": "none.json"}') == ""


def test_a_pattern_that_is_none_is_told_shortly(tmp_path):
    with pytest.raises(ContractError) as told:
        checker(tmp_path, main={"pattern": "(" * 100_000})
    assert told.value.message.startswith('main.json: is no JSON Schema: pattern: "((((')
    assert len(told.value.message) < 500


def test_only_the_first_three_things_are_told_and_long_values_are_cut(tmp_path):
    check = checker(tmp_path, main={"additionalProperties": {"type": "number"}})
    told = check.reason(json.dumps({str(number): "x" * 5000 for number in range(5)}))
    assert told.count(";") == 3
    assert told.endswith("; …")
    assert len(told) < 1000


@pytest.mark.parametrize(
    ("document", "said"),
    [('["\\ud800"]', "lone surrogate"), ("[" * 5000 + "]" * 5000, "cannot be checked"), ("{", "cannot be")],
)
def test_a_document_that_cannot_be_checked_is_not_good(tmp_path, document, said):
    check = checker(tmp_path, main={"type": ["object", "array"], "items": {"pattern": "^a$"}})
    assert said in check.reason(document)
    assert not check.all_good([document])


@pytest.mark.parametrize("name", ["common.json", "sub/../common.json"])
@pytest.mark.parametrize("own", [{}, {"$id": "https://example.com/schemas/main.json"}])
def test_a_schema_may_name_files_beside_it(tmp_path, name, own):
    check = checker(
        tmp_path,
        main={**own, "properties": {"a": {"$ref": f"{name}#/$defs/a"}}},
        common={"$defs": {"a": {"$ref": "deep.json"}}},
        deep={"type": "integer"},
    )
    assert check.reason('{"a": 1}') == ""
    assert check.reason('{"a": "x"}') == 'a: "x" is not of type "integer"'


def test_a_schema_may_name_another_one_by_what_that_calls_itself(tmp_path):
    check = checker(
        tmp_path,
        main={"allOf": [{"$ref": "urn:example:a"}, {"$ref": "a.json"}]},
        a={"$id": "urn:example:a", "type": "integer"},
    )
    assert check.reason('"x"').startswith('"x" is not of type "integer"')


def test_all_files_of_a_schema_are_found_also_where_they_name_each_other(tmp_path):
    found = files(tmp_path, main={"$ref": "b.json"}, b={"$ref": "main.json#/$defs/x"})
    assert [path.rpartition("/")[2] for path, _ in found] == ["main.json", "b.json"]


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("{", "main.json:1:2: is no JSON"),
        ("[1]", "is no JSON Schema: it holds neither an object"),
        ({"type": "strin"}, 'is no JSON Schema: type: "strin" is not valid'),
        ({"properties": {"a": {"pattern": "("}}}, "properties.a.pattern: "),
        ({"$ref": "#/$defs/none"}, "is no JSON Schema: Pointer '/$defs/none' does not exist"),
        ({"$ref": "https://example.com/x.json"}, "names https://example.com/x.json, which is no file here"),
        ({"$ref": "none.json"}, "none.json is not there"),
        ({"$schema": "https://example.com/draft"}, "Unknown meta-schema"),
    ],
)
def test_what_is_no_schema_is_told(tmp_path, schema, said):
    with pytest.raises(ContractError) as told:
        checker(tmp_path, main=schema)
    assert said in told.value.message


def test_older_drafts_are_taken_as_what_they_say_they_are(tmp_path):
    draft_4 = {"$schema": "http://json-schema.org/draft-04/schema#", "maximum": 5, "exclusiveMaximum": True}
    assert checker(tmp_path, main=draft_4).reason("5")
    assert checker(tmp_path, main={**draft_4, "exclusiveMaximum": False}).reason("5") == ""


SCHEMAS = st.sampled_from(
    [
        {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer", "minimum": 0}}},
        {"type": "array", "items": {"enum": [1, "x", None]}, "maxItems": 2},
        {"anyOf": [{"type": "string", "minLength": 2}, {"const": 1}]},
        {"additionalProperties": False, "properties": {"b": {"type": "boolean"}}},
    ]
)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x", "yy"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)


@given(SCHEMAS, st.lists(DOCUMENTS, max_size=4))
def test_it_agrees_with_an_independent_validator(tmp_path_factory, schema, documents):
    path = tmp_path_factory.getbasetemp() / "main.json"
    path.write_text(json.dumps(schema))
    check = compiled("json", gather("json", str(path), read))
    good = [Draft202012Validator(schema).is_valid(document) for document in documents]
    texts = [json.dumps(document) for document in documents]
    assert [check.reason(text) == "" for text in texts] == good
    assert check.all_good(texts) == all(good)
