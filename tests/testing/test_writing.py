"""`dry-run --as-test` writes a test that passes when it is pasted."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.config.build_tests import value_of
from agent.config.document import scan
from agent.config.view import Findings, View
from agent.testing.writing import _under
from agent.testing.yaml_text import block, flow, text_block, writable
from tests.support.job_tests import HEAD, TARGET, Trials

TEXT = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    [
        "yes",
        "012",
        "1:30",
        "2024-01-01",
        "null",
        "~",
        "=x",
        "a: b",
        "- x",
        "#",
        "{",
        "é",
        "\u2028",
        "\ufeff",
        "\x85",
        "1e5",
    ]
)
VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(1 - 10**17, 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def read_back(lines):
    document = scan(("\n".join(lines) + "\n").encode(), "x.yaml")
    assert not document.problems, document.problems
    found = Findings()
    view = View.of(document.root, "x.yaml", found, None)
    value = value_of(view.node("v"), view.at("v"), found)
    assert not found.problems, found.problems
    return value


@given(VALUE.filter(lambda value: value != ""))
@example([[[]], {"a": [{"b": "x" * 200}]}])
@example({"a": {"b": {"c": "x" * 60, "d": "y" * 23}}})  # only the innermost fits into a line
def test_every_value_is_read_back_as_it_was_written(value):
    assert read_back([f"v: {flow(value)}"]) == value
    assert read_back(["v:", *block(value, 2)]) == value


@given(TEXT)
@example("\n")
@example("a\n\nb\n")
@example("\na\n")
@example("a \n")
@example(" a\n")
@example("a\n\n")
@example("a\r\nb\n")
def test_a_text_of_lines_is_read_back_as_it_was_written(text):
    first, *rest = text_block(text, 4)
    assert read_back([f"v: {first}", *rest]) == text


def test_a_body_of_one_key_whose_value_fills_a_line_can_be_written():
    assert list(_under("json", {"a": {"b": "x" * 84, "c": 1}})) == [
        "json:",
        f"  a: {{b: {'x' * 84}, c: 1}}",
    ]


def test_what_cannot_be_written_is_known():
    assert [writable(value) for value in ("\ud800", float("inf"), 10**18, 10**17, "é", None)] == [
        *(False, False, False),
        *(True, True, True),
    ]


SOURCES = {
    "csv": "source: {type: csv, path: PATH, delimiter: ';', settle: 0s, on_bad_row: ON_BAD, types: {n: DOUBLE}}\n",
    "ndjson": "source: {type: ndjson, path: PATH, settle: 0s, on_bad_row: ON_BAD, types: {n: DOUBLE}}\n",
    "json": "source: {type: json, path: PATH, settle: 0s, on_bad_row: ON_BAD, types: {n: DOUBLE}}\n",
}
BODY = "body: {format: json, per: PER, map: {when: =now(), id: =id, n: {v: =n}, list: [=n, x], late: [=now()]}}\n"
ROWS = st.lists(
    st.fixed_dictionaries(
        {"id": TEXT.filter(lambda t: "\0" not in t), "n": st.sampled_from(["1", "", "1e3", "x", "0.1"])}
    ),
    min_size=1,
    max_size=4,
)


def write(kind, path, rows):
    if kind == "csv":
        out = io.StringIO()
        writer = csv.writer(out, delimiter=";", quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerows([["id", "n"], *([row["id"], row["n"]] for row in rows)])
        path.write_text(out.getvalue(), encoding="utf-8", newline="")
    elif kind == "json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    return Trials(tmp_path_factory.mktemp("writing"))


@pytest.mark.parametrize("kind", SOURCES)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, per=st.sampled_from(["record", "batch"]), on_bad=st.sampled_from(["fail", "dead_letter"]))
def test_a_written_test_passes_when_it_is_pasted(  # noqa: PLR0917 - a table of cases
    tested, call, kind, rows, per, on_bad
):
    data = tested.config.parent / f"data.{kind}"
    write(kind, data, rows)
    job = (SOURCES[kind] + BODY).replace("PATH", str(data)).replace("PER", per).replace("ON_BAD", on_bad)
    tested.put(job)
    code, out, err = call("dry-run", "one", "--config", tested.config, "--as-test", "--limit", "9", "--all")
    assert (code, err) == (0, "")
    (tested.config / "jobs/one.yaml").write_text(HEAD + job + TARGET + out, encoding="utf-8")
    code, out, _ = call("test", "--config", tested.config)
    assert (code, out.splitlines()[-1]) == (0, "ok: 1 test of 1 job"), out


def test_what_differs_from_run_to_run_is_not_expected(tested, call, tmp_path):
    data = tmp_path / "a.csv"
    write("csv", data, [{"id": "a", "n": "1"}])
    tested.put(
        (SOURCES["csv"] + BODY).replace("PATH", str(data)).replace("PER", "record").replace("ON_BAD", "fail")
    )
    _, out, _ = call("dry-run", "one", "--config", tested.config, "--as-test")
    assert (
        out
        == f"""\
