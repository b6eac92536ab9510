"""A reading that is visible as a whole or not at all: a page, a program's output, what is told by a key.

held row ─▶ (render ─▶ append)… ─▶ visible + cursor, in one transaction
   └─ bad record, stop, kill ─▶ nothing of it was ever visible: it is read again

The row stands in the spool's table of files, under a path that no file can have.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.collect.files import AGAIN, AGAIN_IN_PART, OPEN
from agent.config.model import Job, files_of, log_of
from agent.logs import get_log
from agent.message import Cursor, JsonValue
from agent.render import Chunk
from agent.sources.seen import Marks
from agent.spool import FileRow, Spool
from agent.stamp import FileStamp

log = get_log("collect")

_WINDOW = "(window)"
"""What the row of a window is called, which the spool itself lets go."""


@dataclass(kw_only=True, slots=True)
class Whole:
    """Implements `intake.Place`; remembers what is to be stored once all of it is visible."""

    name: str
    file: int | None
    """None: the run holds all that it appends, until its window is done."""
    seed: str
    hold: bool = True
    rows: int = 0
    marks: Marks | None = None
    """Of what is known of all keys from then on."""
    cursor: Cursor | None = None
    """Where the source stands then, for sources whose rows say so."""

    def cursor_at(self, chunk: Chunk) -> None:
        """It moves when all is there."""
        del chunk

    def reached(self, chunk: Chunk) -> None:
        """So many records are durable."""
        self.rows = chunk.rows
        self.marks = chunk.marks or self.marks
        self.cursor = chunk.cursor or self.cursor


def stamp_called(path: str) -> FileStamp:
    """For a row of what is no file."""
    return FileStamp(path=path, device=0, inode=0, size=0, mtime_ns=0)


def let_go(job: Job, spool: Spool) -> None:
    """Close the rows that nobody goes on with: what a run that was killed held, and what the job read before.

    A job may have another kind of source than when the row was opened; held messages would wait for ever.
    """
    reads_files = files_of(job.source) is not None and log_of(job.source) is None
    ours = _in_cursor(spool.cursor(job.name).result() or {}) if reads_files else frozenset()
    for row in spool.open_files(job.name).result():
        if row.path == _WINDOW or row.state not in OPEN:
            continue
        if not row.path.startswith("/"):
            spool.abandon_file(row.id, f"{AGAIN}not spooled whole").result()
        elif not reads_files:
            _abandon(row, spool, "the job reads another kind of source now")
        elif row.state == "reading" and row.id not in ours:
            _abandon(row, spool, "how far it was read is not known any more")


def _abandon(row: FileRow, spool: Spool, why: str) -> None:
    held = row.state == "reading"
    spool.abandon_file(row.id, (AGAIN if held else AGAIN_IN_PART) + why).result()
    so = "what was spooled of it is dropped" if held else "its first part stays spooled"
    log.warning("a file that was read in part is given up", job=row.job, file=row.path, reason=why, so=so)


def _in_cursor(cursor: Cursor) -> frozenset[JsonValue]:
    """Rows that a run over files goes on with."""
    found = cursor.get("files")
    entries = found if isinstance(found, list) else []
    return frozenset(entry["file"] for entry in entries if isinstance(entry, dict) and "file" in entry)
