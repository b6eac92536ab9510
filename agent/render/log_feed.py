"""The records of a part of a growing log: a copy of it is read, errors name the lines of the log."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from agent.errors import SourceError
from agent.sources import reader
from agent.sources.log_mark import new_mark
from agent.sources.log_part import Part, cut
from agent.sources.logs import opened_log, survey
from agent.sources.relation import Opened, Relation, Uses

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from agent.config.model import CsvSource, NdjsonSource
    from agent.message import Cursor
    from agent.render.values import Context
    from agent.sources.files import SourceFile

FIRST = 1_000_000
"""Bytes of a log that are looked at to check a job."""


@dataclass(kw_only=True, slots=True)
class LogFeed:
    """Implements `Feed`. The copy belongs to whoever cut it."""

    name: str
    path: str
    part: Part
    once: bool = False
    positions: None = None

    def open(self, stack: ExitStack, temp: Path) -> Opened:
        """The copy, or what it is as UTF-8."""
        del stack
        before = Opened(
            path=self.path,
            reading=str(self.part.copy),
            gzipped=False,
            lines=self.part.lines,
            rows=self.part.mark.rows,
        )
        kind = reader(self.part.source)
        if not hasattr(kind, "prepare"):
            return before
        return cast("Opened", kind.prepare(before, self.part.source, temp))

    def relation(self, con: DuckDBPyConnection, found: Opened, uses: Uses) -> Relation:
        """As its kind of source reads it."""
        return cast("Relation", reader(self.part.source).relation(con, found, self.part.source, uses))

    def recheck(self) -> None:
        """A copy does not change."""


def parts(source: CsvSource | NdjsonSource, ctx: Context, cursor: Cursor | None) -> Iterator[LogFeed]:
    """What was added to all logs of a job behind its cursor, part by part; nothing is kept of it."""
    found = survey(source.files, cursor, ctx.clock)
    with tempfile.TemporaryDirectory(dir=ctx.temp, prefix="render-log-") as temp:
        for log in found.logs:
            mark, name = log.mark, log.file.path.name
            with opened_log(log.file) as descriptor:
                size = os.fstat(descriptor).st_size
                while part := cut(descriptor, name, mark, source, size, Path(temp) / "part"):
                    yield LogFeed(name=name, path=str(log.file.path), part=part)
                    mark = part.behind
    if found.problems:
        raise SourceError("; ".join(found.problems))


def first_of_log(source: CsvSource | NdjsonSource, file: SourceFile, temp: Path) -> LogFeed | None:
    """Some records from the start of a log; None where none is complete. Raises SourceError."""
    path = str(file.path)
    with opened_log(file) as descriptor:
        mark = new_mark(1, path, file.stamp.device, file.stamp.inode)
        part = cut(
            descriptor, file.path.name, mark, source, file.stamp.size, temp / "first of the log", FIRST
        )
    return LogFeed(name=file.path.name, path=path, part=part) if part is not None else None
