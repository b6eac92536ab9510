"""A CSV file with line ends within quotes is read in parts: the same records, and every refusal."""

from __future__ import annotations

import codecs
import gzip
import io
import random

import pyarrow as pa
import pytest

from agent.config.model import Batch
from agent.errors import RecordError, SourceError
from agent.sources import parts
from agent.sources.csv import prepare
from agent.sources.parts import Dialect, cut
from agent.sources.relation import Opened
from tests.support.rendering import bodies, documents, make_job, render, strict

PACKED = ("", ".gz", ".zst")
FOLDED = b'1,"x\ny"\n'


@pytest.fixture
def small(monkeypatch):
    """Parts of a few records."""
    monkeypatch.setattr(parts, "PART", 64)


@pytest.fixture
def written(tmp_path):
    def write(content, packed=""):
        path = tmp_path / f"x.csv{packed}"
        if packed == ".zst":
            with pa.CompressedOutputStream(str(path), "zstd") as out:
                out.write(content)
        else:
            path.write_bytes(gzip.compress(content, 1) if packed else content)
        return path

    return write


def records(path, **source):
    return [tuple(record.values()) for record in documents(make_job("csv", path, **source), path)]


def line(row, end):
    fields = ('"' + field.replace('"', '""') + '"' if set(field) & set('\r\n",') else field for field in row)
    return ",".join(fields) + end


@pytest.mark.parametrize("policy", ["fail", "dead_letter"])
@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize(
    ("before", "last", "line"),
    [
        (b"1,2\n", b'3,"cut', 3),
        (b"1,2\n", b'3,"cut\nand\nmore\n', 3),
        (FOLDED, b'3,"cut', 4),
        (FOLDED * 30, b'3,"cut\n""', 62),
        (b'5",2\n', b'3,"cut\nmore', 3),  # one quote in the midst of a field: their number is even
        (b'5" x,2\n' + FOLDED * 30, b'3,"cut', 63),
    ],
)
def test_of_a_file_that_was_cut_off_within_quotes_nothing_is_sent(  # noqa: PLR0917 - what makes a file
    written, small, before, last, line, packed, policy
):
    path = written(b"a,b\n" + before + last, packed)
    with pytest.raises(RecordError, match=rf"^x\.csv{packed} line {line}: a quote that does not end"):
        render(make_job("csv", path, map={"a": "=a"}, on_bad_row=policy), path)


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("seed", range(2))
def test_parts_hold_the_records_that_the_file_holds(written, small, seed, end, packed):
    chance = random.Random(f"{seed}{end}")
    words = ["x", "\n", "\r\n", "\r", '"', ",", "é", " ", '","', '"\n"', "5"]
    rows = [
        ["q" + "".join(chance.choices(words, k=chance.choice([0, 3, 9, 90]))) for _ in range(3)]
        for _ in range(90)
    ]
    mark = codecs.BOM_UTF8 if seed else b""
    path = written(mark + "".join(line(row, end) for row in [["a", "b\nc", "d"], *rows]).encode(), packed)
    assert records(path) == [tuple(row) for row in rows]
    assert records(path, header=False)[1:] == [tuple(row) for row in rows]


@pytest.mark.parametrize("stray", [b'5" x,1\n', b'5",1\n', b'a"b"c,1\n', b'"a" ,1\n', b' "a\nb",1\n'])
def test_a_quote_that_pairs_with_none_changes_no_record(written, small, stray):
    rows = [*[FOLDED] * 20, stray, *[FOLDED] * 20, stray, stray, *[FOLDED] * 20]
    path = written(b"a,b\n" + b"".join(rows))
    alone = written(b"a,b\n" + stray, ".gz")
    (record,) = records(alone)
    pair = ("1", "x\ny")
    assert records(path) == [*[pair] * 20, record, *[pair] * 20, record, record, *[pair] * 20]


def test_an_error_names_the_line_of_the_file(written, small):
    path = written(b'a,"b\nc"\n' + FOLDED * 20 + b"3,4,5\n" + FOLDED * 20)
    with pytest.raises(RecordError, match=r"x\.csv line 43: 3 fields instead of 2"):
        render(make_job("csv", path), path)


def test_rows_that_are_put_aside_have_the_lines_of_the_file(written, small):
    path = written(b"a,b\n" + (FOLDED * 20 + b"3,4,5\n6\n") * 3)
    chunks = render(make_job("csv", path, on_bad_row="dead_letter"), path)
    assert [bad.line for chunk in chunks for bad in chunk.bad] == [42, 43, 84, 85, 126, 127]
    assert sum(len(strict(body)) for body in bodies(chunks)) == 60


def test_a_record_that_cannot_be_mapped_is_named_with_its_line(written, small):
    path = written(b"a,b\n" + FOLDED * 20 + b"x,2\n" + FOLDED * 20)
    with pytest.raises(RecordError, match=r"x\.csv record 21 \(line 42\)"):
        render(make_job("csv", path, types={"a": "INTEGER"}), path)


def test_a_run_goes_on_at_a_row_of_any_part(written, small):
    path = written(b"a,b\n" + b"".join(b'%d,"x\ny"\n' % n for n in range(50)))
    job = make_job("csv", path, map={"a": "=a"}, batch=Batch(records=7))
    made = [record["a"] for body in bodies(render(job, path, start_row=33)) for record in strict(body)]
    assert made == [str(n) for n in range(33, 50)]


def test_types_are_found_by_looking_at_all_parts(written, small):
    path = written(b"a,b\n" + FOLDED * 30 + b'x,"1"\n')
    assert records(path, sniff=True)[-1] == ("x", "1")


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_parts_that_cannot_be_written_are_told(written, tmp_path, packed):
    path = written(b"a,b\n" + FOLDED, packed)
    found = Opened(path=str(path), reading=str(path), gzipped=bool(packed))
    with pytest.raises(SourceError, match=r"^x\.csv.*: cannot be cut into parts: No such file or directory"):
        prepare(found, make_job("csv", path).source, tmp_path / "gone")


def test_a_part_is_no_longer_than_it_must_be(tmp_path):
    record = b'1,"' + b"y\n" * 500 + b'"\n'
    content = b"a,b\n" + record * 20_000
    found = cut(
        io.BytesIO(content),
        Dialect(delimiter=",", quote='"', header=True),
        tmp_path,
        name="x.csv",
        most=len(content),
    )
    assert len(found.parts) == -(-len(content) // parts.PART)
    assert parts.PART - len(record) <= found.longest <= parts.PART + len(record)


@pytest.mark.parametrize("packed", PACKED)
def test_a_line_end_of_old_within_quotes_of_the_header_is_none_of_the_file(written, packed):
    path = written(b'\xef\xbb\xbf"a\r",b\r"1,","2"\r', packed)
    assert records(path) == [("1,", "2")]
