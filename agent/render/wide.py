"""Records of very many columns: DuckDB takes memory for 2,048 values of each column at every step of a query.

    scan (its own connection) ─▶ Arrow batches of few rows ─▶ the query: texts of few rows at a time

So a vector of texts is as large as some MB of records, not as 2,048 of them. Only over columns of types that
come through Arrow as they were.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agent.sources import duck
from agent.sources.relation import Relation, Uses

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

WIDE = 300
"""Columns of a record that are read, beyond which it is wide."""
VALUES = 131_072
"""Of a batch."""
_TABLE = "__wide"
_PLAIN = frozenset(
    {
        *(
            "varchar",
            "boolean",
            "tinyint",
            "smallint",
            "integer",
            "bigint",
            "utinyint",
            "usmallint",
            "uinteger",
        ),
        *("ubigint", "float", "double", "date", "timestamp", "timestamp with time zone", "decimal"),
    }
)


def rows_of(con: DuckDBPyConnection, relation: Relation, uses: Uses) -> int | None:
    """Rows of a batch; None for records that are not wide, or that are better left alone."""
    columns = len(relation.columns)
    if not (uses.record or uses.every):
        columns = min(columns, len(uses.bare | uses.compound))
    if columns <= WIDE or relation.document is not None:
        return None
    kinds = {found.kind for found in duck.types(con, relation.base)}
    return max(VALUES // columns, 1) if kinds <= _PLAIN else None


def register(con: DuckDBPyConnection, scan: DuckDBPyConnection, relation: Relation, rows: int) -> None:
    """What `narrowed` reads, once, for `con`."""
    con.register(_TABLE, duck.query(scan, relation.base).to_arrow_reader(rows))


def narrowed(relation: Relation) -> Relation:
    """The relation over the batches."""
    return replace(relation, base="SELECT * FROM __wide", typed_by="")
