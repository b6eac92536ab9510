"""Whatever the data holds, every body is strict JSON and equals the expected document."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import math
import os
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agent.config.model import Batch
from agent.errors import RecordError
from tests.support.rendering import bodies, documents, drafts, make_job, render, strict

# Without the phases that explain and shrink: on a failure they would run into the test's timeout, and the
# example as it was found says enough. Locally, or at night: HYPOTHESIS_EXAMPLES=500.
quick = settings(
    max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    derandomize=True,
)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
no_breaks = text.filter(lambda value: "\r" not in value and "\n" not in value)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
records = st.lists(st.fixed_dictionaries({"a": values, "b": values}), min_size=1, max_size=12)


def write_csv(path, rows):
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(["a", "b"])
    writer.writerows(rows)
    path.write_text(out.getvalue(), encoding="utf-8", newline="")


def cleaned(value):
    """What a JSON number becomes when it is read: beyond 2^64 DuckDB and Python agree on doubles."""
    return json.loads(json.dumps(value))


@quick
@given(rows=st.lists(st.tuples(text, text), min_size=1, max_size=30), size=st.integers(1, 7))
def test_csv_text_arrives_as_it_is(tmp_path, rows, size):
    path = tmp_path / "x.csv"
    write_csv(path, rows)
    expected = [{"a": a, "b": b} for a, b in rows]
    assert documents(make_job("csv", path, batch=Batch(records=size)), path) == expected
    mapped = make_job("csv", path, map={"": ["=a", 1, {"b": "=b", 'é"\n': None}], "B": "=b", "b": "x"})
    assert documents(mapped, path) == [
        {"": [a, 1, {"b": b, 'é"\n': None}], "B": b, "b": "x"} for a, b in rows
    ]


@quick
@given(rows=records, ending=st.sampled_from(["\n", "\r\n", "\n\n"]), mark=st.booleans(), ascii_=st.booleans())
def test_ndjson_documents_arrive_as_they_are(tmp_path, rows, ending, mark, ascii_):
    path = tmp_path / "x.ndjson"
    lines = ending.join(json.dumps(row, ensure_ascii=ascii_) for row in rows)
    path.write_text(("\ufeff" if mark else "") + lines, encoding="utf-8", newline="")
    assert documents(make_job("ndjson", path), path) == cleaned(rows)
    mapped = make_job("ndjson", path, map={"x": "=b", "y": ["=a"]})
    assert documents(mapped, path) == [{"x": row["b"], "y": [row["a"]]} for row in cleaned(rows)]


@quick
@given(rows=records, mark=st.booleans(), indent=st.sampled_from([None, 2]))
def test_json_documents_arrive_as_they_are(tmp_path, rows, mark, indent):
    path = tmp_path / "x.json"
    path.write_text(
        ("\ufeff" if mark else "") + json.dumps(rows, indent=indent), encoding="utf-8", newline=""
    )
    assert documents(make_job("json", path), path) == cleaned(rows)
    assert documents(make_job("json", path, map="=a"), path) == [row["a"] for row in cleaned(rows)]


@quick
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "d": st.none()
                | st.decimals(
                    allow_nan=False, allow_infinity=False, places=4, max_value=10**20, min_value=-(10**20)
                ),
                "f": st.none() | st.floats(),
                "s": st.none() | text,
                "b": st.none() | st.binary(max_size=9),
                "t": st.none() | st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)),  # noqa: DTZ001
                "day": st.none() | st.dates(),
                "l": st.none()
                | st.lists(
                    st.none() | st.fixed_dictionaries({"x": st.none() | st.floats(), "y": text}), max_size=3
                ),
                "m": st.none() | st.dictionaries(text, st.none() | st.floats(), max_size=3),
            }
        ),
        min_size=1,
        max_size=10,
    ),
    drop=st.booleans(),
)
def test_parquet_values_of_every_type_become_json(tmp_path, rows, drop):
    path = tmp_path / "x.parquet"
    schema = pa.schema(
        {
            "d": pa.decimal128(38, 4),
            "f": pa.float64(),
            "s": pa.string(),
            "b": pa.binary(),
            "t": pa.timestamp("us", "UTC"),
            "day": pa.date32(),
            "l": pa.list_(pa.struct({"x": pa.float64(), "y": pa.string()})),
            "m": pa.map_(pa.string(), pa.float64()),
        }
    )
    table = [row | {"m": None if row["m"] is None else list(row["m"].items())} for row in rows]
    pq.write_table(pa.Table.from_pylist(table, schema=schema), path)
    expected = [shown(row, drop=drop) for row in rows]
    nulls = "drop" if drop else "keep"
    assert documents(make_job("parquet", path, nulls=nulls), path) == expected
    everything = {name: f"={name}" for name in schema.names}
    assert documents(make_job("parquet", path, nulls=nulls, map=everything), path) == expected
    digits = [format(row["d"], "f") for row in rows if row["d"] is not None]
    sent = b"".join(bodies(render(make_job("parquet", path), path))).decode()
    assert all(f'"d":{number if Decimal(number) else "0.0000"}' in sent for number in digits)


@pytest.mark.parametrize("word", ["Inf", "NaN", "-Infinity", "x,]", "nan,}"])
@pytest.mark.parametrize("kind", ["ndjson", "json"])
def test_text_that_looks_like_no_json_is_text_all_the_same(tmp_path, kind, word):
    path = tmp_path / f"x.{kind}"
    path.write_text(json.dumps({"a": [None, {"b": 1}, word], word: {"c": word}}))
    assert documents(make_job(kind, path), path) == [{"a": [None, {"b": 1}, word], word: {"c": word}}]


def test_a_map_whose_values_are_all_null_stays_an_object_when_nulls_are_dropped(tmp_path):
    path = tmp_path / "x.parquet"
    maps = pa.array([None, [("a", None)], []], type=pa.map_(pa.string(), pa.float64()))
    pq.write_table(pa.table({"m": maps}), path)
    assert documents(make_job("parquet", path, nulls="drop"), path) == [{}, {"m": {}}, {"m": {}}]


def shown(value, *, drop):  # noqa: PLR0911
    if isinstance(value, dict):
        found = {key: shown(child, drop=drop) for key, child in value.items()}
        return {key: child for key, child in found.items() if child is not None} if drop else found
    if isinstance(value, list):
        return [shown(child, drop=drop) for child in value]
    if isinstance(value, datetime):
        return (
            value.replace(tzinfo=UTC).isoformat().replace("+00:00", "").rstrip("0").rstrip(".") + "Z"
            if value.microsecond
            else value.isoformat() + "Z"
        )
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return float(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


@quick
@given(value=st.text(max_size=10) | st.floats() | st.integers() | st.none() | st.booleans())
def test_any_constant_can_stand_in_a_map(tmp_path, value):
    path = tmp_path / "x.csv"
    path.write_text("a\n1\n")
    if isinstance(value, str) and value.startswith("="):
        value = "=" + value
    wanted = value[1:] if isinstance(value, str) and value.startswith("=") else value
    if isinstance(wanted, float) and not math.isfinite(wanted):
        wanted = None
    assert documents(make_job("csv", path, map={"k": value, "a": "=a"}), path) == [{"k": wanted, "a": "1"}]


@quick
@given(
    lengths=st.lists(st.integers(0, 60), min_size=1, max_size=60),
    size=st.integers(1, 9),
    limit=st.integers(70, 200),
)
def test_batches_are_cut_exactly_and_a_resume_gives_the_same_records(tmp_path, lengths, size, limit):
    path = tmp_path / "x.csv"
    write_csv(path, [(n, "x" * length) for n, length in enumerate(lengths)])
    job = make_job("csv", path, batch=Batch(records=size, bytes=limit), map=["=b"])
    expected, pending = [], []
    for length in lengths:
        record = ["x" * length]
        if pending and (
            len(pending) == size or len(json.dumps([*pending, record], separators=(",", ":"))) > limit
        ):
            expected.append(pending)
            pending = []
        pending.append(record)
    expected.append(pending)
    chunks = render(job, path)
    assert [strict(body) for body in bodies(chunks)] == expected
    assert all(
        len(body) == draft.size <= limit for body, draft in zip(bodies(chunks), drafts(chunks), strict=True)
    )
    start = len(expected[0])
    assert documents(job, path, start_row=start) == [[("x" * n)] for n in lengths[start:]]


def test_more_rows_than_an_arrow_batch_stay_in_order_and_chunks_can_be_gone_on_from(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("n\n" + "\n".join(map(str, range(30_000))) + "\n")
    job = make_job("csv", path, types={"n": "BIGINT"}, map="=n", batch=Batch(records=70))
    chunks = render(job, path)
    assert [n for body in bodies(chunks) for n in strict(body)] == list(range(30_000))
    assert drafts(chunks)[1].origin == "x.csv rows 71-140"
    assert chunks[-1].rows == 30_000
    after = chunks[2].rows
    assert documents(job, path, start_row=after) == list(range(after, 30_000))


def test_del_46_a_record_larger_than_a_batch_is_bad(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a\n1\n" + "y" * 100 + "\n3\n")
    small = Batch(records=10, bytes=50)
    with pytest.raises(
        RecordError, match=r"x.csv record 2 \(line 3\): 110 bytes: larger than batch.bytes \(50\)"
    ):
        render(make_job("csv", path, batch=small), path)
    chunks = render(make_job("csv", path, batch=small, on_bad_row="dead_letter"), path)
    assert [strict(body) for body in bodies(chunks)] == [[{"a": "1"}], [{"a": "3"}]]
    assert [(bad.line, strict(bad.text)) for chunk in chunks for bad in chunk.bad] == [(3, {"a": "y" * 100})]


def test_nulls_are_dropped_from_objects_at_all_depths_and_kept_in_lists(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n,2\n1,\n,\n")
    job = make_job("csv", path, nulls="drop", map={"a": "=a", "o": {"b": "=b", "n": None}, "l": ["=a", None]})
    assert documents(job, path) == [
        {"o": {"b": "2"}, "l": [None, None]},
        {"a": "1", "o": {}, "l": ["1", None]},
        {"o": {}, "l": [None, None]},
    ]


@pytest.mark.parametrize(
    "bad", ['{"a":NaN}', '{"a":1,}', '{"a":-Infinity}', "{", "[1]", "5", '{"a":"\x02"}', '{"a":1}{"a":2}']
)
def test_del_47_lines_that_are_no_json_are_named_or_dead_lettered(tmp_path, bad):
    path = tmp_path / "x.ndjson"
    path.write_text('{"a":"NaN, Infinity,]"}\n\n' + bad + '\n{"a":3}\n')
    with pytest.raises(RecordError, match=r"x.ndjson record 2 \(line 3\): (not|NaN)"):
        render(make_job("ndjson", path), path)
    chunks = render(make_job("ndjson", path, on_bad_row="dead_letter"), path)
    assert [strict(body) for body in bodies(chunks)] == [[{"a": "NaN, Infinity,]"}, {"a": 3}]]
    assert [(b.line, b.text) for chunk in chunks for b in chunk.bad] == [(3, bad)]


def test_del_47_numbers_keep_their_size(tmp_path):
    path = tmp_path / "x.ndjson"
    path.write_text('{"a":12345678901234567890123456789,"b":1e400}\n')
    assert bodies(render(make_job("ndjson", path), path)) == [b"[" + path.read_bytes().strip() + b"]"]
    mapped = make_job("ndjson", path, map={"x": "=a", "y": "=b"})
    assert bodies(render(mapped, path)) == [b'[{"x":12345678901234567890123456789,"y":1e400}]']


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "x.json is empty"),
        ("5", "x.json holds neither an array nor an object"),
        ('[{"a":1},{"a":', "x.json at byte"),
        ('[{"a":1},', "x.json: the array does not end: is the file complete?"),
        ('[{"a":1},' + " \r\n" * 200_000, "x.json: the array does not end"),
        ('[{"a":NaN}]', "x.json record 1: NaN, Infinity and trailing commas are not JSON"),
    ],
)
def test_a_bad_json_file_is_named(tmp_path, content, message):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(Exception, match=message) as caught:
        render(make_job("json", path, map="=a"), path)
    assert type(caught.value).__name__ in ("RecordError", "SourceError")


def test_a_gzipped_array_that_does_not_end_is_named(tmp_path):
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(b'[{"a":1},\n'))
    with pytest.raises(RecordError, match="the array does not end"):
        render(make_job("json", path, map="=a"), path)


def test_a_corrupt_parquet_file_is_named(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [1, 2, 3]}), path)
    path.write_bytes(path.read_bytes()[:-6] + b"PAR1xx")
    with pytest.raises(Exception, match=r"x\.parquet") as caught:
        render(make_job("parquet", path), path)
    assert type(caught.value).__name__ == "SourceError"
    assert "/proc" not in str(caught.value)


def test_one_object_is_one_record(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"a": {"b": [1, {"c": 2}]}}')
    job = make_job("json", path, map={"c": "=a.b[2]", "x": "=a->'$.b[0]'"})
    assert documents(job, path) == [{"c": {"c": 2}, "x": 1}]


@pytest.mark.parametrize("kind", ["json", "ndjson"])
def test_a_number_that_is_a_decimal_keeps_its_digits(tmp_path, kind):
    path = tmp_path / "x"
    path.write_text('{"n": 12345678901234567890.123456789012345678, "a \\" b": "0.10"}\n')
    types = {"n": "DECIMAL(38,18)", 'a " b': "numeric(4,2)"}
    job = make_job(kind, path, types=types, map={"n": "=n", "more": "=n + 1", "q": '="a "" b"'})
    (body,) = bodies(render(job, path))
    assert body == (
        b'[{"n":12345678901234567890.123456789012345678,"more":12345678901234567891.123456789012345678,"q":0.10}]'
    )
    path.write_text('{"n": true, "a \\" b": 12.4}\n')
    with pytest.raises(RecordError, match=r'column n: "true" is not a DECIMAL'):
        render(job, path)


def test_keys_of_documents_have_the_type_of_all_their_values_in_expressions(tmp_path):
    path = tmp_path / "x.ndjson"
    path.write_text('{"n":1,"s":"2021-10-27","o":{"p":"A"}}\n{"n":2.5,"s":"b","o":{"q":1}}\n{"new":true}\n')
    job = make_job(
        "ndjson",
        path,
        types={"absent": "BIGINT"},
        map={"n": "=n * 2", "s": "=upper(s)", "p": "=o.p", "z": "=absent", "w": "=NOT new"},
    )
    assert documents(job, path) == [
        {"n": 2, "s": "2021-10-27", "p": "A", "z": None, "w": None},
        {"n": 5, "s": "B", "p": None, "z": None, "w": None},
        {"n": None, "s": None, "p": None, "z": None, "w": False},
    ]
