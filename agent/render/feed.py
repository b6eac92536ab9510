"""Where the records of one reading come from. A file is one feed; a query's result or a page is another."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from agent.config.model import RecordFiles
from agent.errors import SourceError
from agent.sources import reader
from agent.sources.duck import descriptor_path
from agent.sources.files import SourceFile, opened, place_of, unchanged
from agent.sources.packed import unpack_zstd
from agent.sources.relation import Opened, Relation, Uses

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from agent.config.model import RecordSource
    from agent.sources.positions import Positions


class Feed(Protocol):
    """Records that can be read, in order. Used by one thread, for one reading."""

    @property
    def name(self) -> str:
        """For people, in errors and in the origin of a message: `devices.csv`."""

    @property
    def once(self) -> bool:
        """Whether it can be read one time only: then a bad record is explained while it passes by."""

    @property
    def positions(self) -> Positions | None:
        """Where its rows stand, for a source with a cursor; known once it is open."""

    def open(self, stack: ExitStack, temp: Path) -> Opened:
        """Open it for the length of `stack`. `temp` is a folder of its own. Raises SourceError."""

    def relation(self, con: DuckDBPyConnection, found: Opened, uses: Uses) -> Relation:
        """Its rows as SQL over `con`. Raises SourceError where columns are missing."""

    def recheck(self) -> None:
        """Raises SourceError when what was read is not what was opened: then no other error counts."""


@dataclass(kw_only=True, slots=True)
class FileFeed:
    """The records of a file. Implements `Feed`."""

    file: SourceFile
    source: RecordSource
    cancelled: Callable[[], bool]
    once: bool = False
    positions: None = None
    _descriptor: int = field(init=False, default=-1)
    _place: str = field(init=False, default="")

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.file.path.name

    def open(self, stack: ExitStack, temp: Path) -> Opened:
        """Open the file; one that DuckDB cannot read as it lies is rewritten into `temp`."""
        self._descriptor = stack.enter_context(opened(self.file))
        self._place = place_of(self._descriptor)
        path = str(self.file.path)
        found = Opened(path=path, reading=descriptor_path(self._descriptor), gzipped=path.endswith(".gz"))
        if path.endswith(".zst"):
            found = unpack_zstd(found, temp)
        kind = reader(self.source)
        if hasattr(kind, "convert"):
            return cast("Opened", kind.convert(found, self.source, temp, self.cancelled))
        return cast("Opened", kind.prepare(found, self.source, temp)) if hasattr(kind, "prepare") else found

    def relation(self, con: DuckDBPyConnection, found: Opened, uses: Uses) -> Relation:
        """As its kind of source reads it."""
        return cast("Relation", reader(self.source).relation(con, found, self.source, uses))

    def recheck(self) -> None:
        """A file that was changed in the middle is read again once it has settled.

        DuckDB follows our link to its name, and so says of one that was renamed or replaced that it may not
        be read.
        """
        unchanged(self.file, self._descriptor, "while it was read")
        if place_of(self._descriptor) != self._place:
            hint = "what is there now is read by the next run"
            raise SourceError(f"{self.name}: was moved or replaced while it was read", hint=hint)


def file_feed(source: RecordSource, file: SourceFile, cancelled: Callable[[], bool]) -> FileFeed:
    """The feed of a listed file."""
    assert isinstance(source, RecordFiles)
    return FileFeed(file=file, source=source, cancelled=cancelled)
