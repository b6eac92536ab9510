"""Text of a database that is none: bytes which are not UTF-8. SQLite keeps whatever it is given.

DuckDB would take them over as they are, and what it writes of them is no JSON. No Python per record: only in
a batch that holds such a text rows are looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

WHY = "why"
"""The column beside c0, c1, …: what is wrong with the row; mostly NULL."""
_SHOWN = 20
"""Bytes of the value that are told."""


def may_hold(schema: pa.Schema) -> bool:
    """Whether there is text at all."""
    return any(map(_has_text, schema.types))


def _has_text(kind: pa.DataType) -> bool:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return True
    return any(_has_text(kind.field(number).type) for number in range(kind.num_fields))


def told(batch: pa.RecordBatch, names: tuple[str, ...]) -> pa.RecordBatch:
    """The batch and `WHY`; a value that is not UTF-8 becomes NULL. `names`: of its columns, for people."""
    columns: list[pa.Array] = []
    whys: dict[int, str] = {}
    for name, column in zip(names, batch.columns, strict=True):
        bad = {} if _is_good(column) else dict(_bad(column))
        for row, shown in bad.items():
            whys.setdefault(row, f"column {name}: {shown} is not UTF-8")
        kept = [None if row in bad else row for row in range(len(column))] if bad else None
        columns.append(column if kept is None else column.take(pa.array(kept, pa.int64())))
    why = pa.nulls(batch.num_rows, pa.string())
    if whys:
        why = pa.array([whys.get(row) for row in range(batch.num_rows)], pa.string())
    schema = batch.schema.append(pa.field(WHY, pa.string()))
    return pa.record_batch([*columns, why], schema=schema)


def _is_good(column: pa.Array) -> bool:
    if not _has_text(column.type):
        return True
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _bad(column: pa.Array) -> Iterator[tuple[int, str]]:
    """Rows that are not UTF-8, and what stands there."""
    for row in range(len(column)):
        one = column.take(pa.array([row]))  # a slice of lists keeps what is in all of them
        if not _is_good(one):
            yield row, "a text in it" if one.type.num_fields else _shown(one.cast(pa.binary())[0].as_py())


def _shown(raw: bytes) -> str:
    r"""`caf\xe9`: its bytes, those that are no text by their numbers."""
    text = raw[:_SHOWN].decode("utf-8", "backslashreplace")
    return text + ("…" if len(raw) > _SHOWN else "")
