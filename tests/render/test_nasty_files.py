"""Nasty data in every kind of file: a valid body with all of it, or one clear error that says where."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agent.config.model import AgentSettings, Batch, CsvBody
from agent.errors import AgentError
from tests.support.rendering import documents, make_job

BIG = "x" * 10_000_000
TEXTS = {
    "quotes": '"a" said \'b\', "',
    "newlines": "a\nb\r\nc\rd\u2028e",
    "control characters": "\x01\x02\x1f\x7f\x85\t",
    "beyond 16 bits": "🚚 \U0010ffff",
    "backslashes": "\\u0000 \\ \\n",
    "what looks like a formula": "=1+1",
    "what looks like JSON": '{"a": NaN, "b": [1,]}',
    "10 MB": BIG,
}
# kind, what the file holds → the records, or what the error says
FILES = [
    ("csv", b"id,v\n1,\xff\n", r"nasty\.csv line 2: not UTF-8"),
    ("csv", b"id,v\n1,a\x00b\n", [{"id": "1", "v": "a\x00b"}]),
    ("csv", b"id,id\n1,2\n", r"nasty\.csv: the column 'id' is there twice"),
    ("csv", b'id,v\n1,"a\n', r"nasty\.csv line 2: a quote that does not end"),
    ("csv", b"id,v\n1,a,b\n", r"nasty\.csv line 2: 3 fields instead of 2"),
    ("csv", b"", r"nasty\.csv is empty: there is no header"),
    ("csv", b"id,v\n", []),
    ("ndjson", b'{"v": "\xff"}\n', r"nasty\.ndjson line 1: not UTF-8"),
    (
        "ndjson",
        b'{"v": "\\ud800"}\n',
        r"nasty\.ndjson record 1 \(line 1\): not valid JSON, or half of a surr",
    ),
    ("ndjson", b'{"v": NaN}\n', r"nasty\.ndjson record 1 \(line 1\): NaN, Infinity and trailing commas"),
    ("ndjson", b'{"v": 1\n', r"nasty\.ndjson record 1 \(line 1\): not valid JSON"),
    ("ndjson", b"[1]\n", r"nasty\.ndjson record 1 \(line 1\): not a JSON object"),
    ("ndjson", b'{"v": 12345678901234567890123456789012345678}\n', None),
    ("json", b'[{"v": 1}, {"v": 2]', r"nasty\.json "),
    ("json", b"", r"nasty\.json is empty"),
    ("json", b'"text"', r"nasty\.json holds neither an array nor an object"),
    ("parquet", b"PAR1 no parquet PAR1", r"nasty\.parquet: "),
    ("parquet", b"", r"nasty\.parquet: "),
]


def write(kind, path, records):
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    elif kind == "csv":
        quoted = [['"' + value.replace('"', '""') + '"' for value in record.values()] for record in records]
        text = "".join(",".join(row) + "\n" for row in [list(records[0]), *quoted])
        path.write_bytes(text.encode())
    else:
        lines = [json.dumps(record, ensure_ascii=False) for record in records]
        path.write_text("[" + ",".join(lines) + "]" if kind == "json" else "\n".join(lines) + "\n")


@pytest.mark.parametrize("what", TEXTS)
@pytest.mark.parametrize("kind", ["csv", "ndjson", "json", "parquet"])
def test_any_text_arrives_as_it_is(tmp_path, kind, what):
    path = tmp_path / f"nasty.{kind}"
    records = [{"id": "1", "v": TEXTS[what]}, {"id": "2", "v": "good"}]
    write(kind, path, records)
    job = make_job(kind, path, batch=Batch(bytes=100_000_000))
    assert documents(job, path, memory=AgentSettings().collect_memory) == records


@pytest.mark.parametrize(("kind", "data", "told"), FILES)
def test_a_nasty_file_gives_its_records_or_says_where_it_is_wrong(tmp_path, kind, data, told):
    path = tmp_path / f"nasty.{kind}"
    path.write_bytes(data)
    job = make_job(kind, path)
    if not isinstance(told, str):
        assert documents(job, path) == (json.loads(b"[" + data + b"]") if told is None else told)
        return
    with pytest.raises(AgentError, match=told):
        documents(job, path)


@pytest.mark.parametrize("length", [4, 8, 100, 1000])
def test_a_parquet_file_with_a_damaged_end_is_named(tmp_path, length):
    path = tmp_path / "nasty.parquet"
    write("parquet", path, [{"id": str(number)} for number in range(1000)])
    whole = path.read_bytes()
    for damaged in (whole[:-length], whole[:-length] + bytes(length)):
        path.write_bytes(damaged)
        with pytest.raises(AgentError, match=r"^nasty\.parquet"):
            documents(make_job("parquet", path), path)


@pytest.mark.parametrize(
    ("type_", "text", "sent"),
    [
        (
            "DECIMAL(38,10)",
            "1234567890123456789012345678.0123456789",
            b"1234567890123456789012345678.0123456789",
        ),
        ("DOUBLE", "nan", b"null"),
        ("DOUBLE", "-inf", b"null"),
        ("TIMESTAMPTZ", "9999-12-31T23:59:59Z", b'"9999-12-31T23:59:59Z"'),
        ("DATE", "0044-03-15 (BC)", b'"0044-03-15 (BC)"'),
        ("TIMESTAMP", "2026-03-29T02:30:00", b'"2026-03-29T02:30:00"'),
        # in the hour that the summer skips, as if it were not skipped
        ("TIMESTAMPTZ", "2026-03-29T02:30:00", b'"2026-03-29T01:30:00Z"'),
    ],
)
def test_values_at_the_edge_of_their_type_keep_all_that_they_say(tmp_path, type_, text, sent):
    from tests.support.rendering import bodies, render  # noqa: PLC0415

    path = tmp_path / "nasty.csv"
    path.write_text(f"v\n{text}\n")
    job = make_job("csv", path, types={"v": type_}, timezone="Europe/Amsterdam", per="record")
    assert bodies(render(job, path)) == [b'{"v":' + sent + b"}"]


@pytest.mark.parametrize("body", ["json", "csv"])
def test_a_naive_time_in_a_year_that_rfc_3339_has_not_is_a_bad_record(tmp_path, body):
    from tests.support.rendering import render  # noqa: PLC0415

    path = tmp_path / "nasty.csv"
    path.write_text("v\n0044-03-15 (BC) 00:00:00\n")
    job = make_job("csv", path, types={"v": "TIMESTAMP"})
    job = job if body == "json" else replace(job, body=CsvBody())
    with pytest.raises(AgentError, match=r"record 1\b"):
        list(render(job, path))


@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet"])
def test_a_column_that_is_gone_since_the_last_file_is_named_with_those_there_are(tmp_path, kind):
    path = tmp_path / f"nasty.{kind}"
    job = make_job(kind, path, map={"id": "=id", "v": "=v"})
    write(kind, path, [{"id": "1", "v": "x"}])
    assert documents(job, path) == [{"id": "1", "v": "x"}]
    write(kind, path, [{"id": "1", "w": "x"}])
    with pytest.raises(AgentError, match=r"there is no column v\b"):
        documents(job, path)
