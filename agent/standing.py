"""What stands still and what is full, for a snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from agent.config.model import Job
from agent.limit import Limit
from agent.pauses.wish import read_over
from agent.spool import PauseRow, SettledFile
from agent.status import SpoolStatus
from agent.status_parts import PauseStatus
from agent.unmoved import UnmovedFile

Paused: TypeAlias = "Mapping[tuple[str, str], Sequence[PauseRow]]"


def by_name(rows: list[PauseRow]) -> Paused:
    """By kind and name."""
    found: defaultdict[tuple[str, str], list[PauseRow]] = defaultdict(list)
    for row in rows:
        found[row.kind, row.name].append(row)
    return found


def paused_job(name: str, paused: Paused, job: Job | None) -> tuple[PauseStatus, ...]:
    """What holds this job: its own pauses, and those of connections where it is known which it goes over."""
    found = paused_of(paused, "job", name)
    if job is not None and paused:
        for part, place in (("collecting", read_over(job)), ("delivering", job.target.connection)):
            over = paused.get(("connection", place), ()) if place else ()
            found += tuple(_pause(row) for row in over if row.part == part)
    return found


def paused_of(paused: Paused, kind: str, name: str) -> tuple[PauseStatus, ...]:
    """The pauses of one name."""
    return tuple(_pause(row) for row in paused.get((kind, name), ()))


def _pause(row: PauseRow) -> PauseStatus:
    return PauseStatus(
        part=row.part,
        connection=row.name if row.kind == "connection" else "",
        reason=row.reason,
        since_at=row.since,
        until_at=row.until,
    )


_NOBODY = "push-agent does not run, which moves it where its job says"
_START = "start push-agent (where it could not be moved before, the log says why)"


def left_lying(settled: Sequence[SettledFile]) -> Mapping[str, tuple[UnmovedFile, ...]]:
    """By job: files that are dealt with and that nobody moves, since no daemon runs.

    Why the last one did not is not in the state: it could not, or it ended before. Blocks.
    """
    if not settled:
        return {}
    from agent.collect.files import AGAIN  # noqa: PLC0415 - seldom, and collecting costs 350 ms

    found: defaultdict[str, list[UnmovedFile]] = defaultdict(list)
    for one in settled:
        row = one.file
        # It is to be read again, where it lies; and what is no path was a page.
        if not row.reason.startswith(AGAIN) and row.path.startswith("/") and _lies_there(Path(row.path)):
            found[row.job].append(UnmovedFile(path=row.path, reason=_NOBODY, hint=_START))
    return {job: tuple(files) for job, files in found.items()}


def _lies_there(path: Path) -> bool:
    """False for one that was moved by a process that died before it could note that, or by a person."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # a folder that only the agent may look into
        return True
    return True


def filled(spool: SpoolStatus, messages: int) -> float:
    """How full it is, by its size or by its messages."""
    by_bytes = spool.bytes / spool.max_bytes if spool.max_bytes else 0.0
    return round(max(by_bytes, Limit(max_messages=spool.max_messages).share(messages, 0)), 4)
