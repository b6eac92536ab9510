"""The values of a cursor keep their types to the last digit; where rows stand is known without looking at each."""

from __future__ import annotations

import itertools
import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.databases.values import rows_at_once
from agent.errors import RecordError, SourceError
from agent.sources.mark import LOWEST, Mark, from_cursor, mark_of, moment, said, to_cursor, written
from agent.sources.positions import Positions

BEFORE_UTC = datetime(33, 4, 3, 15)  # noqa: DTZ001 - a naive one
VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(lambda value: pa.scalar(value, pa.int64())),
    st.integers(0, 2**64 - 1).map(lambda value: pa.scalar(value, pa.uint64())),
    st.floats(allow_nan=False).map(lambda value: pa.scalar(value, pa.float64())),
    st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**28), max_value=10**28).map(
        lambda value: pa.scalar(value, pa.decimal128(38, 9))
    ),
    st.text().map(pa.scalar),
    st.binary().map(pa.scalar),
    st.booleans().map(pa.scalar),
    st.dates().map(pa.scalar),
    st.times().map(lambda value: pa.scalar(value, pa.time64("us"))),
    st.datetimes().map(lambda value: pa.scalar(value, pa.timestamp("us"))),
    st.datetimes(timezones=st.just(UTC)).map(
        lambda value: pa.scalar(value, pa.timestamp("us", "Europe/Amsterdam"))
    ),
)


@settings(max_examples=400)
@given(VALUES)
def test_a_value_comes_back_from_the_stored_cursor_as_it_was(value):
    mark = mark_of(value, name="a")
    stored = from_cursor(to_cursor({"a": mark}), ("a",))
    assert stored == {"a": mark}
    plain = value.as_py()
    if isinstance(plain, datetime) and plain.tzinfo is not None:
        plain = plain.astimezone(UTC)
    assert stored["a"].plain == plain
    assert type(stored["a"].plain) is type(plain)


def test_nanoseconds_and_whole_numbers_beyond_what_json_can_count_are_kept_as_text():
    nanos = mark_of(pa.scalar(1_767_225_600_123_456_789, pa.timestamp("ns", "UTC")), name="a")
    assert nanos == Mark("timestamptz", "2026-01-01T00:00:00.123456789+00:00")
    assert nanos.plain == datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    assert mark_of(pa.scalar(2**53 + 1), name="a") == Mark("integer", "9007199254740993")
    early = mark_of(pa.scalar(BEFORE_UTC, pa.timestamp("us")), name="a")
    assert early == Mark("timestamp", "0033-04-03T15:00:00.000000")
    assert early.plain == BEFORE_UTC
    assert mark_of(pa.scalar(time(23, 59, 59), pa.time32("s")), name="a").text == "23:59:59"
    assert mark_of(pa.scalar(date(9999, 12, 31)), name="a").plain == date(9999, 12, 31)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (pa.scalar(None, pa.int64()), "the cursor's column a is NULL"),
        (pa.scalar(2**62, pa.timestamp("us")), "a time outside of the years 1 to 9999"),
        (pa.scalar(2_145_042_905, pa.date32()), "a time outside of the years 1 to 9999"),
        (pa.scalar([1], pa.list_(pa.int64())), "the column a cannot be a cursor: it is list<item: int64>"),
    ],
)
def test_what_cannot_be_a_cursor_is_said(value, words):
    with pytest.raises(SourceError, match=words.replace("[", "\\[").split("<")[0]):
        mark_of(value, name="a")


def test_values_of_the_config_keep_their_kind():
    assert written(value=True) == Mark("boolean", "true")
    assert written(5) == Mark("integer", "5")
    assert written(0.1) == Mark("float", "0.1")
    assert written("2026-01-01") == Mark("text", "2026-01-01")
    assert Mark("boolean", "true").plain is True
    assert moment(datetime(2026, 1, 1, tzinfo=UTC)).text == "2026-01-01T00:00:00.000000+00:00"
    assert said({"a": Mark("text", "x" * 99), "b": LOWEST}) == f"a={'x' * 60}, b="


def test_a_stored_cursor_of_other_columns_is_none():
    stored = to_cursor({"a": Mark("integer", "1")})
    assert from_cursor(stored, ("a", "b")) is None
    assert from_cursor(stored, ("b",)) is None
    assert from_cursor(None, ("a",)) is None
    assert from_cursor({"sql": {"a": "odd"}}, ("a",)) is None
    assert from_cursor({"files": []}, ("a",)) is None


