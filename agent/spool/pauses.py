"""What a person has paused, and how much of each job lies in the spool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import bindparam, delete, func, or_, select

from agent.spool.database import Database, Saved, Statement, rows_of
from agent.spool.queue import lanes_of, visible
from agent.spool.tables import dead, jobs, messages, pauses, waits
from agent.spool.values import Backlog, Fallen, PauseRow

_ALL = Statement(select(pauses).order_by(pauses.c.kind, pauses.c.name, pauses.c.part))
_SAVE = Saved(pauses)
_DROP = Statement(
    delete(pauses).where(
        pauses.c.kind == bindparam("kind"),
        pauses.c.name == bindparam("name"),
        pauses.c.part == bindparam("part"),
    )
)
_WAITED_FOR = Statement(delete(waits).where(waits.c.kind == "paused"))
_BACKLOGS = Statement(
    select(
        jobs.c.job,
        jobs.c.waiting,
        jobs.c.waiting_records,
        jobs.c.waiting_bytes,
        jobs.c.held,
        jobs.c.held_bytes,
    )
    .where(or_(jobs.c.waiting > 0, jobs.c.held > 0))
    .order_by(jobs.c.job)
)
_NEWEST = Statement(
    select(func.max(messages.c.id)).where(
        messages.c.job == bindparam("job"), messages.c.lane == bindparam("lane")
    )
)
_ANY_UP_TO = Statement(
    select(messages.c.id)
    .where(
        messages.c.job == bindparam("job"),
        messages.c.lane == bindparam("lane"),
        messages.c.id <= bindparam("last"),
        visible(),
    )
    .limit(1)
)
_FALLEN = Statement(
    select(func.count(), func.coalesce(func.sum(dead.c.records), 0)).where(
        dead.c.job == bindparam("job"), dead.c.run.between(bindparam("first"), bindparam("last"))
    )
)


def rows(db: Database) -> list[PauseRow]:
    """All of them."""
    return [PauseRow(**row) for row in rows_of(db, _ALL)]  # type: ignore[arg-type]


def put(db: Database, paused: Sequence[PauseRow]) -> None:
    """Each of these is paused from now on, as it says."""
    for row in paused:
        _SAVE.put(db, asdict(row))


def drop(db: Database, resumed: Sequence[PauseRow]) -> None:
    """None of these is paused any more; what lanes wait for they say anew."""
    for row in resumed:
        db.execute(_DROP, kind=row.kind, name=row.name, part=row.part)
    db.execute(_WAITED_FOR)


def backlogs(db: Database) -> list[Backlog]:
    """Of every job that has something in the spool, from its counters."""
    return [
        Backlog(job=job, messages=waiting, records=records, bytes=size, held=held, held_bytes=held_size)
        for job, waiting, records, size, held, held_size in db.execute(_BACKLOGS)
    ]


def newest(db: Database, job: str) -> int:
    """The id of the message of the job that was appended last; 0 when none is there."""
    found = [db.execute(_NEWEST, job=job, lane=lane).fetchone() for lane in lanes_of(db, job)]
    return max((int(row[0]) for row in found if row is not None and row[0] is not None), default=0)


def any_up_to(db: Database, job: str, last: int) -> bool:
    """Whether a message of the job with this id or an earlier one can still be sent."""
    return any(db.execute(_ANY_UP_TO, job=job, lane=lane, last=last).fetchone() for lane in lanes_of(db, job))


def fallen(db: Database, job: str, first: int, last: int) -> Fallen:
    """The dead letters of these runs of the job."""
    count, records = db.execute(_FALLEN, job=job, first=first, last=last).fetchone() or (0, 0)
    return Fallen(letters=int(count), records=int(records))
