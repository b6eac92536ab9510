"""Dead letters, looked at: which ones, how many, in which order. Nothing here changes any.

The order of letters is that in which their messages once stood in the queue (`place`), not that in which
they died: sent again in it, they arrive as they were collected.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, bindparam, func, literal_column, or_, select
from sqlalchemy.sql.elements import ColumnElement

from agent.message import DAMAGED, DeadLetter
from agent.spool.database import Database, Statement, rows_of
from agent.spool.rows import letter_of
from agent.spool.tables import dead, edits

_AFTER_A_DOT = "/"  # the character behind the dot: `KEY.` up to `KEY/` is all that begins with `KEY.`


@dataclass(frozen=True, kw_only=True, slots=True)
class Which:
    """Some of the dead letters: those for which all that is said here is so."""

    job: str = ""
    reason: str = ""
    key: str = ""
    """Its idempotency key, or that of the message whose part it is."""
    statuses: tuple[tuple[int, int], ...] = ()
    """HTTP statuses of the answer, from and to, both included; any of them."""
    unanswered: bool = False
    """Those without an answer; beside `statuses`, those too."""
    died_from: float | None = None
    died_before: float | None = None
    ids: tuple[int, ...] = ()
    sendable: bool | None = None
    """Whether it can be sent again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LetterCount:
    """How many there are, of one job."""

    job: str
    letters: int
    records: int
    size: int
    """Bytes of the bodies before gzip."""
    oldest: float
    """When the first of them died."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spot:
    """One letter's place in the order of letters."""

    place: int
    id: int
    weight: int = 0
    """Bytes of its body as it lies here."""


START = Spot(place=-1, id=-1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Before:
    """What an edited letter was when it died."""

    key: str
    records: int
    size: int
    edited_at: float
    body: bytes
    """Gzipped."""


def counted(db: Database, which: Which) -> list[LetterCount]:
    """How many, job by job."""
    sums = (func.count(), func.sum(dead.c.records), func.sum(dead.c.size), func.min(dead.c.died_at))
    query = select(dead.c.job, *sums).where(*_conditions(which)).group_by(dead.c.job).order_by(dead.c.job)
    return [
        LetterCount(job=job, letters=letters, records=records, size=size, oldest=oldest)
        for job, letters, records, size, oldest in db.execute(Statement(query)).fetchall()
    ]


def newest_id(db: Database) -> int:
    """The youngest of all, 0 when there is none."""
    row = db.execute(_NEWEST).fetchone()
    return int(row[0] or 0) if row else 0


def spots(db: Database, which: Which, after: Spot, upto: int, limit: int) -> list[Spot]:
    """The next ones in order behind one, of those whose id is at most `upto`."""
    behind = or_(dead.c.place > after.place, and_(dead.c.place == after.place, dead.c.id > after.id))
    query = (
        select(dead.c.place, dead.c.id, func.length(dead.c.body))
        # the first of them is what an index can be asked for
        .where(*_conditions(which), dead.c.place >= after.place, behind, dead.c.id <= upto)
        .order_by(dead.c.place, dead.c.id)
        .limit(limit)
    )
    rows = db.execute(Statement(query)).fetchall()
    return [Spot(place=place, id=letter, weight=weight) for place, letter, weight in rows]


def listed(db: Database, which: Which, limit: int) -> list[DeadLetter]:
    """Newest first, without their bodies."""
    columns = [column for column in dead.columns if column.name != "body"]
    query = (
        select(*columns, edits.c.edited_at)
        .select_from(dead.outerjoin(edits, edits.c.letter == dead.c.id))
        .where(*_conditions(which))
        .order_by(dead.c.id.desc())
        .limit(limit)
    )
    return [letter_of(row) for row in rows_of(db, Statement(query))]


def one(db: Database, letter: int) -> DeadLetter | None:
    """With its body."""
    return next((letter_of(row) for row in rows_of(db, _LETTER, letter=letter)), None)


def before(db: Database, letter: int) -> Before | None:
    """What it was before it was edited; None: it is as it died."""
    row = db.execute(_BEFORE, letter=letter).fetchone()
    if row is None:
        return None
    return Before(key=row[0], records=row[1], size=row[2], edited_at=row[3], body=row[4])


def oldest_death(db: Database, job: str) -> float | None:
    """When the job's oldest letter died; its ids grow with time."""
    row = db.execute(_OLDEST, job=job).fetchone()
    return None if row is None else float(row[0])


_LETTER = Statement(
    select(dead, edits.c.edited_at)
    .select_from(dead.outerjoin(edits, edits.c.letter == dead.c.id))
    .where(dead.c.id == bindparam("letter"))
)
_BEFORE = Statement(
    select(edits.c.key, edits.c.records, edits.c.size, edits.c.edited_at, edits.c.body).where(
        edits.c.letter == bindparam("letter")
    )
)
_NEWEST = Statement(select(func.max(dead.c.id)))
_OLDEST = Statement(select(dead.c.died_at).where(dead.c.job == bindparam("job")).order_by(dead.c.id).limit(1))


def _conditions(which: Which) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if which.job:
        found.append(dead.c.job == which.job)
    if which.reason:
        found.append(dead.c.reason == which.reason)
    if which.key:
        parts = and_(dead.c.key >= f"{which.key}.", dead.c.key < which.key + _AFTER_A_DOT)
        found.append(or_(dead.c.key == which.key, parts))
    if which.statuses or which.unanswered:
        answers = [dead.c.status.between(first, last) for first, last in which.statuses]
        if which.unanswered:
            answers.append(dead.c.status.is_(None))
        found.append(or_(*answers))
    if which.died_from is not None:
        found.append(dead.c.died_at >= which.died_from)
    if which.died_before is not None:
        found.append(dead.c.died_at < which.died_before)
    if which.ids:
        # written out: a statement takes only so many parameters
        found.append(dead.c.id.in_([literal_column(str(int(each))) for each in which.ids]))
    if which.sendable is not None:
        can = and_(dead.c.draft_headers.is_not(None), dead.c.reason != DAMAGED)
        cannot = or_(dead.c.draft_headers.is_(None), dead.c.reason == DAMAGED)
        found.append(can if which.sendable else cannot)
    return found
