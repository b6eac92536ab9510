"""How long a record may be decides how much memory DuckDB takes to read a file."""

from __future__ import annotations

import gzip
import random
import re

import pytest

from agent.config.model import Batch
from agent.errors import RecordError, SourceError
from agent.sources import longest
from agent.sources.csv import BUFFER, storage
from agent.sources.longest import (
    LONGEST_LINE,
    PIECE,
    PLAIN_LINE,
    QUOTED_LINE,
    USUAL_LINE,
    measure,
)
from agent.sources.relation import Opened
from tests.support.rendering import bodies, make_job, render, strict

ROW = b"1,2,three,4\n"


def longest_record(path, quote=""):
    return measure(path, quote).longest


@pytest.fixture
def text(tmp_path):
    def write(content):
        path = tmp_path / "records.csv"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("rows", [0, 1, 1_000, 1_000_000], ids=lambda rows: f"{rows} rows")
def test_memory_for_short_records_does_not_grow_with_the_file(text, rows):
    path = text(ROW * rows)
    assert longest_record(path, '"') == PLAIN_LINE
    said = storage(Opened(path=str(path), reading=str(path), gzipped=False), '"')
    assert f"buffer_size={PLAIN_LINE + BUFFER}," in said
    assert PLAIN_LINE + BUFFER <= 2_000_000


@pytest.mark.parametrize(
    ("row", "most"), [(b'"1","two, or more"\r\n', PLAIN_LINE), (b'"1","two, or\nmore"\n', QUOTED_LINE)]
)
def test_memory_for_short_records_in_quotes_does_not_grow_with_the_file(text, row, most):
    assert longest_record(text(row * 500_000), '"') == most


