"""A state folder looked at from outside: beside a running daemon, after a stop, after a kill.

Not one byte of it is written (see `readonly`). `find` is all that can be asked here; what needs SQLAlchemy,
which takes longer to import than `find` to answer, is in `Reader`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

from agent.errors import StateError
from agent.spool.calm import Calm
from agent.spool.folder import DATABASE
from agent.spool.look import look
from agent.spool.migrations import HEAD
from agent.spool.readonly import ReadOnly, connect_readonly
from agent.trace import Trace

T = TypeVar("T")


class Outside:
    """Looks at one state folder. Made by `open`; use it in a `with`. A folder without state is empty."""

    def __init__(self, path: Path, reading: ReadOnly | None) -> None:
        self._path = path
        self._reading = reading
        self._calm = Calm.before(path)

    @classmethod
    def open(cls, state: Path) -> Self:
        """Raises StateError when the database cannot be read, is damaged, or of another version."""
        path = state / DATABASE
        reader = cls(path, None)
        try:
            if path.exists():
                reader._reading = connect_readonly(path)
            version = reader.schema_version()
        except (OSError, sqlite3.Error) as error:
            reader.close()
            raise StateError(f"the state in {state} cannot be read: {error}") from error
        if version not in {"", HEAD}:
            reader.close()
            age, way = "an older", "the daemon brings it up to date when it starts"
            if version > HEAD:
                age, way = "a newer", "install the newer version"
            raise StateError(
                f"the state in {state} was made by {age} version of push-agent (schema {version})",
                hint=f"this version reads schema {HEAD}: {way}",
            )
        return reader

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it. Twice is fine."""
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def _read(self, work: Callable[[sqlite3.Connection], T], empty: T) -> T:
        """Once again on a new connection when a daemon started or stopped underneath."""
        if self._reading is None:
            return empty
        try:
            return self._calmly(work, self._reading.raw)
        except sqlite3.Error:
            self.close()
        try:
            self._calm = Calm.before(self._path)
            self._reading = connect_readonly(self._path)
            return self._calmly(work, self._reading.raw)
        except (OSError, sqlite3.Error) as error:
            raise StateError(f"the state in {self._path.parent} cannot be read: {error}") from error

    def _calmly(self, work: Callable[[sqlite3.Connection], T], raw: sqlite3.Connection) -> T:
        """What is read while a daemon begins to write may be put together of two states (see `calm`)."""
        try:
            found = work(raw)
        except sqlite3.Error:
            raise
        except Exception as error:  # a row of half-changed pages may make no sense
            self._check_calm(error)
            raise
        self._check_calm()
        return found

    def _check_calm(self, error: Exception | None = None) -> None:
        if self._calm.is_over():
            raise sqlite3.OperationalError("another process began to write into it; try again") from error

    def schema_version(self) -> str:
        """Four digits; "" when there is no state yet."""
        if self._reading is None:
            return ""
        row = self._reading.raw.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else ""

    def find(self, key: str, *, job: str = "", limit: int = 20) -> list[Trace]:
        """What became of the messages with this Idempotency-Key, or with a record with this receipt key.

        What waits first, then dead letters, then what has left, each from the newest on; `limit` in all.
        """
        return self._read(lambda raw: look(raw, key, job, limit), [])
