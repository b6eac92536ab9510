"""Sources: files and queries, and how records are read from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypeAlias

from agent.config.model.body import JsonScalar
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
class RecordFiles:
    """What `csv`, `ndjson`, `json` and `parquet` have in common."""

    files: Files
    reread: Literal["changed", "always"] = "changed"
    on_bad_row: Literal["fail", "dead_letter"] = "fail"
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
    encoding: Literal["utf-8", "utf-16", "latin-1"] = "utf-8"
    sniff: bool = False
    """`types: auto`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NdjsonSource(RecordFiles):
    """One JSON object a line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonSource(RecordFiles):
    """A JSON array of objects, or one object."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParquetSource(RecordFiles):
    """Apache Parquet."""


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
    columns: tuple[str, ...] = ()
    """Names that the result must have."""
    types: Mapping[str, str] = field(default_factory=dict)
    """Column → DuckDB type."""
    where: Where = field(compare=False)


RecordSource: TypeAlias = "CsvSource | NdjsonSource | JsonSource | ParquetSource | SqlSource"
Source: TypeAlias = "FileSource | RecordSource"


def files_of(source: Source) -> Files | None:
    """The files that a source reads; None for one that reads none."""
    return None if isinstance(source, SqlSource) else source.files
