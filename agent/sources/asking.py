"""How a query is put to a database, and what comes back: what `agent.databases` implements. No I/O here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from agent.config.sql_text import SqlText
from agent.errors import SourceError
from agent.sources.mark import Marks

if TYPE_CHECKING:
    import pyarrow as pa

JSON_TEXT = "JSON"
NUMBER_TEXT = "NUMBER"
"""Words of `Answer.casts`: text that is JSON; text that is a number with all its digits. Others are types."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A query and what its parameters are."""

    job: str
    query: SqlText
    marks: Marks
    """A value for each parameter that the query names."""
    cursor: tuple[str, ...] = ()
    timezone: str = "UTC"
    """What naive times of the database mean: that of the job's schedule."""
    wider: Mapping[str, str] = field(default_factory=dict)
    """Columns to be given as `TEXT`, `REAL` or `BLOB`; found by a reading before (WiderError)."""
    cancelled: Callable[[], bool] = lambda: False


class Answer(Protocol):
    """An open result, read once. Its columns are called c0, c1 and so on."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the database calls them."""

    @property
    def schema(self) -> pa.Schema:
        """Their Arrow types, all of which DuckDB knows."""

    @property
    def casts(self) -> tuple[str, ...]:
        """What their text means where it is more than text: `JSON`, `NUMBER`, a DuckDB type; else ""."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, in the query's order. Raises SourceError, WiderError."""

    def interrupt(self) -> None:
        """Called by another thread: the query is to end now."""


class Databases(Protocol):
    """The databases of the config."""

    def ask(self, connection: str, question: Question) -> AbstractContextManager[Answer]:
        """Run the query for the length of a `with`. Raises SourceError, SecretError."""


class WiderError(SourceError):
    """A column holds values of another type than its first rows; ask again with these (`Question.wider`)."""

    def __init__(self, message: str, wider: Mapping[str, str]) -> None:
        hint = "set `types` of the source, or cast the column in the query"
        super().__init__(message, hint=hint)
        self.wider = wider
