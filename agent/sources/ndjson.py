"""`type: ndjson`: one JSON object a line. Blank lines are no records; any line ending will do."""

# ruff: noqa: S608 - names and texts are quoted by `mapping`, expressions were parsed alone before
from __future__ import annotations

import gzip
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent.config.model import NdjsonSource
from agent.mapping import literal
from agent.sources import documents
from agent.sources.csv import storage
from agent.sources.relation import Opened, Relation, Uses

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def relation(con: DuckDBPyConnection, file: Opened, source: NdjsonSource, uses: Uses) -> Relation:
    """The records of an NDJSON file, read as lines: a bad one then harms no other."""
    # U+0001 cannot stand in a JSON text as it is, so it separates nothing in a good line
    lines = (
        f"read_csv({literal(file.reading)}, columns={{'__l': 'VARCHAR'}}, auto_detect=false, header=false, "
        f"delim=e'\\x01', quote='', escape='', nullstr='', strict_mode=false, "
        f"{storage(file)}{_rejects(source)})"
    )
    # what begins like an object is not blank: to know that costs less
    texts = f"SELECT __l FROM {lines} WHERE starts_with(__l, '{{') OR ltrim(__l, e' \\t\\r') <> ''"
    found = documents.over(con, file, source, uses, texts, partial(line_of, file))
    if source.on_bad_row != "dead_letter":
        return found
    return replace(found, rejects=True)


def _rejects(source: NdjsonSource) -> str:
    return ", store_rejects=true" if source.on_bad_row == "dead_letter" else ""


def line_of(file: Opened, row: int) -> int | None:
    """The line of record `row` (from 1)."""
    with Path(file.reading).open("rb") as plain:
        seen = 0
        for number, line in enumerate(gzip.GzipFile(fileobj=plain) if file.gzipped else plain, start=1):
            seen += bool(line.strip(b" \t\r\n"))
            if seen == row:
                return number + file.lines
    return None