@pytest.mark.parametrize("before", [0, 1, PIECE // len(ROW), PIECE // len(ROW) * 5])
@pytest.mark.parametrize(
    ("row", "folded"),
    [
        (b'"1","2"\r\n', False),
        (b'1,"say ""no"""\n', False),
        (b'"",""""\n', False),
        (b'1,"2\n"\n', True),
        (b'1,"\n2"\n', True),
        (b'1,"2\r3"\r', True),
        (b'1,"2""\n""3"\n', True),
        (b'5",2\n6",2\n', True),
        (b'5",2\n', True),
        (b'1,"2', True),
    ],
)
def test_line_ends_within_quotes_are_found_wherever_they_are(text, row, before, folded):
    found = measure(text(ROW * before + row + ROW * 30_000), '"')
    assert found.folded is folded
    assert not measure(text(ROW * before + row + ROW * 30_000), "").folded


@pytest.mark.parametrize(
    ("line", "packed"),
    [(b"x,y\n", False), (b'x,y\n"",""\n', False), (b'""x"",""y""\n', False), (b"x,y\n", True)],
)
def test_lines_in_quotes_that_look_like_records_are_none(text, line, packed):
    fields = [line * (1 + number * 37 % 2900) for number in range(500 if packed else 2_000)]
    content = b"a,b\n" + b"".join(b'%d,"%s"\n' % (n, field) for n, field in enumerate(fields))
    path = text(gzip.compress(content, 1) if packed else content)
    path = path.rename(path.with_suffix(".csv.gz")) if packed else path
    assert len(content) > 2 * BUFFER
    job = make_job("csv", path, map={"a": "=a", "n": "=length(b)"}, batch=Batch(records=10_000))
    made = [record for body in bodies(render(job, path)) for record in strict(body)]
    lengths = [len(field.replace(b'""', b'"')) for field in fields]
    assert made == [{"a": str(n), "n": length} for n, length in enumerate(lengths)]


def rows_with_lines_in_quotes(*others):
    """Some MB, with other rows in the midst; and what its records are."""
    rows = [(str(n), "x,y,z\n" * (1 + n * 37 % 900), "c") for n in range(2_000)]
    texts = [b'%s,"%s",%s\n' % tuple(field.encode() for field in row) for row in rows]
    return rows, [*texts[:600], *others, *texts[600:]]


@pytest.mark.parametrize("policy", ["fail", "dead_letter"])
def test_a_quote_in_the_midst_of_a_field_makes_no_records_of_lines_in_quotes(text, policy):
    rows, texts = rows_with_lines_in_quotes(b'9,5" pipe,q\n')
    path = text(b"a,b,c\n" + b"".join(texts))
    job = make_job("csv", path, map={"a": "=a", "b": "=b", "c": "=c"}, on_bad_row=policy)
    made = [tuple(record.values()) for body in bodies(render(job, path)) for record in strict(body)]
    assert made == [*rows[:600], ("9", '5" pipe', "q"), *rows[600:]]


@pytest.mark.parametrize("policy", ["fail", "dead_letter"])
def test_a_file_that_was_cut_off_within_quotes_makes_no_records_of_lines_in_them(text, policy):
    _, texts = rows_with_lines_in_quotes()
    path = text((b"a,b,c\n" + b"".join(texts))[:-20])
    job = make_job("csv", path, map={"a": "=a"}, on_bad_row=policy)
    with pytest.raises(RecordError, match="a quote that does not end"):
        render(job, path)


@pytest.mark.parametrize("length", [PIECE - 1, PIECE, 3 * PIECE + 7, 10_000_000])
@pytest.mark.parametrize("before", [0, 1, PIECE // len(ROW), PIECE // len(ROW) * 5])
def test_the_longest_line_is_never_underrated(text, length, before):
    found = longest_record(text(ROW * before + b"x" * length + b"\n" + ROW * 50_000), '"')
    assert max(length, PLAIN_LINE) <= found <= max(length + 3 * PIECE, PLAIN_LINE)


def test_the_last_line_needs_no_end(text):
    assert longest_record(text(ROW + b"x" * 5_000_000)) >= 5_000_000


@pytest.mark.parametrize("seed", range(20))
def test_a_record_over_many_lines_is_never_underrated(text, seed):
    chance = random.Random(seed)
    records = []
    for _ in range(chance.randrange(1, 12)):
        size = chance.choice([1, 1_000, PIECE, 3_000_000])
        words = [b"x" * chance.randrange(1, 90), b'""', b"\n", b'""\n""', b","]
        field = b"".join(chance.choice(words) for _ in range(40))
        records.append(b'7,"' + field * (size // len(field) + 1) + b'"\n')
        records += [ROW] * chance.choice([0, 3, PIECE // len(ROW)])
    found = longest_record(text(b"".join(records)), '"')
    assert found >= min(max(map(len, records)), USUAL_LINE)


def test_a_record_over_many_lines_is_read_whole(text):
    field = b"a line\n" * 1_000_000
    path = text(b'a,b\n1,"' + field + b'"\n2,x\n')
    made = [strict(body) for body in bodies(render(make_job("csv", path, map={"n": "=length(b)"}), path))]
    assert made == [[{"n": len(field)}, {"n": 1}]]


def test_lines_within_quotes_of_a_file_without_quotes_are_records(text):
    assert longest_record(text(b'1,"2\n' * 500_000 + b'"'), "") == PLAIN_LINE


def test_where_quotes_do_not_pair_the_guess_is_high(text):
    content = b'5" pipe,1\n' + ROW * 100_000
    assert longest_record(text(content), '"') == USUAL_LINE


def test_one_quote_that_does_not_end_takes_no_more_than_the_limit(text):
    found = longest_record(text(b'a,b\n1,"2\n' + ROW * 3_000_000), '"')
    assert found == USUAL_LINE
    assert found < LONGEST_LINE


def test_a_record_that_is_too_long_for_what_quotes_made_of_it_is_read(text):
    field = b"a line\n" * 700_000
    path = text(b'a,b\n5",1\n"' + field + b'",2\n6",3\n')
    assert longest_record(path, '"') == QUOTED_LINE < len(field)
    made = [strict(body) for body in bodies(render(make_job("csv", path, map={"n": "=length(a)"}), path))]
    assert made == [[{"n": 2}, {"n": len(field)}, {"n": 2}]]


def test_a_record_that_is_too_long_for_what_may_be_held_of_it_is_told(text):
    path = text(b'a,b\n5",1\n"' + b"a line\n" * (USUAL_LINE // 3) + b'",2\n6",3\n')
    said = "records.csv line 3: a quote that does not end, or a record of more than 16 MB"
    with pytest.raises(RecordError, match=re.escape(said)):
        render(make_job("csv", path), path)


@pytest.mark.parametrize("packed", [False, True])
def test_the_longest_line_is_found(tmp_path, packed):
    path = tmp_path / "x"
    for lines in ([b"a", b"b" * 600_000, b"c" * 700_000, b"d"], [b"", b"", b"c" * 700_000], [b"c" * 700_000]):
        text = b"\n".join(lines)
        path.write_bytes(gzip.compress(text, 1) if packed else text)
        line, size = longest.longest_line(path, gzipped=packed)
        assert (line, size) in {(len(lines), 700_000), (3, 700_000)}
    path.write_bytes(gzip.compress(ROW * 100_000) if packed else ROW * 100_000)
    assert longest.longest_line(path, gzipped=packed) == (0, 0)


def test_a_record_that_takes_all_memory_is_named_with_its_size(tmp_path):
    path = tmp_path / "x.ndjson"
    path.write_text('{"s": "a"}\n{"s": "' + "x" * 4_000_000 + '"}\n')
    with pytest.raises(SourceError) as told:
        render(make_job("ndjson", path, map={"s": "=s"}), path, memory=32_000_000)
    assert told.value.message == "x.ndjson: not enough memory: line 2 has 4.0 MB"
    assert "collect.memory" in told.value.hint
