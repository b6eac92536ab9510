"""The rows that the spool gives and takes, as plain values. Times are seconds since 1970 in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from agent.message import Receipt
from agent.stamp import FileStamp
from agent.trace import LaneWait

FileState: TypeAlias = Literal["reading", "streaming", "spooled", "duplicate", "failed", "done"]
BackfillState: TypeAlias = Literal["running", "stopped", "failed", "done"]
RunState: TypeAlias = Literal["collecting", "done", "failed", "stopped", "interrupted", "skipped"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRow(FileStamp):
    """A source file that a job has met."""

    id: int
    job: str
    sha256: str
    state: FileState
    """`reading`: its messages are held back; `streaming`: they leave while it is read; `spooled`: all of
    it is in the spool; `duplicate`, `failed`: nothing is sent from it; `done`, `failed` and `duplicate`
    with `settled_at`: finished for good."""
    reason: str
    run: int
    seen_at: float
    settled_at: float | None
    """When it was finished (moved, or left where it is), or None."""
    moved_to: str | None

    @property
    def stamp(self) -> FileStamp:
        """The stamp alone."""
        return FileStamp(
            path=self.path, device=self.device, inode=self.inode, size=self.size, mtime_ns=self.mtime_ns
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SettledFile:
    """A file none of whose messages waits any more: ready to be finished."""

    file: FileRow
    delivered: int
    """Messages of it that were delivered."""
    dead: int
    """Dead letters that came from it."""

    @property
    def ends(self) -> Literal["done", "failed"]:
        """One dead letter is enough for a file to end as failed."""
        return "failed" if self.dead or self.file.state == "failed" else "done"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRow:
    """One collect of one job for one scheduled time, or the record of why there was none."""

    id: int
    job: str
    due: float
    trigger: str
    job_sha: str
    state: RunState
    reason: str
    started_at: float
    ended_at: float | None
    messages: int
    records: int
    bytes: int
    """Before gzip."""
    since: float | None = None
    """Of its window [since, until); None for a job without windows."""
    until: float | None = None
    backfill: int | None = None
    """The backfill that it is a part of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fates:
    """What became of the records of a run. None: it is not known, since looking for it costs too much."""

    delivered: int | None = None
    superseded: int | None = None
    dead: int | None = None
    """In letters that are kept; bad records too, which count in none of the run's messages."""
    waiting: int | None = None
    """Held ones too."""
    other: int | None = None
    """All of the rest: their receipts or letters are no longer kept, or they were taken back unsent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowMark:
    """How far the windows of a job are done."""

    job: str
    done: float
    """All before it is done: where the next window begins."""
    wanted: float | None
    """The end of a window that was begun and is not done: it is the next one, exactly as it was."""
    updated_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillRow:
    """The windows of a span in the past, pulled in order by a person's wish."""

    id: int
    job: str
    since: float
    until: float
    step: str
    """As it was asked for; "" for the windows of the job's own schedule."""
    done: float
    """All before it is done: where the next window begins."""
    state: BackfillState
    reason: str
    windows: int
    """Those that are done."""
    records: int
    messages: int
    started_at: float
    updated_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """What is left of a message when some of its records were settled."""

    progress: str
    """See `parts.Progress`."""
    records: int
    size: int
    """Bytes before gzip, as if it were one body."""
    attempts: int = 0
    """Those of what is sent next that failed."""
    durable: bool = False
    """Survives a power cut. A message that a learned size has cut would not be cut in the same way
    again: what was delivered of it would be so twice, with other keys."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """The size of body that a job's target was found to take: it answered 413."""

    job: str
    size: int
    """Bytes before gzip: larger bodies are neither made nor sent."""
    refused: int
    """The smallest that was refused."""
    learned_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PauseRow:
    """One half of a job, or of what goes over a connection, that a person has paused."""

    kind: Literal["job", "connection"]
    name: str
    part: Literal["collecting", "delivering"]
    reason: str
    """In the person's words; "" when none were given."""
    since: float
    until: float | None
    """When it ends by itself; None: when somebody resumes it."""

    @property
    def said(self) -> str:
        """In one sentence."""
        return f"{self.kind} {self.name} is paused" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """What of a job lies in the spool."""

    job: str
    messages: int
    """That can be sent."""
    records: int
    bytes: int
    """Before gzip."""
    held: int
    """Messages of files, pages and windows that are still being read."""
    held_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Fallen:
    """What of some runs became dead letters."""

    letters: int
    records: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigRow:
    """The last text of a config file that was accepted."""

    path: str
    """Below the config folder."""
    kind: Literal["job", "connection", "agent", "schema"]
    name: str
    text: bytes
    sha256: str
    accepted_at: float
    deleted: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovered:
    """What became of a damaged database."""

    set_aside: Path
    """The damaged file, beside the new one."""
    reason: str
    rows: tuple[tuple[str, int], ...]
    """Rows saved, by table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOverview:
    """Where one job stands."""

    job: str
    waiting: int
    """Messages that can be sent."""
    waiting_records: int
    waiting_bytes: int
    """Before gzip."""
    held: int
    """Messages of files that are still being read."""
    held_bytes: int
    oldest_at: float | None
    """When the oldest waiting message entered the spool."""
    delivered: int
    delivered_records: int
    dead: int
    """Dead letters that are kept."""
    oldest_dead_at: float | None
    """When the oldest of them died."""
    expired: int
    """Messages that were too old to be sent, ever."""
    superseded: int
    """Messages whose place a newer one took, ever."""
    last_run: RunRow | None
    last_failed: RunRow | None
    """The latest run that failed, whatever came after it."""
    last_receipt: Receipt | None
    waits: tuple[LaneWait, ...]
