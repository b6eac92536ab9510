"""Values of every type, as a Parquet file holds them, and what they are as plain text."""

from __future__ import annotations

import base64
import math
import os
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

# Without the phases that explain and shrink: on a failure they would run into the test's timeout, and the
# example as it was found says enough. Locally, or at night: HYPOTHESIS_EXAMPLES=500.
quick = settings(
    max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    derandomize=True,
)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)

PARQUET = pa.schema(
    {
        "d": pa.decimal128(38, 4),
        "f": pa.float64(),
        "s": pa.string(),
        "b": pa.binary(),
        "t": pa.timestamp("us", "UTC"),
        "local": pa.timestamp("us"),
        "day": pa.date32(),
        "yes": pa.bool_(),
        "l": pa.list_(pa.struct({"x": pa.float64(), "y": pa.string()})),
        "m": pa.map_(pa.string(), pa.float64()),
    }
)


class Zoned(datetime):
    """A moment in UTC; Arrow takes it without its zone."""

    @classmethod
    def of(cls, moment):
        return cls(*moment.timetuple()[:6], moment.microsecond)


class Number(str):
    """Equal to every text of the same number."""

    __slots__ = ()

    def __new__(cls, value):
        return super().__new__(cls, repr(value))

    def __eq__(self, other):
        return other != "" and float(self) == float(other)

    __hash__ = str.__hash__


def with_four_places(number):
    """Exact, whatever the precision of decimals is."""
    return Decimal((int(number < 0), tuple(map(int, str(abs(number)))), -4))


decimals = st.integers(1 - 10**38, 10**38 - 1).map(with_four_places)
moments = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30))  # noqa: DTZ001
parquet_rows = st.fixed_dictionaries(
    {
        "d": st.none() | decimals,
        "f": st.none() | st.floats(),
        "s": st.none() | text,
        "b": st.none() | st.binary(max_size=9),
        "t": st.none() | moments.map(Zoned.of),
        "local": st.none() | moments,
        "day": st.none() | st.dates(),
        "yes": st.none() | st.booleans(),
        "l": st.none()
        | st.lists(st.fixed_dictionaries({"x": st.none() | st.floats(), "y": st.none() | text}), max_size=3),
        "m": st.none() | st.dictionaries(text, st.none() | st.floats(), max_size=3),
    }
)


def write_parquet(path, rows):
    table = [row | {"m": None if row["m"] is None else list(row["m"].items())} for row in rows]
    pq.write_table(pa.Table.from_pylist(table, schema=PARQUET), path)


def plain(value):  # noqa: PLR0911 - a table of types
    """The text of a value in formats without types; None is null."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        told = value.isoformat(timespec="microseconds" if value.microsecond else "seconds")
        told = told.rstrip("0") if value.microsecond else told
        return told + ("Z" if isinstance(value, Zoned) else "")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return format(value, "f") if value else "0.0000"
    if isinstance(value, float):
        return Number(value) if math.isfinite(value) else None
    return value if value is None else str(value)
