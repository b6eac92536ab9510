"""Counters made anew from what they count: after a salvage some of it is gone."""

from __future__ import annotations

from sqlalchemy import Table, bindparam, delete, func, insert, select, update

from agent.spool import counters
from agent.spool.database import Database, Statement
from agent.spool.tables import dead, files, jobs, messages, receipts, runs

# A message whose file's row is gone would have no file to settle: it belongs to none.
_FREE_ORPHANS = Statement(
    update(messages).where(messages.c.file.notin_(select(files.c.id))).values(file=None)
)
_CLEAR_JOBS = Statement(
    update(jobs).values(
        **dict.fromkeys(("waiting", "waiting_records", "waiting_bytes"), 0),
        **dict.fromkeys(("held", "held_records", "held_bytes", "dead"), 0),
    )
)
_CLEAR_FILES = Statement(update(files).values(waiting=0, waiting_records=0, waiting_bytes=0))
_DROP_NAMELESS = Statement(delete(jobs).where(jobs.c.job == ""))
_QUEUE = Statement(
    select(
        messages.c.job,
        messages.c.file,
        files.c.state,
        func.count(),
        func.sum(messages.c.records),
        func.sum(messages.c.size),
    )
    .select_from(messages.outerjoin(files, files.c.id == messages.c.file))
    .group_by(messages.c.job, messages.c.file, files.c.state)
)
_FILE = Statement(
    update(files)
    .where(files.c.id == bindparam("of_file"))
    .values(
        waiting=files.c.waiting + bindparam("count"),
        waiting_records=files.c.waiting_records + bindparam("records"),
        waiting_bytes=files.c.waiting_bytes + bindparam("bytes"),
    )
)
_DEAD = Statement(select(dead.c.job, func.count()).group_by(dead.c.job))


def _add_missing(table: Table) -> Statement:
    known = select(jobs.c.job)
    missing = select(table.c.job).distinct().where(table.c.job.notin_(known))
    return Statement(insert(jobs).from_select(["job"], missing, include_defaults=False))


def _newest(table: Table) -> Statement:
    return Statement(select(table.c.job, func.max(table.c.id)).group_by(table.c.job))


_ADD_MISSING = [_add_missing(table) for table in (messages, receipts, dead, runs)]
_LAST_RUNS = _newest(runs)
_LAST_RECEIPTS = _newest(receipts)


def recount(db: Database) -> None:
    """Run inside the salvage's transaction."""
    for statement in (_DROP_NAMELESS, _FREE_ORPHANS, *_ADD_MISSING, _CLEAR_JOBS, _CLEAR_FILES):
        db.execute(statement)
    for job, file, state, count, records, size in db.execute(_QUEUE).fetchall():
        counters.appended(db, job, count, records, size, held=state == "reading")
        if file is not None:
            db.execute(_FILE, of_file=file, count=count, records=records, bytes=size)
    for job, count in db.execute(_DEAD).fetchall():
        counters.dead_letters(db, job, count)
    for job, run in db.execute(_LAST_RUNS).fetchall():
        counters.last_run(db, job, run)
    for job, receipt in db.execute(_LAST_RECEIPTS).fetchall():
        counters.last_receipt(db, job, receipt)
