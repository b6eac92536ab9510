"""One file per kind of source; `READERS` joins the word in the YAML and the code, visibly."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Final

from agent.config.model import CsvSource, ExcelSource, JsonSource, NdjsonSource, ParquetSource, RecordSource

READERS: Final = {
    CsvSource: "agent.sources.csv",
    NdjsonSource: "agent.sources.ndjson",
    JsonSource: "agent.sources.json",
    ParquetSource: "agent.sources.parquet",
    ExcelSource: "agent.sources.excel",
}
"""Kinds that are read record by record: `relation(con, file, source, uses)`, and `prepare(…)` where a file
may have to be rewritten first, or `convert(…, cancelled)` where another process does that. Named, not
imported: a daemon of whole-file jobs never loads DuckDB."""


def reader(source: RecordSource) -> ModuleType:
    """The module of a kind of source."""
    return import_module(READERS[type(source)])
