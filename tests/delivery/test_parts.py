"""A body is taken apart into the very bytes that it was made of, whatever the records hold."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.parts import (
    Apart,
    Form,
    Progress,
    UnfitBodyError,
    count,
    cut,
    halves,
    key_of,
    numbers,
    origin_of,
    ranges,
)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
HEAD = {"json": b'{"a":[', "ndjson": b"", "csv": b'n;"a\r\n"\r\n', "xml": b"<all>\n"}
TAIL = {"json": b"]}", "ndjson": b"\n", "csv": b"\r\n", "xml": b"\n</all>\n"}
STEP = {"json": b",", "ndjson": b"\n", "csv": b"\r\n", "xml": b"\n"}


def line(fields):
    out = io.StringIO()
    csv.writer(out, delimiter=";").writerow(fields)
    return out.getvalue().removesuffix("\r\n")


RECORDS = {
    "json": st.builds(
        lambda value, indent, ascii_: json.dumps(value, indent=indent, ensure_ascii=ascii_),
        JSON_VALUES,
        st.sampled_from([None, 1]),
        st.booleans(),
    ),
    "ndjson": st.builds(json.dumps, JSON_VALUES),
    "csv": st.builds(
        line,
        st.lists(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
            min_size=2,
            max_size=4,
        ),
    ),
    "xml": st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=9),
}


def apart(format_, records):
    body = HEAD[format_] + STEP[format_].join(records) + TAIL[format_]
    form = Form(format=format_, head=len(HEAD[format_]), tail=len(TAIL[format_]))
    assert Form.read(str(form)) == form
    return body, Apart(body, form, len(records))


@pytest.mark.parametrize("format_", RECORDS)
@settings(max_examples=60)
@given(data=st.data())
def test_any_part_of_a_body_is_its_records_between_its_head_and_its_tail(format_, data):
    texts = data.draw(st.lists(RECORDS[format_], min_size=1, max_size=7))
    records = [text.encode("utf-8", "surrogatepass") for text in texts if _sendable(text)]
    if not records:
        return
    body, found = apart(format_, records)
    everything = ((1, len(records)),)
    assert found.body(everything) == body
    assert [found.record(number) for number in range(1, len(records) + 1)] == records
    some = ranges(data.draw(st.sets(st.integers(1, len(records)), min_size=1)))
    wanted = STEP[format_].join(records[number - 1] for number in numbers(some))
    assert found.body(some) == HEAD[format_] + wanted + TAIL[format_]
    assert found.size(some) == len(found.body(some))
    most = data.draw(st.integers(1, len(body) + 1))
    pieces = found.fitting(some, most)
    assert [number for piece in pieces for number in numbers(piece)] == numbers(some)
    assert all(found.size(piece) <= most or count(piece) == 1 for piece in pieces)


def _sendable(text):
    return not any("\ud800" <= char <= "\udfff" for char in text)


def test_a_batch_without_a_quote_and_one_with_many_are_the_same_to_csv():
    plain, quoted = [b"1;a", b"2;b"], [b'1;"a"', b'2;"\r\n"";"']
    for records in (plain, quoted, [*plain, *quoted]):
        assert [apart("csv", records)[1].record(n + 1) for n in range(len(records))] == records


@pytest.mark.parametrize(
    ("format_", "content", "records"),
    [
        ("json", b'{"a":1}{"a":2}', 2),
        ("json", b'{"a":1},', 2),
        ("json", b'{"a":1},{"a"', 2),
        ("json", b"\xff,1", 2),
        ("json", b"[" * 100_000, 1),
        ("json", b"", 1),
        ("csv", b'1;"a\r\n2;b', 2),
        ("ndjson", b"1\n2\n3", 2),
        ("xml", b"", 0),
    ],
)
def test_what_is_not_so_many_records_is_not_taken_apart(format_, content, records):
    body = HEAD[format_] + content + TAIL[format_]
    with pytest.raises(UnfitBodyError):
        Apart(body, Form(format=format_, head=len(HEAD[format_]), tail=len(TAIL[format_])), records)


def test_a_number_of_any_length_is_a_record():
    records = [b"1" * 10_000, b"-1.5e999", b"NaN"]
    assert [apart("json", records)[1].record(n) for n in (1, 2, 3)] == records


def test_halves_lose_nothing_and_keep_the_order():
    piece = ((3, 3), (7, 12), (20, 21))
    first, second = halves(piece)
    assert (first, second) == (((3, 3), (7, 9)), ((10, 12), (20, 21)))
    assert cut(piece, 1) == (((3, 3),), ((7, 12), (20, 21)))
    assert cut(piece, 9) == (piece, ())
    assert halves(((1, 2),)) == (((1, 1),), ((2, 2),))


def test_the_key_of_a_part_follows_from_what_is_in_it():
    assert key_of("K", ((1, 250),)) == "K.1-250"
    assert key_of("K", ((3, 3),)) == "K.3-3"
    with_gaps = {key_of("K", piece) for piece in [((1, 2), (4, 9)), ((1, 3), (5, 9)), ((1, 9),)]}
    assert len(with_gaps) == 3
    assert all(key.startswith("K.1-9") for key in with_gaps)
    assert key_of("K", ((1, 2), (4, 9))) == key_of("K", ((1, 2), (4, 9)))


@pytest.mark.parametrize(
    ("origin", "records", "piece", "told"),
    [
        ("a.csv rows 1-500", 500, ((217, 217),), "a.csv row 217"),
        ("a rows 2-3 rows 101-200", 100, ((1, 50),), "a rows 2-3 rows 101-150"),
        ("a.csv rows 101-200", 100, ((2, 2), (4, 5)), "a.csv rows 102, 104-105"),
        ("a.csv rows 101-900", 100, ((2, 2),), "a.csv rows 101-900, record 2 of 100"),
        ("a.csv rows 101-900", 100, ((2, 3),), "a.csv rows 101-900, records 2-3 of 100"),
        ("page 7", 9, ((9, 9),), "page 7, record 9 of 9"),
    ],
)
def test_a_part_says_where_it_comes_from(origin, records, piece, told):
    assert origin_of(origin, records, piece) == told


def test_progress_comes_back_as_it_was_written_or_not_at_all():
    progress = Progress(records=9, pieces=(((1, 1), (3, 4)), ((5, 9),)))
    text = str(progress)
    assert Progress.read(text) == progress
    assert progress.rest == ((1, 1), (3, 9))
    for at in range(len(text)):
        with pytest.raises(ValueError, match=r"damaged|literal|unpack"):
            Progress.read(text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :])
