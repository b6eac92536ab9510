"""Columns of a result that have no value at all: of a type that says so, whatever a driver makes of it."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa


def type_if_any(type_: pa.DataType, column: pa.Array | None) -> pa.DataType:
    """The type of a column; that of NULL where a whole result has no value in it (`column`: all of them).

    A guess would not fit the map: `=upper(plate)` of a number is an error, even where there is no row.
    """
    return pa.null() if column is not None and column.null_count == len(column) else type_


def typed(columns: Sequence[pa.Array], schema: pa.Schema) -> list[pa.Array]:
    """Columns as a schema of `type_if_any` has them."""
    pairs = zip(columns, schema.types, strict=True)
    return [pa.nulls(len(one)) if pa.types.is_null(type_) else one for one, type_ in pairs]
