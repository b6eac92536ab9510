"""The types of PostgreSQL: what the driver gives for them, what DuckDB can take, how a value is bound."""

# ruff: noqa: S608 - names are quoted, values are bound
from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from agent.databases.values import identifier
from agent.errors import SourceError
from agent.sources.asking import JSON_TEXT, NUMBER_TEXT
from agent.sources.mark import Mark

LOWEST = {
    **dict.fromkeys(("timestamptz", "timestamp", "date", "float4", "float8", "numeric"), "-infinity"),
    "int2": str(-(2**15)),
    "int4": str(-(2**31)),
    "int8": str(-(2**63)),
    **dict.fromkeys(("text", "varchar", "bpchar", "citext", "bytea", "name"), ""),
    "uuid": "00000000-0000-0000-0000-000000000000",
    "bool": "false",
    "oid": "0",
    "time": "00:00:00",
}
"""What stands before every other value of a type (and is itself passed over by `>`)."""
TEXTS = frozenset(["text", "varchar", "bpchar", "citext", "name"])
"""Types in the order of letters."""
EARLIEST = {"int32": -2_500_000, "int64": -211_000_000_000_000_000}
"""Days, microseconds: before the first that PostgreSQL has, in 4713 BC."""
_EPOCH = {"int32": 10_957, "int64": 946_684_800_000_000}
"""From 1970, where Arrow counts from, to 2000, where PostgreSQL does."""
_LEAST = {"int32": -(2**31), "int64": -(2**63)}
USUAL = {
    "integer": "int8",
    "float": "float8",
    "decimal": "numeric",
    "bytes": "bytea",
    "boolean": "bool",
    "text": "text",
    "lowest": "text",
}
"""The type for a mark where the result does not say one; the others are called as in `Mark.kind`."""


def type_of(field: pa.Field) -> str:
    """PostgreSQL's name of a column's type; "" where the driver does not tell it."""
    metadata = field.metadata or {}
    return (metadata.get(b"POSTGRESQL:type") or metadata.get(b"ADBC:postgresql:typname") or b"").decode()


def usual(mark: Mark) -> str:
    """The type of a mark where the result does not say one."""
    return USUAL.get(mark.kind, mark.kind)


def parameter(name: str, type_: str) -> str:
    """SQL of a bound value."""
    return f"CAST(current_setting('push_agent.{name}') AS {identifier(type_)})"


def bound_as(mark: Mark, name: str, type_: str) -> str:
    """The type that a mark is bound as. Raises SourceError where a number or a time meets a text.

    `'1003' > '999'` is false: rows that the order of numbers lets through would be passed over.
    """
    if type_ in TEXTS and mark.kind not in {"text", "lowest"}:
        said = f"the column {name} is {type_}, and the cursor stands at {mark.kind} {mark.text}"
        hint = (
            f"cast it in the query as it was, and where it is compared; or quote it in `start: {{{name}: …}}`"
        )
        raise SourceError(f"{said}: rows would be passed over", hint=hint)
    return type_ or usual(mark)


def text_of(mark: Mark, name: str, type_: str) -> str:
    """A mark as the text of a type. Raises SourceError for a type without a smallest value."""
    if mark.kind == "bytes":
        return "\\x" + mark.text
    if mark.kind != "lowest":
        return mark.text
    if type_ not in LOWEST:
        hint = f"write `start: {{{name}: …}}` with a value that is smaller than all others"
        raise SourceError(f"start: beginning knows no smallest {type_}, as the column {name} is", hint=hint)
    return LOWEST[type_]


class TooLateError(Exception):
    """A time beyond what Arrow can count, at a row of a batch, from 0."""

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row}")
        self.row = row


def _finite(times: pa.Array) -> pa.Array:
    """NULL for an infinity, which the driver's counting wraps around to a time long ago.

    Raises TooLateError for another time that it wraps around.
    """
    bits = pa.int32() if pa.types.is_date32(times.type) else pa.int64()
    counts = times.cast(bits)
    wrapped = pc.less(counts, pa.scalar(EARLIEST[str(bits)], bits))
    if not pc.any(wrapped).as_py():
        return times
    infinities = [_LEAST[str(bits)] + _EPOCH[str(bits)] - one for one in (0, 1)]
    others = pc.and_(wrapped, pc.invert(pc.is_in(counts, pa.array(infinities, bits))))
    if (row := pc.index(others, True).as_py()) >= 0:
        raise TooLateError(row)
    return pc.if_else(wrapped, pa.scalar(None, times.type), times)


def is_foreign(field: pa.Field) -> bool:
    """Whether the driver gives it in bytes that only PostgreSQL understands."""
    kind = type_of(field)
    if isinstance(field.type, pa.BaseExtensionType):
        return "arrow.opaque" in str(field.type) and kind != "numeric"
    nested = pa.types.is_list(field.type) and isinstance(field.type.value_type, pa.BaseExtensionType)
    return kind in {"money", "record"} or nested


def with_casts(sql: str, described: pa.Schema | None) -> str:
    """The query with such columns as text: an address, a range, a point."""
    if described is None or not any(is_foreign(field) for field in described):
        return sql
    chosen = ", ".join(
        (f"CAST(c{n} AS {_target(field)})" if is_foreign(field) else f"c{n}")
        + f" AS {identifier(field.name)}"
        for n, field in enumerate(described)
    )
    names = ", ".join(f"c{n}" for n in range(len(described)))
    return f"SELECT {chosen} FROM (\n{sql}) AS push_agent({names})"


def _target(field: pa.Field) -> str:
    if pa.types.is_list(field.type):
        return "float8[]" if type_of(field) == "_numeric" else "text[]"
    return "numeric" if type_of(field) == "money" else "text"


def known(field: pa.Field) -> tuple[pa.DataType, str]:
    """The Arrow type that DuckDB is given, and what it is cast to there."""
    kind = type_of(field)
    if isinstance(field.type, pa.UuidType):
        return field.type, ""
    if not isinstance(field.type, pa.BaseExtensionType):
        return field.type, ""
    if kind == "numeric":
        typmod = int((field.metadata or {}).get(b"POSTGRESQL:typmod", b"-1"))
        precision, scale = (typmod - 4) >> 16 & 0xFFFF, (typmod - 4) & 0x7FF
        exact = typmod >= 0 and 0 <= scale <= precision <= 38  # noqa: PLR2004 - of a DECIMAL in DuckDB
        return pa.string(), f"DECIMAL({precision},{scale})" if exact else NUMBER_TEXT
    return field.type.storage_type, JSON_TEXT if kind in {"json", "jsonb"} else ""


def kept(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column in the type that DuckDB is given."""
    if pa.types.is_timestamp(kind) or pa.types.is_date32(kind):
        return _finite(column)
    if column.type == kind:
        return column
    return column.storage if isinstance(column, pa.ExtensionArray) else column.cast(kind)
