"""The counter row of each job, kept in the same transaction as what it counts."""

from __future__ import annotations

from sqlalchemy import bindparam, func, update

from agent.spool.database import Database, Statement, insert_all
from agent.spool.tables import files, jobs

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
# In the order in which `settled` and `left_file` give their parameters: each ack runs them.
_SETTLED = Statement(
    update(jobs)
    .where(jobs.c.job == bindparam("of_job"))
    .ordered_values(
        (jobs.c.waiting, jobs.c.waiting - bindparam("gone")),
        (jobs.c.waiting_records, jobs.c.waiting_records - bindparam("records")),
        (jobs.c.waiting_bytes, jobs.c.waiting_bytes - bindparam("size")),
        (jobs.c.delivered, jobs.c.delivered + bindparam("add_delivered")),
        (jobs.c.delivered_records, jobs.c.delivered_records + bindparam("add_delivered_records")),
        (jobs.c.dead, jobs.c.dead + bindparam("add_dead")),
        (jobs.c.expired, jobs.c.expired + bindparam("add_expired")),
        (jobs.c.last_receipt, func.coalesce(bindparam("receipt"), jobs.c.last_receipt)),
    )
)
_LEFT_FILE = Statement(
    update(files)
    .where(files.c.id == bindparam("file"))
    .ordered_values(
        (files.c.waiting, files.c.waiting - bindparam("gone")),
        (files.c.waiting_records, files.c.waiting_records - bindparam("records_less")),
        (files.c.waiting_bytes, files.c.waiting_bytes - bindparam("bytes_less")),
        (files.c.delivered, files.c.delivered + bindparam("add_delivered")),
        (files.c.dead, files.c.dead + bindparam("add_dead")),
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
    dead: int = 0,
    expired: int = 0,
    gone: int = 1,
    receipt: int | None = None,
) -> None:
    """Waiting messages left: so many were delivered, with so many good records and dead letters.

    Of a message that only became smaller (`gone` is 0), `records` and `size` are what left. `expired`: of
    the dead letters, those that were too old; they are counted for ever. `receipt`: the newest one, if any.
    """
    row = (gone, records, size, delivered, good, dead, expired, receipt, job)
    if not db.run(_SETTLED, row).rowcount:
        db.execute(_INSERT, job=job, last_run=None, last_receipt=None, **_NOTHING)
        db.run(_SETTLED, row)


def left_file(
    db: Database, file: int, *, records: int, size: int, gone: int, delivered: int, dead: int = 0
) -> None:
    """The same of a source file whose messages they were."""
    db.run(_LEFT_FILE, (gone, records, size, delivered, dead, file))


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
