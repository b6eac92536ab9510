"""How far a query was read: the values of its cursor's columns, with their types, as text. Exact.

int64 9007199254740993          → Mark("integer", "9007199254740993")
timestamp[us, UTC]              → Mark("timestamptz", "2026-10-27T09:00:31.000123+00:00")
numeric of PostgreSQL, decimals → Mark("decimal", "12.3400")
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from agent.config.model import JsonScalar
from agent.errors import RecordError, SourceError
from agent.message import Cursor, JsonValue

if TYPE_CHECKING:
    import pyarrow as pa

Kind: TypeAlias = Literal[
    "integer", "float", "decimal", "text", "bytes", "boolean", "date", "time", "timestamp", "timestamptz",
    "uuid", "lowest",
]  # fmt: skip
Plain: TypeAlias = "int | float | Decimal | str | bytes | bool | date | time | datetime"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


@dataclass(frozen=True, slots=True)
class Mark:
    """One value of a cursor. `lowest`: what stands before every value of its column."""

    kind: Kind
    text: str

    @property
    def plain(self) -> Plain:
        """As drivers take it. Raises SourceError for a moment that Python's types cannot hold."""
        return _PLAIN.get(self.kind, str)(self.text)


LOWEST = Mark("lowest", "")
Marks: TypeAlias = "Mapping[str, Mark]"
_PLAIN: Mapping[str, Callable[[str], Plain]] = {
    "integer": int,
    "float": float,
    "decimal": Decimal,
    "bytes": bytes.fromhex,
    "boolean": lambda text: text == "true",
    "date": date.fromisoformat,
    "time": lambda text: time.fromisoformat(_micros(text)),
    "timestamp": lambda text: datetime.fromisoformat(_micros(text)),
    "timestamptz": lambda text: datetime.fromisoformat(_micros(text)),
}


def _micros(text: str) -> str:
    """Without the last three of nine digits, which Python's types cannot hold."""
    head, dot, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return head + dot + rest[: min(digits, 6)] + rest[digits:]


def mark_of(scalar: pa.Scalar, *, name: str) -> Mark:  # noqa: C901, PLR0911 - a table of types
    """The mark of an Arrow value. Raises RecordError for NULL and for types that no cursor can have."""
    kind = str(scalar.type)
    if not scalar.is_valid:
        raise RecordError(f"the cursor's column {name} is NULL", hint="add WHERE … IS NOT NULL to the query")
    if kind.startswith(("timestamp", "date64")):
        return _moment(scalar, name)
    if kind.startswith("time"):
        return Mark("time", _time(scalar))
    try:
        value = scalar.as_py()
    except OverflowError:  # a date
        raise _outside(name) from None
    match value:
        case bool():
            return Mark("boolean", str(value).lower())
        case int():
            return Mark("integer", str(value))
        case float():
            return Mark("float", repr(value))
        case Decimal():
            return Mark("decimal", f"{value:f}")
        case uuid.UUID():
            return Mark("uuid", str(value))
        case str():
            return Mark("text", value)
        case bytes():
            return Mark("bytes", value.hex())
        case date():
            return Mark("date", value.isoformat())
    raise unfit(name, kind)


def unfit(name: str, kind: str) -> SourceError:
    """A column of a type that no cursor can have."""
    return SourceError(
        f"the column {name} cannot be a cursor: it is {kind}", hint="use a number, time or text"
    )


def _outside(name: str) -> RecordError:
    said = f"the cursor's column {name} holds a time outside of the years 1 to 9999 (or an infinity)"
    return RecordError(said, hint="leave such rows out in the query")


def _moment(scalar: pa.Scalar, name: str) -> Mark:
    unit = getattr(scalar.type, "unit", "ms")
    seconds, rest = divmod(int(scalar.value), _PER_SECOND[unit])
    try:
        whole = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise _outside(name) from None
    digits = len(str(_PER_SECOND[unit])) - 1
    text = whole.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + (f".{rest:0{digits}d}" if digits else "")
    zoned = getattr(scalar.type, "tz", None) is not None
    return Mark("timestamptz", text + "+00:00") if zoned else Mark("timestamp", text)


def _time(scalar: pa.Scalar) -> str:
    per = _PER_SECOND[scalar.type.unit]
    seconds, rest = divmod(int(scalar.value), per)
    digits = len(str(per)) - 1
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return text + (f".{rest:0{digits}d}" if digits else "")


def written(value: JsonScalar) -> Mark:
    """A value of `start: {…}` as the user wrote it; text is read by the database as the column's type."""
    match value:
        case bool():
            return Mark("boolean", str(value).lower())
        case int():
            return Mark("integer", str(value))
        case float():
            return Mark("float", repr(value))
    return Mark("text", str(value))


def moment(when: datetime) -> Mark:
    """An aware time."""
    return Mark("timestamptz", when.astimezone(UTC).isoformat(timespec="microseconds"))


def to_cursor(marks: Marks) -> Cursor:
    """As it is stored: JSON."""
    values: dict[str, JsonValue] = {name: {"type": m.kind, "value": m.text} for name, m in marks.items()}
    return {"sql": values}


def from_cursor(cursor: Cursor | None, columns: tuple[str, ...]) -> Marks | None:
    """What was stored; None where nothing was, or for another cursor than the job has now."""
    stored = (cursor or {}).get("sql")
    if not isinstance(stored, dict) or set(stored) != set(columns):
        return None
    found = {}
    for name in columns:
        entry = stored[name]
        if not isinstance(entry, dict):
            return None
        found[name] = Mark(cast("Kind", str(entry.get("type"))), str(entry.get("value")))
    return found


def said(marks: Marks) -> str:
    """For people: `recorded_at=2026-10-27T09:00:31Z, id=17`."""
    return ", ".join(f"{name}={mark.text[:60]}" for name, mark in marks.items())
