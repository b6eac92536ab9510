"""Which file is to be read, and where an interrupted reading goes on.

What a row of a file means for the next run:

    reading, streaming      the process died in it, or was stopped: go on behind the last spooled row
    spooled, done           sent: not again, unless its content changes or the job says `reread: always`
    failed, "not sent: …"   bad content: not again, until the content or the job's text changes
    failed, "read again: …" given up half-way because the content or the job changed: as if never seen
    failed, anything else   sent and refused: as `done`
    duplicate               known
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from agent.collect.known import Known, load_known
from agent.config.model import FileSource, Job, RecordFiles, files_of
from agent.logs import get_log
from agent.message import Cursor, JsonValue
from agent.sources.files import SourceFile, opened, pieces
from agent.sources.seen import Marks
from agent.spool import FileRow, Spool

log = get_log("collect")

# How the reason of a failed row begins; `finish` and the next run tell by it what happened.
NOT_SENT = "not sent: "
AGAIN = "read again: "
# And of one whose first part had left: what was sent before it does not stand any more.
AGAIN_IN_PART = AGAIN + "its first part was sent; "
OPEN = frozenset({"reading", "streaming"})


class StoppedError(Exception):
    """The agent stops; the next run goes on where this one is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Skip:
    """Known and unchanged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Duplicate:
    """Its content, or its path, was sent before."""

    sha256: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """To be read, from its start or where an earlier run was interrupted."""

    sha256: str


Decision: TypeAlias = "Skip | Duplicate | Read"


def decide(
    job: Job, file: SourceFile, spool: Spool, cancelled: Callable[[], bool], progress: Progress
) -> Decision:
    """What to do with a file. Blocks; reads the file only when its stamp is unknown.

    Raises SourceError when it cannot be read, StoppedError when cancelled meanwhile.
    """
    row = spool.file_by_stamp(job.name, file.stamp).result()
    if row is not None and is_settled_for(job, row, spool):
        return Skip()
    sha256 = content_of(file, cancelled)
    _give_up_others(job, file, sha256, spool, progress)
    earlier = _sent_before(job, file, sha256, spool)
    return Duplicate(sha256=sha256, reason=earlier) if earlier else Read(sha256=sha256)


def content_of(file: SourceFile, cancelled: Callable[[], bool]) -> str:
    """The SHA-256 of a listed file, in hex."""
    digest = hashlib.sha256()
    with opened(file) as descriptor:
        for piece in pieces(descriptor):
            if cancelled():
                raise StoppedError
            digest.update(piece)
    return digest.hexdigest()


def is_settled_for(job: Job, row: FileRow, spool: Spool) -> bool:
    """Whether the row says that there is nothing to do for the file as it stands."""
    if row.state in OPEN or row.reason.startswith(AGAIN):
        return False
    if row.state == "failed" and row.reason.startswith(NOT_SENT):
        return spool.job_sha_of_run(row.run).result() == job.sha256
    if reads_always(job):
        # A file that is moved away once it is delivered is read once, however often it is looked at.
        files = files_of(job.source)
        return files is not None and bool(files.done) and row.settled_at is None
    return True


def reads_always(job: Job) -> bool:
    """`reread: always`."""
    return isinstance(job.source, RecordFiles) and job.source.reread == "always"


def _sent_before(job: Job, file: SourceFile, sha256: str, spool: Spool) -> str:
    """Why the file is a duplicate; "" when it is none."""
    path = str(file.path)
    if isinstance(job.source, FileSource):
        if job.source.once_per == "path":
            row = _first_sent(spool.files_by_path(job.name, path, duplicates=False).result())
            return f"this path was sent before, at {_time(row.seen_at)}" if row else ""
        # Bytes that were refused are no duplicate: whoever drops them again wants another try.
        rows = [row for row in spool.files_by_content(job.name, sha256).result() if row.state != "failed"]
        row = _first_sent(rows[::-1])
        return f"the same content as {row.path} of {_time(row.seen_at)}" if row else ""
    if reads_always(job):
        return ""
    rows = spool.files_by_path(job.name, path, duplicates=False).result()
    row = next((row for row in rows if _was_sent(row) or row.reason.startswith(AGAIN_IN_PART)), None)
    same = row is not None and row.sha256 == sha256
    if row is None or not same or row.reason.startswith(AGAIN_IN_PART):
        return ""
    return f"its content did not change since {_time(row.seen_at)}"


def _first_sent(rows: list[FileRow]) -> FileRow | None:
    return next((row for row in rows if _was_sent(row)), None)


def _was_sent(row: FileRow) -> bool:
    if row.state == "failed":
        return not row.reason.startswith((NOT_SENT, AGAIN))
    return row.state in {"spooled", "done"}


def _give_up_others(job: Job, file: SourceFile, sha256: str, spool: Spool, progress: Progress) -> None:
    """Rows of this path that an interrupted run left open and that cannot be gone on with."""
    for row in spool.files_by_path(job.name, str(file.path), duplicates=False).result():
        if row.state not in OPEN:
            continue
        if row.sha256 != sha256:
            give_up(job, row, "its content changed in the middle", spool, progress)
        elif (row.state == "reading" or progress.known is not None) and (
            spool.job_sha_of_run(row.run).result() != job.sha256
        ):
            # Nothing of it was visible yet: one file is not sent half by the old and half by the new text.
            # What is told by a key is begun anew in any case: what the old text sent counts as changed.
            give_up(job, row, "the job changed in the middle", spool, progress)


def give_up(job: Job, row: FileRow, why: str, spool: Spool, progress: Progress) -> None:
    """Close a row that cannot be gone on with; the file counts as never seen."""
    reason = (AGAIN if row.state == "reading" else AGAIN_IN_PART) + why
    spool.abandon_file(row.id, reason, cursor=progress.drop(row.id)).result()
    what = "what was spooled of it is dropped" if row.state == "reading" else "its first part stays spooled"
    log.warning("a file that was read in part is given up", job=job.name, file=row.path, reason=why, so=what)


@dataclass(kw_only=True, slots=True)
class Progress:
    """How far each file that is open was read: the cursor of a job with file sources.

    {"files": [{"file": 12, "path": "/data/a.csv", "sha256": "9f…", "row": 5000}]}

    With `known` (`only: {changed_by: …}`), its layers lie beside the files: see `agent.collect.known`.
    """

    known: Known | None = None

    rows: dict[int, int] = field(default_factory=dict)
    """Row of the spool's table of files → rows of the source done so far."""
    entries: dict[int, dict[str, JsonValue]] = field(default_factory=dict)
    whole: dict[str, JsonValue] | None = None
    """The new layer of the reading under way, which replaces all others at its end."""

    def cursor_at(self, file: int, row: int, marks: Marks | None = None) -> Cursor:
        """The cursor once `row` rows of the file are spooled; stored with them, in one transaction."""
        entry: dict[str, JsonValue] = {**self.entries[file], "row": row}
        if marks is not None:
            entry |= self._kept(file, marks)
        return self._cursor([*(one for key, one in self.entries.items() if key != file), entry])

    def _kept(self, file: int, marks: Marks) -> dict[str, JsonValue]:
        """Marks of a part stand in the file's entry; those of the whole wait for `end`."""
        assert self.known is not None
        if marks.whole:
            if self.whole is None:
                self.whole = self.known.entry(marks)
            return {}
        old = self.entries[file].get("marks")
        if not isinstance(old, dict) or old.get("name") != marks.name:
            self.entries[file]["marks"] = self.known.entry(marks)
        return {"marks": self.entries[file]["marks"]}

    def _cursor(self, entries: list[dict[str, JsonValue]]) -> Cursor:
        files: list[JsonValue] = list(entries)
        if self.known is None or not self.known.layers:
            return {"files": files}
        seen: list[JsonValue] = list(self.known.layers)
        return {"files": files, "seen": seen}

    def begin(self, file: int, path: str, sha256: str) -> int:
        """The row from which on to read the file."""
        row = self.rows.setdefault(file, 0)
        marks = self.entries.get(file, {}).get("marks")
        self.whole = None
        self.entries[file] = {"file": file, "path": path, "sha256": sha256, "row": row}
        if marks is not None:
            self.entries[file]["marks"] = marks
        return row

    def reached(self, file: int, row: int) -> None:
        """So much of it is durable."""
        self.rows[file] = row
        self.entries[file]["row"] = row

    def end(self, file: int) -> Cursor:
        """The cursor without the file: all of it is spooled, and what that makes known counts."""
        if self.known is not None and self.whole is not None:
            self.known.layers = [self.whole]
        self.whole = None
        self.rows.pop(file, None)
        self.entries.pop(file, None)
        return self._cursor(list(self.entries.values()))

    def drop(self, file: int) -> Cursor:
        """The cursor without the file: no more of it is spooled. What left before stays known."""
        entry = self.entries.pop(file, {})
        marks, row = entry.get("marks"), entry.get("row")
        if self.known is not None and isinstance(marks, dict) and row:
            self.known.layers.append({**marks, "rows": row})
        self.whole = None
        self.rows.pop(file, None)
        return self._cursor(list(self.entries.values()))

    def sweep(self) -> None:
        """Files of marks that the cursor does not name are deleted. It must be durable."""
        if self.known is not None:
            marks = [entry.get("marks") for entry in self.entries.values()]
            self.known.sweep([one for one in marks if isinstance(one, dict)])


