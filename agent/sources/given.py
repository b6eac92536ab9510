"""The records of a job test as a file that the job's source reads: so a test goes through the real reader."""

# ruff: noqa: S608 - names and texts are quoted by `mapping`
from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from agent import mapping
from agent.config.model import (
    CsvSource,
    Files,
    JsonSource,
    NdjsonSource,
    ParquetSource,
    RecordSource,
    Where,
)
from agent.errors import SourceError
from agent.message import JsonValue
from agent.sources import duck
from agent.sources.relation import Relation

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

Rows: TypeAlias = "Sequence[Mapping[str, JsonValue]]"


class Typed(Protocol):
    """A source whose records have types of their own: a query's rows, a sheet's cells."""

    @property
    def on_bad_row(self) -> Literal["fail", "dead_letter"]:
        """See `RecordFiles`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """See `RecordFiles`."""

    @property
    def types(self) -> Mapping[str, str]:
        """See `RecordFiles`."""

    @property
    def where(self) -> Where:
        """See `RecordFiles`."""


def stand_in(source: Typed) -> RecordSource:
    """The source that reads given records: itself, or for one that reads no text files, typed rows."""
    if isinstance(source, JsonSource):  # they are given alone, not where they stand in a document
        return replace(source, records="")
    if isinstance(source, CsvSource | NdjsonSource | ParquetSource):
        return source
    return ParquetSource(
        files=Files(paths=()),
        on_bad_row=source.on_bad_row,
        columns=source.columns,
        types=source.types,
        where=source.where,
    )


NAMES: Final = {"CsvSource": "given.csv", "ParquetSource": "given.parquet", "JsonSource": "given.json"}


def write_given(source: RecordSource, rows: Rows, temp: Path) -> Path:
    """Write records into `temp` as the source's own kind of file. Raises SourceError where they cannot be."""
    path = temp / NAMES.get(type(source).__name__, "given.ndjson")
    if isinstance(source, CsvSource):
        path.write_bytes(_csv(source, rows))
    elif isinstance(source, ParquetSource):
        from pyarrow import parquet  # noqa: PLC0415

        parquet.write_table(table(rows, (*source.columns, *source.types)), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(list(rows), ensure_ascii=False), encoding="utf-8")
    else:
        path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
    return path


def columns(rows: Rows, named: Sequence[str]) -> list[str]:
    """All columns of the records in the order in which they come, and those that the source names."""
    return list(dict.fromkeys([*(key for row in rows for key in row), *named]))


def table(rows: Rows, named: Sequence[str]) -> pa.Table:
    """The records with the types of their JSON values; a column without any value is text."""
    import pyarrow as pa  # noqa: PLC0415

    names = columns(rows, named)
    made = {}
    for name in names:
        values = [row.get(name) for row in rows]
        try:
            column = pa.array(values)
        except pa.ArrowException as error:
            raise SourceError(f"given: the column {name} holds values of unlike types: {error}") from None
        made[name] = column.cast(pa.string()) if pa.types.is_null(column.type) else column
    return pa.table(made)


def _csv(source: CsvSource, rows: Rows) -> bytes:
    names = columns(rows, (*source.columns, *source.types))
    if not source.header:
        names = _numbered(names)
    out = io.StringIO()
    write = _Fields(source, out)
    if source.header:
        write.line([_text(name) for name in names])
    for row in rows:
        write.line([_text(row.get(name)) for name in names])
    try:
        return out.getvalue().encode(source.encoding)
    except UnicodeEncodeError as error:
        raise SourceError(f"given: cannot be written in the source's encoding: {error}") from None


def _numbered(names: list[str]) -> list[str]:
    numbers = [int(tail) for name in names if (tail := name.removeprefix("column")).isdigit()]
    if len(numbers) < len(names):
        hint = "the columns of a file without a header are called column0, column1, …"
        raise SourceError("given: a column has a name, and the source has no header", hint=hint)
    return [f"column{number}" for number in range(max(numbers, default=-1) + 1)]


class _Fields:
    """CSV where an empty field is null and an empty field in quotes is the empty text."""

    def __init__(self, source: CsvSource, out: io.StringIO) -> None:
        self._source = source
        self._out = out

    def line(self, fields: Sequence[str | None]) -> None:
        self._out.write(self._source.delimiter.join(self._field(field) for field in fields) + "\n")

    def _field(self, text: str | None) -> str:
        if text is None:
            return ""
        quote = self._source.quote
        special = {self._source.delimiter, quote, "\n", "\r"}
        if not text or text != text.strip() or special & set(text):
            return quote + text.replace(quote, quote * 2) + quote
        return text


def _text(value: JsonValue) -> str | None:
    """A value as it would stand in a CSV file."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def first_records(
    con: DuckDBPyConnection, source: RecordSource, relation: Relation, count: int
) -> list[dict[str, JsonValue]]:
    """The first records of a source, as they could be given in a test: of CSV the texts that stand there."""
    if isinstance(source, CsvSource):
        found = duck.rows(con, f"SELECT * FROM ({relation.base}) LIMIT {count}")
        return [
            {
                name: None if value is None else str(value)
                for name, value in zip(relation.names, row, strict=True)
            }
            for row in found
        ]
    if relation.document is not None:
        text = relation.document
    else:
        chosen = ", ".join(column.sql for column in relation.columns)
        types = duck.types(con, f"SELECT {chosen} FROM ({relation.base})")
        pairs = zip(relation.columns, types, strict=True)
        text = mapping.record(tuple((column.name, column.sql, type_) for column, type_ in pairs), drop=False)
    found = duck.rows(con, f"SELECT {text} FROM ({relation.base}) LIMIT {count}")
    # a record that is no JSON object has no columns that a test could give
    return [json.loads(str(row[0])) for row in found if row[0] is not None]
