"""`type: parquet`: Apache Parquet. Columns have the types that the file says; `types` casts them."""

# ruff: noqa: S608 - names and texts are quoted by `mapping`, expressions were parsed alone before
from __future__ import annotations

from typing import TYPE_CHECKING

from agent.config.model import ExcelSource, ParquetSource
from agent.mapping import identifier, literal
from agent.sources import duck
from agent.sources.relation import Column, Opened, Relation, Uses, require

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def relation(
    con: DuckDBPyConnection, file: Opened, source: ParquetSource | ExcelSource, uses: Uses
) -> Relation:
    """The rows of a Parquet file. Raises SourceError when columns are missing."""
    del uses  # DuckDB reads only the columns that the query names
    reader = f"read_parquet({literal(file.reading)})"
    names = tuple(str(row[0]) for row in duck.rows(con, f"DESCRIBE SELECT * FROM {reader}"))
    require(file, (*source.columns, *source.types), names)
    columns: list[Column] = []
    checks: list[str] = []
    for number, name in enumerate(names):
        own = f"__c{number}"
        wanted = source.types.get(name)
        if wanted is None:
            columns.append(Column(name=name, sql=own))
            continue
        tried = f"TRY_CAST({own} AS {wanted})"
        shown = f"left(CAST({own} AS VARCHAR), 60)"
        said = f"{literal(f'column {name}: ')} || {shown} || {literal(f' is not a {wanted}')}"
        columns.append(Column(name=name, sql=tried))
        checks.append(f"CASE WHEN {own} IS NOT NULL AND {tried} IS NULL THEN {said} END")
    inner = ", ".join(f"{identifier(name)} AS __c{number}" for number, name in enumerate(names))
    packed = ", ".join(f"{identifier(name)} := __c{number}" for number, name in enumerate(names))
    return Relation(
        base=f"SELECT {inner} FROM {reader}",
        columns=tuple(columns),
        names=names,
        entries=tuple((column.name, column.sql) for column in columns),
        shown=f"CAST(to_json(struct_pack({packed})) AS VARCHAR)",
        checks=tuple(checks),
        line_of=lambda _row: None,
    )