def load_progress(job: Job, spool: Spool) -> Progress:
    """What earlier runs left open; files that are gone meanwhile are given up."""
    progress = Progress(known=load_known(job, spool))
    for entry in _entries(spool.cursor(job.name).result()):
        sha256, file, done = entry.get("sha256"), entry.get("file"), entry.get("row")
        if not isinstance(sha256, str) or not isinstance(file, int) or not isinstance(done, int):
            continue
        # By its content: its path may be another one than when this was written.
        row = next((row for row in spool.files_by_content(job.name, sha256).result() if row.id == file), None)
        progress.rows[file] = done
        progress.entries[file] = {"file": file, "path": "", "sha256": sha256, "row": done}
        if progress.known is not None and progress.known.counts(entry.get("marks")):
            progress.entries[file]["marks"] = entry["marks"]
        if row is None or row.state not in OPEN:
            progress.drop(file)
        elif not os.path.lexists(row.path):
            give_up(job, row, "it is gone", spool, progress)
        else:
            progress.entries[file]["path"] = row.path
    progress.sweep()
    return progress


def _entries(cursor: Cursor | None) -> list[dict[str, JsonValue]]:
    found = (cursor or {}).get("files")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def changed_since(file: SourceFile) -> bool:
    """Whether the file is gone or another one than was listed: harmless, the next run sees to it."""
    try:
        found = Path(file.path).stat()
    except OSError:
        return True
    stamp = file.stamp
    now = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
    return now != (stamp.device, stamp.inode, stamp.size, stamp.mtime_ns)
