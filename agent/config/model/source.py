"""Sources: files and queries, and how records are read; HTTP APIs and programs, which are asked for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypeAlias

from agent.config.model.body import JsonScalar, MapNode
from agent.config.model.paging import Paging
from agent.config.model.place import Where


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """What all sources that read files have in common."""

    paths: tuple[str, ...]
    """Absolute globs."""
    settle: timedelta = timedelta(seconds=2)
    """Size and mtime unchanged this long before a file is read."""
    order: tuple[Literal["mtime", "name"], ...] = ("mtime", "name")
    done: str | None = None
    """The folder a file is moved to once all of it is delivered; relative to the file's own."""
    failed: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FileSource:
    """`type: file`: each file is one body, byte for byte."""

    files: Files
    once_per: Literal["content", "path"] = "content"
    columns: tuple[str, ...] = ()
    """Names that the first line must hold; empty: not checked."""
    delimiter: str = ","
    """Of the first line, for `columns`."""
    where: Where = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Only:
    """Which records are sent: new and changed ones, told by a key."""

    changed_by: tuple[str, ...]
    """The columns of the key."""
    deleted: Literal["ignore", "send"] = "ignore"
    deleted_map: MapNode | None = None
    """The document for a key that is gone, over the key columns; None: the key columns as they are."""
    where: Where = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordFiles:
    """What `csv`, `ndjson`, `json` and `parquet` have in common."""

    files: Files
    reread: Literal["changed", "always", "appended"] = "changed"
    """`appended`: logs that grow; of `csv` and `ndjson` only."""
    on_bad_row: Literal["fail", "dead_letter"] = "fail"
    only: Only | None = None
    """None: all records are sent."""
    columns: tuple[str, ...] = ()
    """Names that the file must have."""
    types: Mapping[str, str] = field(default_factory=dict)
    """Column → DuckDB type."""
    where: Where = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class CsvSource(RecordFiles):
    """RFC 4180, columns are text unless `types` says otherwise."""

    delimiter: str = ","
    quote: str = '"'
    header: bool = True
    encoding: str = "utf-8"
    """One that the schema lists; Python's codec of that name."""
    sniff: bool = False
    """`types: auto`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NdjsonSource(RecordFiles):
    """One JSON object a line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonSource(RecordFiles):
    """A JSON array of objects, or one object."""

    records: str = ""
    """JSON pointer (RFC 6901) to them; "": the whole text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParquetSource(RecordFiles):
    """Apache Parquet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExcelSource(RecordFiles):
    """A sheet of a workbook."""

    sheet: str | int | None = None
    """Its name, or its number from 1; None: the first one."""
    range: str | None = None
    """`B3:F200`, with the row of the column names; None: the whole sheet."""
    header_row: int = 1
    """The row of the column names, from 1."""


Reading: TypeAlias = "CsvSource | NdjsonSource | JsonSource"
"""How a document that came in is read; its `files` are empty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpSource:
    """`type: http`: GET through a connection. Exactly one of `endpoint`, `url`; `path` may follow one."""

    connection: str
    endpoint: str | None = None
    url: str | None = None
    path: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    """Values may hold `{since}`, `{until}` and `{cursor}`."""
    paging: Paging | None = None
    max_pages: int = 1000
    """Of one walk from the first page to the last."""
    max_bytes: int = 100_000_000
    """Of one answer, decompressed."""
    timeout: timedelta = timedelta(seconds=60)
    """For one answer, to its end."""
    reading: Reading
    where: Where = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandSource:
    """`type: command`: what a program prints."""

    command: tuple[str, ...]
    environment: tuple[str, ...] = ()
    """Names of the variables that it gets, and no others."""
    folder: str = "/"
    timeout: timedelta = timedelta(seconds=60)
    success: frozenset[int] = frozenset({0})
    """Exit codes."""
    max_bytes: int = 100_000_000
    reading: Reading
    where: Where = field(compare=False)
    """Of the source; `program` is the command's own."""
    program: Where = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class SettledRows:
    """Rows younger than this wait for the next run, or their window does: what commits late is not lost."""

    column: str
    """Holds the time at which a row was written; "" for a window, which waits as a whole."""
    age: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class SqlSource:
    """`type: sql`: the rows of a query."""

    connection: str
    query: str
    cursor: tuple[str, ...] = ()
    """Columns whose last values are bound to the `:parameters` of their names; empty: all rows each run."""
    start: Literal["beginning", "now"] | Mapping[str, JsonScalar] = "beginning"
    """Where the first run of the job starts; or the values to start behind."""
    settle: SettledRows | None = None
    on_bad_row: Literal["fail", "dead_letter"] = "fail"
    only: Only | None = None
    """None: all rows are sent."""
    columns: tuple[str, ...] = ()
    """Names that the result must have."""
    types: Mapping[str, str] = field(default_factory=dict)
    """Column → DuckDB type."""
    where: Where = field(compare=False)


FileRecords: TypeAlias = "CsvSource | NdjsonSource | JsonSource | ParquetSource | ExcelSource"
RecordSource: TypeAlias = "FileRecords | SqlSource"
PulledSource: TypeAlias = "HttpSource | CommandSource"
Source: TypeAlias = "FileSource | RecordSource | PulledSource"


def files_of(source: Source) -> Files | None:
    """The files that a source reads; None for one that reads none."""
    return None if isinstance(source, SqlSource | HttpSource | CommandSource) else source.files


def reading_of(source: Source) -> RecordSource | None:
    """How its records are read; None where there are no records."""
    if isinstance(source, HttpSource | CommandSource):
        return source.reading
    return None if isinstance(source, FileSource) else source


def only_of(source: Source) -> Only | None:
    """What of the records is sent; None: all of them."""
    reading = reading_of(source)
    return reading.only if reading is not None else None


def log_of(source: Source) -> CsvSource | NdjsonSource | None:
    """A source whose files are logs: only what was added to them is read (`reread: appended`)."""
    if isinstance(source, CsvSource | NdjsonSource) and source.reread == "appended":
        return source
    return None
