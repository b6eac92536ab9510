"""What a rendering takes and gives: plain values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.clock import Clock
from agent.errors import Problem, SourceError
from agent.message import Cursor, Draft
from agent.sources.asking import Databases
from agent.sources.relation import Opened, Relation
from agent.window import Window

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from agent.sources.query import Query


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What a rendering may use."""

    temp: Path
    """An existing folder for what does not fit into memory and for files rewritten as UTF-8."""
    memory: int
    """Bytes for DuckDB."""
    threads: int
    clock: Clock
    cancelled: Callable[[], bool]
    """Asked between chunks."""
    databases: Databases | None = None
    """Those that SQL sources may read."""
    window: Window | None = None
    """The span of time that the run is about; None: it is about none."""


class UnfitError(SourceError):
    """The job's expressions do not fit the source; `problems` says which, for whoever can show them all."""

    def __init__(self, problems: Sequence[Problem], file: Opened) -> None:
        super().__init__("\n".join(str(p) for p in problems), hint=f"found in {file.name}", lasting=True)
        self.problems = tuple(problems)


@dataclass(frozen=True, kw_only=True, slots=True)
class BadRecord:
    """A record that became no draft (`on_bad_row: dead_letter`)."""

    line: int | None
    """In the file, from 1; None where the kind of source has no lines."""
    text: str
    """The record as JSON, or the raw line."""
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """What is appended in one transaction."""

    drafts: tuple[Draft, ...]
    rows: int
    """Rows of the feed done so far, from its start: the `start_row` to go on from."""
    bad: tuple[BadRecord, ...] = ()
    cursor: Cursor | None = None
    """Where the source stands behind these rows, for sources whose rows say so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A feed that is open in a connection, and what is asked of it."""

    con: DuckDBPyConnection
    file: Opened
    relation: Relation
    query: Query
    dead_letter: bool
    careful: Callable[[], DuckDBPyConnection]
    """Another connection, for looking for the record that made the stream fail."""
