"""What became of the records of a run: delivered, superseded, dead, waiting. Reads only, at a bounded cost.

There is no index of receipts by run: each ack would pay for it, and only `history` would read it. But
receipts get their ids in the order in which messages leave, so those of a run lie behind its beginning:

    receipts by id   ····················|──run 7──|─7 and 8─|──run 8──····|7|·····
                     ▲                   ▲ looked for here, piece by piece  ▲ of a letter sent again
                     oldest              first that left when run 7 had begun: found by halves

It is known that nothing is missing when the sum is right: a record that a run has spooled waits, is dead or
in a receipt, as long as nobody drops its letter and its receipt is kept. So counting ends where the sum of
the run's records is reached, mostly after about as many receipts as it had messages. Where the budget ends
before that, what became of the run is not known, and is not guessed.

All of it counts records: a message may leave in parts, each with a receipt or a letter of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, case, func, select

from agent.spool.database import Database, Statement
from agent.spool.prune import SPAN
from agent.spool.tables import dead, edits, jobs, messages, receipts
from agent.spool.values import Fates, RunRow

_FIRST_PIECE = 100  # receipts at least; a further one is half of what was looked at
_SLACK = 2.0  # seconds: acks of several lanes that are committed together are not sorted by their times

_COUNTED = Statement(select(jobs.c.waiting + jobs.c.held, jobs.c.dead).where(jobs.c.job == bindparam("job")))
_WAITING = Statement(
    select(messages.c.run, func.sum(messages.c.records))
    .where(messages.c.job == bindparam("job"))
    .group_by(messages.c.run)
)
_NEWEST_DEAD = (
    select(
        dead.c.run,
        dead.c.records,
        dead.c.died_at,
        # As it was collected, not as somebody edited it; a bad record never was part of a message.
        case(
            (dead.c.draft_headers.is_not(None), func.coalesce(edits.c.records, dead.c.records)), else_=0
        ).label("of_messages"),
    )
    .select_from(dead.outerjoin(edits, edits.c.letter == dead.c.id))
    .where(dead.c.job == bindparam("job"))
    .order_by(dead.c.id.desc())
    .limit(bindparam("most"))
    .subquery()
)
_DEAD = Statement(
    select(
        _NEWEST_DEAD.c.run,
        func.sum(_NEWEST_DEAD.c.records),
        func.sum(_NEWEST_DEAD.c.of_messages),
        func.min(_NEWEST_DEAD.c.died_at),
    ).group_by(_NEWEST_DEAD.c.run)
)
_AT = Statement(
    select(receipts.c.delivered_at).where(receipts.c.id >= bindparam("at")).order_by(receipts.c.id).limit(1)
)
# Ids have no gaps but where the oldest went, and small ones after kills: a span of ids is about as many rows.
_IN = Statement(
    select(
        func.coalesce(func.sum(case((receipts.c.status.is_not(None), receipts.c.records), else_=0)), 0),
        func.coalesce(func.sum(case((receipts.c.status.is_(None), receipts.c.records), else_=0)), 0),
    ).where(receipts.c.id.between(bindparam("first"), bindparam("last")), receipts.c.run == bindparam("run"))
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """How many rows may be looked at."""

    each: int
    """Receipts, for one run."""
    together: int
    """Receipts, for all runs that are asked for, in their order."""
    others: int = 10_000
    """Messages that wait, and dead letters: each may be a page of the disk."""


# 0.1 to 0.3 µs of a processor for each receipt; 1.2 µs when the disk has to be waited for.
LISTED = Budget(each=50_000, together=500_000)
DEEP = Budget(each=5_000_000, together=5_000_000, others=100_000)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fallen:
    records: int = 0
    of_messages: int = 0
    """Without bad records, which never were part of a message and are none of the run's records."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Gone:
    """What receipts tell of a run."""

    delivered: int
    superseded: int
    looked_at: int
    to_the_end: bool

    @property
    def records(self) -> int:
        return self.delivered + self.superseded


