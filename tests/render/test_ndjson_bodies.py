"""NDJSON: each line is one JSON text, whatever the data holds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.model import Batch, NdjsonBody
from tests.support.rendering import bodies, drafts, make_job, render, strict, template, tree
from tests.support.values import parquet_rows, quick, text, write_parquet


def lines(job, path):
    found = bodies(render(job, path))
    assert all(body.endswith(b"\n") for body in found)
    return [strict(line) for body in found for line in body.decode().removesuffix("\n").split("\n")]


@quick
@given(
    rows=st.lists(
        st.dictionaries(text, text | st.lists(text, max_size=2), max_size=3), min_size=1, max_size=9
    ),
    indent=st.sampled_from([None, 2]),
    size=st.integers(1, 4),
)
def test_documents_that_are_laid_out_in_lines_become_one_line_each(tmp_path, rows, indent, size):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(rows, indent=indent), encoding="utf-8", newline="")
    job = make_job("json", path, body=NdjsonBody(), batch=Batch(records=size))
    assert lines(job, path) == rows


@quick
@given(rows=st.lists(parquet_rows, min_size=1, max_size=8), drop=st.booleans())
def test_a_line_is_what_the_record_is_in_a_json_body(tmp_path, rows, drop):
    path = tmp_path / "x.parquet"
    write_parquet(path, rows)
    nulls = "drop" if drop else "keep"
    (array,) = bodies(render(make_job("parquet", path, nulls=nulls), path))
    (body,) = bodies(render(make_job("parquet", path, body=NdjsonBody(nulls=nulls)), path))
    assert b"[" + b",".join(body.removesuffix(b"\n").split(b"\n")) + b"]" == array


def test_json_text_of_an_expression_stays_in_its_line(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('a\n"{""k"":\r\n  [1,\n2]}"\n')
    body = NdjsonBody(map=tree({"a": "=CAST(a AS JSON)"}))
    assert lines(make_job("csv", path, body=body), path) == [{"a": {"k": [1, 2]}}]


def test_a_request_per_record_is_one_line(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id\n1\n2\n")
    target = {"path": template("/d/", "=id")}
    job = make_job("csv", path, body=NdjsonBody(per="record"), target=target)
    assert bodies(render(job, path)) == [b'{"id":"1"}\n', b'{"id":"2"}\n']
    assert [draft.path for draft in drafts(render(job, path))] == ["/d/1", "/d/2"]
    assert drafts(render(job, path))[0].content_type == "application/x-ndjson"


@pytest.mark.parametrize("spare", [0, 1, 10])
def test_the_last_line_feed_counts_in_the_size_of_a_batch(tmp_path, spare):
    path = tmp_path / "x.csv"
    path.write_text("a\n" + "x\n" * 7)
    one = len('{"a":"x"}\n')
    job = make_job("csv", path, body=NdjsonBody(), batch=Batch(bytes=2 * one + spare - (spare == 10)))
    assert [draft.records for draft in drafts(render(job, path))] == [2, 2, 2, 1]