# ------------------------------------------------------------------------------ positions


@given(st.lists(st.lists(st.integers(0, 5), min_size=0, max_size=8), max_size=6))
def test_ends_are_where_the_next_row_has_another_value(parts):
    ordered = sorted(value for part in parts for value in part)
    positions = Positions(("a",), of="db")
    at = 0
    for part in parts:
        positions.add([pa.array(ordered[at : at + len(part)], pa.int64())])
        at += len(part)
    if not ordered:
        return
    known = [one != two for one, two in itertools.pairwise(ordered)]
    assert [positions.is_end(row) for row in range(1, at + 1)] == [*known, False]
    positions.finish()
    ends = [row for row, end in enumerate([*known, True], start=1) if end]
    assert positions.last_end(at) == at
    for row in range(1, at + 1):
        assert positions.at(row)["a"].text == str(ordered[row - 1])
        assert positions.last_end(row) == max((end for end in ends if end <= row), default=None)
    positions.let_go(ends[0])
    assert positions.at(ends[0])["a"].text == str(ordered[0])
    assert positions.last_end(at) == at


def test_an_order_of_two_columns_is_that_of_the_first_and_within_it_of_the_second():
    positions = Positions(("t", "id"), of="db")
    positions.add([pa.array([1, 1, 2]), pa.array([5, 6, 1])])
    positions.add([pa.array([2]), pa.array([2])])
    with pytest.raises(RecordError, match="record 5: t=2, id=1 comes after t=2, id=2") as caught:
        positions.add([pa.array([2]), pa.array([1])])
    assert caught.value.hint == "end the query with ORDER BY t, id"


def test_nan_is_greater_than_every_number_and_equal_to_itself():
    positions = Positions(("v",), of="db")
    positions.add([pa.array([1.0, float("inf"), float("nan"), float("nan")])])
    assert [positions.is_end(row) for row in (1, 2, 3)] == [True, True, False]
    with pytest.raises(RecordError, match=r"record 5: v=2\.0 comes after v=nan"):
        positions.add([pa.array([2.0])])


@pytest.mark.parametrize("type_", [pa.list_(pa.int32()), pa.month_day_nano_interval()])
def test_a_type_without_an_order_is_told_before_any_row_is_compared(type_):
    with pytest.raises(SourceError, match="the column v cannot be a cursor: it is "):
        Positions(("v",), of="db").add([pa.nulls(2, type_)])


def test_a_value_that_no_cursor_can_hold_is_told_with_its_record():
    positions = Positions(("d",), of="db")
    positions.add([pa.array([2_145_042_905], pa.date32())])
    with pytest.raises(RecordError, match=r"^db record 1: the cursor's column d holds a time outside"):
        positions.at(1)
    times = pa.array([None], pa.timestamp("us"))
    assert positions.add([times.cast(pa.date32())]) == 0
    with pytest.raises(RecordError, match="db record 2: the cursor's column d is NULL, or an infinity"):
        positions.refuse([times], 0)


def test_the_order_of_text_is_left_to_the_database_and_uuids_are_told_as_such():
    positions = Positions(("name",), of="db")
    positions.add([pa.array(["b", "A", "a", "a"])])
    assert [positions.is_end(row) for row in (1, 2, 3)] == [True, True, False]
    one = uuid.UUID(int=7)
    uuids = Positions(("u",), of="db")
    uuids.add([pa.ExtensionArray.from_storage(pa.uuid(), pa.array([one.bytes], pa.binary(16)))])
    assert uuids.at(1) == {"u": Mark("uuid", str(one))}


def test_a_decimal_is_written_without_an_exponent():
    assert mark_of(pa.scalar(Decimal("0.000000001"), pa.decimal128(38, 9)), name="a").text == "0.000000001"


@pytest.mark.parametrize(
    ("sample", "rows"),
    [([], 4096), ([(1, None, "x")], 4096), ([("x" * 10_000,)], 400), ([(b"x" * 10_000_000, "y")] * 3, 16)],
)
def test_large_rows_are_held_few_at_a_time(sample, rows):
    assert rows_at_once(sample) == rows
