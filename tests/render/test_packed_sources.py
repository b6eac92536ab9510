from __future__ import annotations

import gzip
import json

import pytest

from agent.errors import RecordError, SourceError
from agent.sources.csv import storage
from agent.sources.packed import BUFFERED, LEAST_UNPACKED, LONGEST_UNPACKED
from agent.sources.relation import Opened
from tests.support.rendering import bodies, make_job, render

LONG = b"x" * (LONGEST_UNPACKED + 1)
VAST = b"x" * (17 * LONGEST_UNPACKED)  # more than all buffers of DuckDB's reader: it says nothing of it


def packed(tmp_path, data, name="x.csv.gz"):
    path = tmp_path / name
    path.write_bytes(gzip.compress(data, 1))
    return path


@pytest.mark.parametrize("on_bad_row", ["fail", "dead_letter"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n3\n"])
@pytest.mark.parametrize("long", [LONG, VAST], ids=["long", "vast"])
def test_a_record_too_long_for_a_gzipped_csv_is_never_left_out_in_silence(tmp_path, long, end, on_bad_row):
    path = packed(tmp_path, b"id\n1\n" + long + end)
    with pytest.raises(RecordError, match=r"x\.csv\.gz line 3: a record of more than 4 MB"):
        render(make_job("csv", path, map={"n": "=id"}, on_bad_row=on_bad_row), path)


def test_nor_is_one_that_has_many_lines_in_quotes(tmp_path):
    path = packed(tmp_path, b'id\n1\n"' + (b"x" * 999 + b"\n") * 5000 + b'"\n')
    with pytest.raises(RecordError, match="a record of more than 4 MB"):
        render(make_job("csv", path, map={"n": "=id"}, on_bad_row="dead_letter"), path)


def test_nor_is_one_of_a_gzipped_ndjson(tmp_path):
    path = packed(tmp_path, b'{"id": 1}\n{"id": "' + VAST + b'"}\n', "x.ndjson.gz")
    with pytest.raises(RecordError, match=r"x\.ndjson\.gz line 2: a record of more than 4 MB"):
        render(make_job("ndjson", path, map={"n": "=id"}), path)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_many_short_records_are_no_long_one_however_lines_end(tmp_path, end):
    path = packed(tmp_path, b"id" + end + (b"1" * 99 + end) * 50_000)
    sent = bodies(render(make_job("csv", path, map={"n": "=length(id)"}, per="record"), path))
    assert sent == [b'{"n":99}'] * 50_000


def test_a_file_whose_name_is_as_long_as_a_name_can_be_is_read_in_any_encoding(tmp_path):
    path = tmp_path / ("n" * 251 + ".csv")
    path.write_bytes("id\ncafé\n".encode("latin-1"))
    job = make_job("csv", path, map={"n": "=id"}, per="record", encoding="latin-1")
    assert bodies(render(job, path)) == ['{"n":"café"}'.encode()]


@pytest.mark.parametrize("kind", ["csv", "ndjson", "json"])
@pytest.mark.parametrize("damage", ["flipped", "checksum", "cut", "no gzip"])
def test_a_damaged_gzip_file_gives_no_record_at_all(tmp_path, kind, damage):
    lines = [f"{number * 7919 % 100_000}" for number in range(20_000)]
    texts = {
        "csv": "id\n" + "\n".join(lines),
        "ndjson": "\n".join(f'{{"id": {line}}}' for line in lines),
        "json": json.dumps([{"id": line} for line in lines]),
    }
    whole = packed(tmp_path, texts[kind].encode(), f"x.{kind}.gz").read_bytes()
    half = len(whole) // 2
    damaged = {
        "flipped": whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :],
        "checksum": whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:],
        "cut": whole[:-4],
        "no gzip": texts[kind].encode(),
    }
    path = tmp_path / f"x.{kind}.gz"
    path.write_bytes(damaged[damage])
    with pytest.raises(SourceError, match=rf"x\.{kind}\.gz"):
        render(make_job(kind, path, map={"n": "=id"}), path)


def test_no_record_is_left_out_where_they_are_longer_than_the_least_that_is_foreseen(tmp_path):
    lengths = [1, LEAST_UNPACKED - 3, 400_000, 2, 7] * 30
    path = packed(tmp_path, b"id\n" + b"".join(b"x" * length + b"\n" for length in lengths))
    sent = bodies(render(make_job("csv", path, map={"n": "=length(id)"}, per="record"), path))
    assert sent == [b'{"n":%d}' % length for length in lengths]


@pytest.mark.parametrize(
    ("text", "most"),
    [
        (b"id\n" + b"123\n" * 500_000, LEAST_UNPACKED),
        (b"id\n" + b"1" * 400_000 + b"\n2\n", 400_001),
        (b'id\n"1"\n', LEAST_UNPACKED),
    ],
    ids=["short", "long", "quoted"],
)
def test_memory_for_a_packed_file_depends_on_its_longest_record(tmp_path, text, most):
    path = packed(tmp_path, text)
    file = Opened(path=str(path), reading=str(path), gzipped=True)
    assert storage(file, '"') == f"max_line_size={most}, buffer_size={BUFFERED * most}, compression='gzip'"
