"""`wrap`: a document around the list of records, computed once per run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.check import check_job
from agent.config.model import Batch, JsonBody
from agent.errors import SourceError
from tests.support.rendering import bodies, context, listed, make_job, render, strict, tree
from tests.support.values import quick, text


def wrapped(wrap, path, *, batch=None, **options):
    return make_job("csv", path, body=JsonBody(wrap=tree(wrap, "body.wrap"), **options), batch=batch)


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "x.csv"
    found.write_text("a\n1\n2\n3\n")
    return found


@pytest.mark.parametrize(
    ("wrap", "nulls", "expected"),
    [
        ({"events": "=records"}, "keep", b'{"events":[{"a":"1"},{"a":"2"},{"a":"3"}]}'),
        ("=records", "keep", b'[{"a":"1"},{"a":"2"},{"a":"3"}]'),
        (["=records", 5], "keep", b'[[{"a":"1"},{"a":"2"},{"a":"3"}],5]'),
        (
            {"n": None, "of": {"x": ["=1 + 1", None, "=NULL"]}, "r": "=records", "z": "=NULL::INT"},
            "keep",
            b'{"n":null,"of":{"x":[2,null,null]},"r":[{"a":"1"},{"a":"2"},{"a":"3"}],"z":null}',
        ),
        (
            {"n": None, "of": {"x": ["=1 + 1", None]}, "r": "=records", "z": "=NULL::INT"},
            "drop",
            b'{"of":{"x":[2,null]},"r":[{"a":"1"},{"a":"2"},{"a":"3"}]}',
        ),
        (
            {"r": {"in": "=records"}, "t": "=TIMESTAMPTZ '2026-01-01 00:00:00+01'", "s": "==x"},
            "keep",
            b'{"r":{"in":[{"a":"1"},{"a":"2"},{"a":"3"}]},"t":"2025-12-31T23:00:00Z","s":"=x"}',
        ),
    ],
)
def test_the_records_stand_where_records_is_written(path, wrap, nulls, expected):
    assert bodies(render(wrapped(wrap, path, nulls=nulls), path)) == [expected]


def test_all_batches_of_a_run_and_all_of_its_leaves_have_the_same_moment(path):
    job = wrapped(
        {"r": "=records", "at": "=now()", "again": "=now()", "id": "=uuid()"}, path, batch=Batch(records=1)
    )
    before = datetime.now(UTC)
    found = [strict(body) for body in bodies(render(job, path))]
    after = datetime.now(UTC)
    assert [one["r"] for one in found] == [[{"a": "1"}], [{"a": "2"}], [{"a": "3"}]]
    assert len({(one["at"], one["again"], one["id"]) for one in found}) == 1
    assert found[0]["at"] == found[0]["again"]
    assert before <= datetime.fromisoformat(found[0]["at"]) <= after


@quick
@given(key=text, value=text | st.integers() | st.none())
def test_any_constant_can_stand_around_the_records(tmp_path, key, value):
    path = tmp_path / "x.csv"
    path.write_text("a\n1\n")
    said = "=" + value if isinstance(value, str) and value.startswith("=") else value
    (body,) = bodies(render(wrapped({key: said, key + "r": "=records"}, path), path))
    assert strict(body) == {key: value, key + "r": [{"a": "1"}]}


def test_the_document_around_counts_in_the_size_of_a_batch(path):
    limit = len(b'{"events":[{"a":"1"},{"a":"2"}]}')
    found = bodies(render(wrapped({"events": "=records"}, path, batch=Batch(bytes=limit)), path))
    assert [len(strict(body)["events"]) for body in found] == [2, 1]
    found = bodies(render(wrapped({"events": "=records"}, path, batch=Batch(bytes=limit - 1)), path))
    assert [len(strict(body)["events"]) for body in found] == [1, 1, 1]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("a", "=a: there is no column a"),
        ("len(records)", "=len(records): there is no column records"),
        ("1 +", "=1 +: syntax error"),
        ("count(*)", "=count(*):"),
        ("CAST('x' AS INTEGER)", "cannot be computed"),
    ],
)
def test_what_cannot_be_computed_once_is_told_before_anything_is_sent(path, sql, message):
    job = wrapped({"r": "=records", "x": f"={sql}"}, path)
    with pytest.raises(SourceError) as caught:
        render(job, path)
    assert message in str(caught.value)
    assert "jobs/j.yaml:7:9: body.wrap.x" in str(caught.value)


def test_check_finds_a_wrong_wrap_without_a_file(tmp_path, path):
    job = wrapped({"r": "=records", "x": "=a"}, path)
    nowhere = replace(job, source=replace(job.source, files=replace(job.source.files, paths=("/nowhere/*",))))
    (problem,) = check_job(nowhere, context(tmp_path))
    assert problem.message == "=a: there is no column a"
    assert problem.hint.startswith("`wrap` is made once per run")
    assert listed(path).path == path
