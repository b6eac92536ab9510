"""What is owed is paid (see `owed`), and found again after a kill."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, delete, func, select
from sqlalchemy.sql.expression import bindparam

from agent.spool import counters
from agent.spool.database import Database, Statement
from agent.spool.owed import MOST, Debt
from agent.spool.tables import messages, receipts

_SAME = ("job", "lane", "run", "spooled_at")
_OF_RECEIPT = ("id", "message", "records", *_SAME)

_LEAVE = Statement(delete(messages).where(messages.c.id == bindparam("message")))


def delivered(queue: FromClause, kept: FromClause) -> Select[Any]:
    """Messages of `queue` that have a receipt among the newest of `kept`, in the order of the receipts."""
    newest = (
        select(*(kept.c[name] for name in _OF_RECEIPT))
        .order_by(kept.c.id.desc())
        .limit(MOST)
        .subquery("newest")
    )
    return (
        select(
            *(queue.c[name] for name in ("id", "job", "file", "records", "size")),
            newest.c.records.label("good"),
            newest.c.id.label("receipt"),
            func.length(queue.c.body).label("weight"),
        )
        .select_from(newest)
        .join(queue, _is_that(queue, newest))
        .order_by(newest.c.id)
    )


def _is_that(queue: FromClause, newest: FromClause) -> ColumnElement[bool]:
    """By more than the id: ids that were saved from a damaged database may have been given twice."""
    same = (queue.c[name] == newest.c[name] for name in _SAME)
    return and_(queue.c.id == newest.c.message, *same)


_DELIVERED = Statement(delivered(messages, receipts))


def collect(db: Database) -> None:
    """What a kill has left to be paid."""
    db.owed.clear()
    for message, job, file, *sums in db.execute(_DELIVERED).fetchall():
        if all(isinstance(each, int) for each in sums):  # not if damaged: nothing could be paid with it
            db.owed.add(message, Debt(job, file, *sums))


def pay(db: Database) -> None:
    """All that is owed, within a transaction. Raises sqlite3.Error: then it must be undone."""
    if not db.owed:
        return
    db.many(_LEAVE, [(message,) for message, _ in db.owed])
    jobs: dict[str, list[int]] = {}
    files: dict[int, list[int]] = {}
    for _, debt in db.owed:
        _add(jobs.setdefault(debt.job, [0] * 5), 1, debt.records, debt.size, debt.good)
        jobs[debt.job][4] = debt.receipt
        if debt.file is not None:
            _add(files.setdefault(debt.file, [0] * 3), 1, debt.records, debt.size)
    for job, (gone, records, size, good, receipt) in jobs.items():
        counters.settled(
            db, job, records=records, size=size, gone=gone, delivered=gone, good=good, receipt=receipt
        )
    for file, (gone, records, size) in files.items():
        counters.left_file(db, file, records=records, size=size, gone=gone, delivered=gone)
    db.owed.clear()


def _add(sums: list[int], *more: int) -> None:
    for place, each in enumerate(more):
        sums[place] += each
