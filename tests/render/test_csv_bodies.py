"""CSV bodies, read back by Python's csv."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.model import Batch, CsvBody
from tests.support.rendering import bodies, drafts, make_job, render, template, tree
from tests.support.values import PARQUET, parquet_rows, plain, quick, text, write_parquet


def write_csv(path, rows):
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(["a", "b"])
    writer.writerows(rows)
    path.write_text(out.getvalue(), encoding="utf-8", newline="")


def read(body, delimiter=","):
    return list(csv.reader(io.StringIO(body.decode(), newline=""), delimiter=delimiter, strict=True))


@quick
@given(
    rows=st.lists(st.tuples(text, text), min_size=1, max_size=20),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    quoting=st.sampled_from(["minimal", "all"]),
    size=st.integers(1, 7),
)
def test_any_text_comes_back(tmp_path, rows, delimiter, quoting, size):
    path = tmp_path / "x.csv"
    write_csv(path, rows)
    body = CsvBody(delimiter=delimiter, quoting=quoting)
    found = bodies(render(make_job("csv", path, body=body, batch=Batch(records=size)), path))
    assert all(read(one, delimiter)[0] == ["a", "b"] for one in found)
    assert [row for one in found for row in read(one, delimiter)[1:]] == [list(row) for row in rows]


@quick
@given(rows=st.lists(parquet_rows, min_size=1, max_size=8), quoting=st.sampled_from(["minimal", "all"]))
def test_values_of_every_type_come_back(tmp_path, rows, quoting):
    path = tmp_path / "x.parquet"
    write_parquet(path, rows)
    (body,) = bodies(render(make_job("parquet", path, body=CsvBody(quoting=quoting)), path))
    header, *lines = read(body)
    assert header == PARQUET.names
    flat = [name for name in header if name not in ("l", "m")]
    for line, row in zip(lines, rows, strict=True):
        fields = dict(zip(header, line, strict=True))
        assert [plain(row[name]) or "" for name in flat] == [fields[name] for name in flat]
        for name in ("l", "m"):
            assert json.loads(fields[name] or "null") == finite(row[name])


def finite(value):
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def test_columns_have_the_names_of_the_map(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a\n1\n")
    body = CsvBody(
        map=tree({"trip, ID": "=a", "b": None, "c": "", "d": {"x": ["=a", 2]}, "e": 'q"', "f": True})
    )
    assert bodies(render(make_job("csv", path, body=body), path)) == [
        b'"trip, ID",b,c,d,e,f\r\n1,,"","{""x"":[""1"",2]}","q""",true\r\n'
    ]


def test_null_and_empty_text_differ_and_no_record_is_a_blank_line(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('a,b\n,""\n')
    assert bodies(render(make_job("csv", path, body=CsvBody(header=False)), path)) == [b',""\r\n']
    everything = CsvBody(header=False, quoting="all")
    assert bodies(render(make_job("csv", path, body=everything), path)) == [b',""\r\n']
    alone = CsvBody(header=False, map=tree({"a": "=a"}))
    assert bodies(render(make_job("csv", path, body=alone), path)) == [b'""\r\n']


def test_json_records_give_their_keys_in_the_order_in_which_they_are_met(tmp_path):
    path = tmp_path / "x.ndjson"
    path.write_text('{"z":1.50,"a":"x, y"}\n{"a":null,"ID":{"k":[1]},"id":true}\n')
    assert bodies(render(make_job("ndjson", path, body=CsvBody()), path)) == [
        b'z,a,ID,id\r\n1.5,"x, y",,\r\n,,"{""k"":[1]}",true\r\n'
    ]


def test_each_request_of_a_record_has_its_header_path_and_headers(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id\n1\n2\n")
    target = {"path": template("/d/", "=id"), "headers": (("X-Id", template("=id")),)}
    job = make_job("csv", path, body=CsvBody(per="record"), target=target)
    assert bodies(render(job, path)) == [b"id\r\n1\r\n", b"id\r\n2\r\n"]
    assert [draft.path for draft in drafts(render(job, path))] == ["/d/1", "/d/2"]
    assert drafts(render(job, path))[0].content_type == "text/csv; charset=utf-8"


def test_the_header_counts_in_the_size_of_a_batch(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("name\n" + "abc\n" * 10)
    limit = len("name\r\n") + 3 * len("abc\r\n")
    chunks = render(make_job("csv", path, body=CsvBody(), batch=Batch(bytes=limit)), path)
    assert [draft.size for draft in drafts(chunks)] == [limit] * 3 + [limit - 10]


@pytest.mark.parametrize("quoting", ["minimal", "all"])
def test_what_was_written_is_read_by_our_own_source_as_it_was(tmp_path, quoting):
    path = tmp_path / "x.csv"
    path.write_text('a,b\n,""\n1,"x\n""y"""\n')
    job = make_job("csv", path, body=CsvBody(quoting=quoting))
    again = tmp_path / "y.csv"
    again.write_bytes(b"".join(bodies(render(job, path))))
    plain_job = {"map": {"a": "=a", "b": "=b"}}
    assert bodies(render(make_job("csv", path, **plain_job), path)) == bodies(
        render(make_job("csv", again, **plain_job), again)
    )
