"""What stands still and what is full, for a snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from agent.config.model import Job
from agent.limit import Limit
from agent.pauses.wish import read_over
from agent.spool import PauseRow
from agent.status import SpoolStatus
from agent.status_parts import PauseStatus

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


def filled(spool: SpoolStatus, messages: int) -> float:
    """How full it is, by its size or by its messages."""
    by_bytes = spool.bytes / spool.max_bytes if spool.max_bytes else 0.0
    return round(max(by_bytes, Limit(max_messages=spool.max_messages).share(messages, 0)), 4)
