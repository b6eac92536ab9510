"""What a rendering takes and gives: plain values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from agent.clock import Clock
from agent.errors import Problem, SourceError
from agent.message import Cursor, Draft
from agent.sources.asking import Databases
from agent.sources.kept import Kept
from agent.sources.relation import Opened
from agent.sources.seen import Marks
from agent.window import Window

LINES_TOLD = 100
"""Bad records of a reading that are told their line: each costs reading the file again up to it."""


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
    aside: Callable[[], AbstractContextManager[None]] = nullcontext
    """Entered while a source is waited for, so that other runs may work meanwhile."""
    window: Window | None = None
    """The span of time that the run is about; None: it is about none."""
    backfill: bool = False
    """Whether a person asked for the window: a query's cursor then neither counts nor moves."""
    fit: int | None = None
    """Bytes of a body that the job's target was found to take, where that is less than `batch.bytes`."""
    kept: Kept | None = None
    """For small files, of which a run may read many."""
    thorough: bool = False
    """Check every document against the job's schema, whatever `body.check` says: dry runs and tests do."""


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
    marks: Marks | None = None
    """For `only: {changed_by: …}`: what is known of the keys behind these rows."""
    cursor: Cursor | None = None
    """Where the source stands behind these rows, for sources whose rows say so."""


class UnfitError(SourceError):
    """The job's expressions do not fit the file; `problems` says which, for whoever can show them all."""

    def __init__(self, problems: Sequence[Problem], file: Opened) -> None:
        super().__init__("\n".join(str(p) for p in problems), hint=f"found in {file.name}", lasting=True)
        self.problems = tuple(problems)
