"""Sources: files, and how records are read from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypeAlias

from agent.config.model.body import MapNode
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
    reread: Literal["changed", "always"] = "changed"
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


@dataclass(frozen=True, kw_only=True, slots=True)
class ParquetSource(RecordFiles):
    """Apache Parquet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExcelSource(RecordFiles):
    """A sheet of a workbook."""

    sheet: str | None = None
    """None: the first one."""
    header_row: int = 1
    """The row of the column names, from 1."""


RecordSource: TypeAlias = "CsvSource | NdjsonSource | JsonSource | ParquetSource | ExcelSource"
Source: TypeAlias = "FileSource | RecordSource"


def files_of(source: Source) -> Files | None:
    """The files that a source reads; None for one that reads none."""
    return source.files
