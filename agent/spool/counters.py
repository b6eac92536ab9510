"""The counter row of each job, kept in the same transaction as what it counts."""

from __future__ import annotations

from sqlalchemy import bindparam, update

from agent.spool.database import Database, Statement, insert_all
from agent.spool.tables import jobs

_COUNTED = tuple(
    column.name for column in jobs.columns if column.name not in {"job", "last_run", "last_receipt"}
)
_INSERT = insert_all(jobs)
_NOTHING = dict.fromkeys(_COUNTED, 0)


def _adding(*names: str) -> Statement:
    sums = {name: jobs.columns[name] + bindparam(f"add_{name}") for name in names}
    return Statement(update(jobs).where(jobs.c.job == bindparam("of_job")).values(sums))


_APPENDED = _adding("waiting", "waiting_records", "waiting_bytes")
_HELD = _adding("held", "held_records", "held_bytes")
_RELEASED = _adding("waiting", "waiting_records", "waiting_bytes", "held", "held_records", "held_bytes")
_DEAD = _adding("dead")
_SETTLED = Statement(
    update(jobs)
    .where(jobs.c.job == bindparam("of_job"))
    .values(
        waiting=jobs.c.waiting - bindparam("gone"),
        waiting_records=jobs.c.waiting_records - bindparam("records"),
        waiting_bytes=jobs.c.waiting_bytes - bindparam("size"),
        delivered=jobs.c.delivered + bindparam("add_delivered"),
        delivered_records=jobs.c.delivered_records + bindparam("add_delivered_records"),
        dead=jobs.c.dead + bindparam("add_dead"),
        expired=jobs.c.expired + bindparam("add_expired"),
    )
)
_SUPERSEDED = _adding("waiting", "waiting_records", "waiting_bytes", "superseded")
_LAST_RUN = Statement(update(jobs).where(jobs.c.job == bindparam("of_job")).values(last_run=bindparam("run")))
_LAST_RECEIPT = Statement(
    update(jobs).where(jobs.c.job == bindparam("of_job")).values(last_receipt=bindparam("receipt"))
)


def _change(db: Database, statement: Statement, job: str, **values: int | None) -> None:
    if not db.execute(statement, of_job=job, **values).rowcount:
        db.execute(_INSERT, job=job, last_run=None, last_receipt=None, **_NOTHING)
        db.execute(statement, of_job=job, **values)


def appended(db: Database, job: str, messages: int, records: int, size: int, *, held: bool) -> None:
    """So many messages came in; held ones cannot be sent yet."""
    if held:
        _change(db, _HELD, job, add_held=messages, add_held_records=records, add_held_bytes=size)
    else:
        _change(db, _APPENDED, job, add_waiting=messages, add_waiting_records=records, add_waiting_bytes=size)


def released(db: Database, job: str, messages: int, records: int, size: int) -> None:
    """Held messages became visible."""
    _change(
        db,
        _RELEASED,
        job,
        add_waiting=messages,
        add_waiting_records=records,
        add_waiting_bytes=size,
        add_held=-messages,
        add_held_records=-records,
        add_held_bytes=-size,
    )


def settled(
    db: Database,
    job: str,
    *,
    records: int,
    size: int,
    delivered: int,
    good: int,
    dead: int,
    expired: int,
    gone: int = 1,
) -> None:
    """One waiting message left: it was delivered (0 or 1), with so many good records and dead letters.

    Of a message that only became smaller (`gone` is 0), `records` and `size` are what left.

    `expired`: of the dead letters, those that were too old; they are counted for ever.
    """
    _change(
        db,
        _SETTLED,
        job,
        records=records,
        size=size,
        gone=gone,
        add_delivered=delivered,
        add_delivered_records=good,
        add_dead=dead,
        add_expired=expired,
    )


def superseded(db: Database, job: str, *, records: int, size: int) -> None:
    """One waiting message left unsent, as a newer one took its place."""
    _change(
        db,
        _SUPERSEDED,
        job,
        add_waiting=-1,
        add_waiting_records=-records,
        add_waiting_bytes=-size,
        add_superseded=1,
    )


def dead_letters(db: Database, job: str, change: int) -> None:
    """Dead letters came or went without a message."""
    _change(db, _DEAD, job, add_dead=change)


def last_run(db: Database, job: str, run: int | None) -> None:
    """The newest run of the job; None: there is none any more."""
    _change(db, _LAST_RUN, job, run=run)


def last_receipt(db: Database, job: str, receipt: int) -> None:
    """The newest receipt of the job."""
    _change(db, _LAST_RECEIPT, job, receipt=receipt)