# paste into {tested.config}/jobs/one.yaml; where it has `tests:` already, without the first line
tests:
  - name: the first 1 of a.csv
    given:
      - {{id: a, n: "1"}}
    expect:
      - json: {{id: a, n: {{v: 1.0}}, list: [1.0, x]}}
"""
    )


def test_paths_headers_and_whole_files_are_expected_too(tested, call, tmp_path):
    data = tmp_path / "a.csv"
    write("csv", data, [{"id": "a b", "n": "1"}])
    source = SOURCES["csv"].replace("PATH", str(data)).replace("ON_BAD", "fail")
    tested.put(
        source + "body: {format: json, per: record}\n",
        target='target: {connection: open, path: "/d/{id}", headers: {X-Id: "{id}", X-Fixed: y1}}\n',
    )
    _, out, _ = call("dry-run", "one", "--config", tested.config, "--as-test")
    assert "      - path: /api/d/a%20b\n" not in out  # quoted: % begins no plain text
    assert (
        '      - path: "/api/d/a%20b"\n        headers: {X-Id: a b}\n        json: {id: a b, n: 1.0}\n' in out
    )
    tested.put(
        f"source: {{type: file, path: {data}, settle: 0s}}\nbody: {{format: raw, content_type: text/csv}}\n"
    )
    _, out, _ = call("dry-run", "one", "--config", tested.config, "--as-test")
    assert '      - text: |\n          "id";"n"\n          "a b";"1"\n' in out
    assert f'    given: {{file: "{data}"}}\n' in out


def test_what_yaml_cannot_hold_is_not_expected(tested, call, tmp_path):
    data = tmp_path / "a.json"
    data.write_text('[{"id": "a", "sub": {"": 1, "b": 100000000000000000000, "d": 1}}]')
    tested.put(
        f"source: {{type: json, path: {data}, settle: 0s}}\nbody: {{format: json, map: {{x: =sub}}}}\n"
    )
    code, _, err = call("dry-run", "one", "--config", tested.config, "--as-test")
    assert code == 1
    assert "these records cannot be written as YAML: 100000000000000000000 has too many digits" in err
    body = "body: {format: json, map: {a b: \"=MAP {'': id}\", big: =100000000000000000000, c: =id}}\n"
    write("csv", data.with_suffix(".csv"), [{"id": "a", "n": "1"}])
    tested.put(SOURCES["csv"].replace("PATH", f"{tmp_path}/a.csv").replace("ON_BAD", "fail") + body)
    _, out, _ = call("dry-run", "one", "--config", tested.config, "--as-test")
    assert '      - json: [{a b: {"": a}, c: a}]\n' in out


def test_where_there_is_nothing_to_read_it_is_said(tested, call, tmp_path):
    tested.put(
        SOURCES["csv"].replace("PATH", f"{tmp_path}/none").replace("ON_BAD", "fail")
        + BODY.replace("PER", "record")
    )
    code, _, err = call("dry-run", "one", "--config", tested.config, "--as-test")
    assert code == 1
    assert "nothing to send: no settled file matches" in err
