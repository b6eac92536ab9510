"""What the ways to read a database have in common."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from urllib.parse import quote

from agent.config.model import Database
from agent.errors import SourceError
from agent.logs import BLOT, blotter

MOST_ROWS = 4096
BATCH_BYTES = 4_000_000
"""Of a batch of rows, about."""
_FEWEST = 16
LONGEST = 300
"""Characters of what a database says, in an error."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SignIn:
    """Who we are there."""

    username: str
    password: str = field(repr=False)

    def clean(self, text: str) -> str:
        """A driver's words without the password, which may stand there as it is or percent-encoded."""
        for secret in {self.password, quote(self.password, safe="")} - {""}:
            text = text.replace(secret, BLOT)
        return blotter.clean(text)


class Deadline:
    """How long a query may take."""

    def __init__(self, database: Database) -> None:
        self._seconds = database.statement_timeout.total_seconds()
        self._end = time.monotonic() + self._seconds

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._end

    def check(self, name: str) -> None:
        """Raises SourceError when the time is up."""
        if self.is_over:
            raise too_slow(name, self._seconds)


def too_slow(name: str, seconds: float) -> SourceError:
    """The query took too long."""
    return SourceError(
        f"{name}: the query took longer than {seconds:g} s",
        hint="an index on the cursor's columns, a LIMIT, or a longer `statement_timeout` of the connection",
    )


def cancelled(name: str) -> SourceError:
    """The agent stops."""
    return SourceError(f"{name}: reading was cancelled")


def driver(name: str, *, kind: str, extra: str) -> ModuleType:
    """A driver. Raises SourceError with the way to install it."""
    try:
        return import_module(name)
    except ImportError as error:
        hint = f"pip install 'push-agent[{extra}]'"
        raise SourceError(f"{kind} needs an extra that is not installed", hint=hint) from error


def rows_at_once(sample: Sequence[Sequence[object]]) -> int:
    """How many rows to hold in memory, by the size of the first ones: 4,096, fewer where they are large."""
    texts = sum(len(value) for row in sample for value in row if isinstance(value, str | bytes))
    size = max(texts // max(len(sample), 1), 1)
    return max(_FEWEST, min(MOST_ROWS, BATCH_BYTES // size))


def hint_of(words: str) -> str:
    """What to do about what a driver says; "" where we know no better."""
    read_only = re.search(r"read[- ]?only|ORA-01456", words, re.IGNORECASE)
    return "a source only reads; see `read_only` of the connection" if read_only else ""


def in_short(text: str) -> str:
    """What a driver says, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[:LONGEST] + "…"


def identifier(name: str) -> str:
    """A quoted name, as SQL has it."""
    return '"' + name.replace('"', '""') + '"'