def of_runs(db: Database, job: str, asked: Sequence[RunRow], budget: Budget) -> list[Fates]:
    """What became of each of these runs of the job. To be read in one transaction with the runs."""
    waiting_messages, letters = db.execute(_COUNTED, job=job).fetchone() or (0, 0)
    waiting = _waiting(db, job, int(waiting_messages), budget.others)
    fallen, fallen_since = _dead(db, job, int(letters), budget.others)
    left = budget.together
    found = []
    for run in asked:
        waits = None if waiting is None else waiting.get(run.id, 0)
        died = fallen.get(run.id, _Fallen()) if run.started_at > fallen_since else None
        if died is None:
            found.append(Fates(waiting=waits))
            continue
        wanted = run.records - died.of_messages - (waits or 0)
        gone = _receipts(db, run, wanted, min(budget.each, left))
        left -= gone.looked_at
        found.append(_fates(run, died, waits, gone, wanted))
    return found


def _fates(run: RunRow, died: _Fallen, waits: int | None, gone: _Gone, wanted: int) -> Fates:
    if gone.records == wanted:  # the sum is right: there is nothing else
        waits = waits or 0
    elif not gone.to_the_end:
        return Fates(dead=died.records, waiting=waits)
    other = None if waits is None else max(0, run.records - died.of_messages - waits - gone.records)
    return Fates(
        delivered=gone.delivered,
        superseded=gone.superseded,
        dead=died.records,
        waiting=waits,
        other=other,
    )


def _waiting(db: Database, job: str, count: int, most: int) -> Mapping[int, int] | None:
    """Records that wait, by run; None: there are too many messages to look through."""
    if count > most:
        return None
    return _sums(db.execute(_WAITING, job=job)) if count else {}


def _sums(rows: Iterable[tuple[int, int]]) -> Mapping[int, int]:
    return {int(run): int(records) for run, records in rows}


def _dead(db: Database, job: str, count: int, most: int) -> tuple[Mapping[int, _Fallen], float]:
    """Records of dead letters by run, and since when all are counted."""
    if not count:
        return {}, float("-inf")
    rows = db.execute(_DEAD, job=job, most=most).fetchall()
    since = min((float(died) for *_, died in rows), default=0.0)
    found = {int(run): _Fallen(records=int(all_), of_messages=int(of)) for run, all_, of, _ in rows}
    return found, since if count > most else float("-inf")


def _receipts(db: Database, run: RunRow, wanted: int, most: int) -> _Gone:
    oldest, newest = db.execute(SPAN).fetchone() or (None, None)
    if oldest is None or newest is None or wanted <= 0:
        return _Gone(delivered=0, superseded=0, looked_at=0, to_the_end=oldest is None)
    begin = at = _first_since(db, run.started_at - _SLACK, oldest, newest)
    delivered = superseded = 0
    piece = max(_FIRST_PIECE, run.messages)
    while at <= newest and delivered + superseded < wanted and at - begin < most:
        last = min(at + piece, begin + most, newest + 1) - 1
        good, useless = db.execute(_IN, first=at, last=last, run=run.id).fetchone() or (0, 0)
        delivered, superseded = delivered + int(good), superseded + int(useless)
        at = last + 1
        piece = max(_FIRST_PIECE, (at - begin) // 2)
    return _Gone(delivered=delivered, superseded=superseded, looked_at=at - begin, to_the_end=at > newest)


def _first_since(db: Database, moment: float, oldest: int, newest: int) -> int:
    """The id of the first receipt of that moment or later: by halves, since ids follow the time."""
    low, high = oldest, newest + 1
    while low < high:
        middle = (low + high) // 2
        row = db.execute(_AT, at=middle).fetchone()
        if row is None or row[0] >= moment:
            high = middle
        else:
            low = middle + 1
    return low
