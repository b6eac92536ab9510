"""One DuckDB for the small files of a run: to set one up costs more than to read such a file.

    run ─▶ Kept ─▶ DuckDB, locked down: it reaches what lies in its own folder
                     └─ a file: copied into a folder below ─▶ a connection of its own ─▶ both are gone

So it reaches the one file being read, as one that is set up for that file alone. A connection has its own
temporary tables, and no two files have ever had the same name: nothing of a file is left for the next.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from agent.errors import SourceError
from agent.sources.relation import Opened

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SMALL = 1_000_000
"""Bytes of a file up to which copying it costs less than setting up a DuckDB: by far."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """How a DuckDB is set up: see `duck.connect`."""

    memory: int
    threads: int
    timezone: str
    careful: bool


class Kept:
    """A DuckDB that is kept from one file to the next. Used by one thread, for one file at a time."""

    def __init__(self, temp: Path) -> None:
        self.temp = temp
        self._folder: Path | None = None
        self._con: DuckDBPyConnection | None = None
        self._setting: Setting | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def open(self) -> bool:
        """Whether there is one at the moment."""
        return self._con is not None

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A new folder for one file, which it can reach; afterwards it is gone with all that is in it.

        After an error the DuckDB is gone too: one that has failed might fail again.
        """
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(dir=self.temp, prefix="kept-"))
        try:
            with tempfile.TemporaryDirectory(dir=self._folder, prefix="render-") as own:
                yield Path(own)
        except Exception:
            self.close()
            raise

    def connect(self, setting: Setting) -> DuckDBPyConnection:
        """A connection of its own: with nothing of those before, and for whoever asked to close."""
        from agent.sources import duck  # noqa: PLC0415 - whole-file jobs never load it

        assert self._folder is not None
        if self._setting != setting:
            self._end()
        if self._con is None:
            self._con = duck.connect(
                file=(),
                temp=self._folder,
                memory=setting.memory,
                threads=setting.threads,
                timezone=setting.timezone,
                careful=setting.careful,
            )
            self._setting = setting
        return self._con.cursor()

    def close(self) -> None:
        """Give back its memory and its folder. The next file makes another one."""
        self._end()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _end(self) -> None:
        con, self._con = self._con, None
        if con is not None:
            con.close()


def within(found: Opened, temp: Path) -> Opened:
    """The file within its folder: a copy, unless it was rewritten there already.

    Raises SourceError, for now, where there is no room for it.
    """
    if Path(found.reading).is_relative_to(temp):
        return found
    target = temp / "file"  # not its own name: that may be as long as a name can be
    try:
        with Path(found.reading).open("rb") as plain, target.open("wb") as out:
            shutil.copyfileobj(plain, out)
    except OSError as error:
        said = f"{found.name}: cannot be copied to be read: {error.strerror or error}"
        raise SourceError(said, hint="it needs room in the state folder, as much as the file") from error
    return replace(found, reading=str(target))
