"""Runs: one collect of one job, and the occurrences that did not run, with their reason."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import bindparam, delete, func, select, update

from agent.spool import counters, windows
from agent.spool.database import Database, Statement, insert_all
from agent.spool.tables import jobs, runs

KEPT_RUNS = 1_000  # per job; for `status` and for people, not for any guarantee
_LOOK_BACK = 50  # runs; far more than the three that quarantine a job

_INSERT = insert_all(runs, without=("id",))
_NO_WINDOW = dict.fromkeys(("since", "until", "held", "backfill", "cursor"))
_END = Statement(
    update(runs)
    .where(runs.c.id == bindparam("run"))
    .values(state=bindparam("new_state"), reason=bindparam("why"), ended_at=bindparam("now"))
)
_INTERRUPT = Statement(
    update(runs)
    .where(runs.c.state == "collecting")
    .values(state="interrupted", reason="the process ended in the middle", ended_at=bindparam("now"))
)
_LATEST = Statement(
    select(runs.c.state, runs.c.job_sha, runs.c.messages)
    .where(runs.c.job == bindparam("job"), runs.c.state != "skipped", runs.c.state != "collecting")
    .order_by(runs.c.id.desc())
    .limit(_LOOK_BACK)
)
_FORGET = Statement(delete(runs).where(runs.c.id == bindparam("run"), runs.c.messages == 0))
_NEWEST = Statement(select(func.max(runs.c.id)).where(runs.c.job == bindparam("job")))
_STATE = Statement(select(runs.c.state).where(runs.c.id == bindparam("run")))
_SHA = Statement(select(runs.c.job_sha).where(runs.c.id == bindparam("run")))
_JOBS = Statement(select(jobs.c.job))
_LIMIT_ID = Statement(
    select(runs.c.id)
    .where(runs.c.job == bindparam("job"))
    .order_by(runs.c.id.desc())
    .offset(KEPT_RUNS)
    .limit(1)
)
_PRUNE = Statement(
    delete(runs).where(
        runs.c.job == bindparam("job"), runs.c.id <= bindparam("last"), runs.c.state != "collecting"
    )
)


def _insert(  # noqa: PLR0917
    db: Database, job: str, due: float, trigger: str, sha: str, state: str, why: str, now: float
) -> int:
    ended = None if state == "collecting" else now
    run = (
        db.execute(
            _INSERT,
            job=job,
            due=due,
            trigger=trigger,
            job_sha=sha,
            state=state,
            reason=why,
            started_at=now,
            ended_at=ended,
            messages=0,
            records=0,
            bytes=0,
            **_NO_WINDOW,
        ).lastrowid
        or 0
    )
    counters.last_run(db, job, run)
    return run


def start(db: Database, job: str, due: float, trigger: str, job_sha: str, now: float) -> int:  # noqa: PLR0917
    """A run begins."""
    return _insert(db, job, due, trigger, job_sha, "collecting", "", now)


def end(db: Database, run: int, state: Literal["done", "failed", "stopped"], reason: str, now: float) -> None:
    """A run ends, and with it its window, if it has one."""
    db.execute(_END, run=run, new_state=state, why=reason, now=now)
    windows.end(db, run, done=state == "done", now=now)


def forget(db: Database, job: str, run: int) -> None:
    """A run that was begun for nothing: as if it had not been. One that has messages stays."""
    if db.execute(_FORGET, run=run).rowcount:
        row = db.execute(_NEWEST, job=job).fetchone()
        counters.last_run(db, job, int(row[0]) if row and row[0] is not None else None)


def job_sha(db: Database, run: int) -> str | None:
    """Of the job's text in that run; None when the run is no longer kept."""
    row = db.execute(_SHA, run=run).fetchone()
    return None if row is None else str(row[0])


def state(db: Database, run: int) -> str | None:
    """How the run ended, or `collecting`; None when it is no longer kept."""
    row = db.execute(_STATE, run=run).fetchone()
    return None if row is None else str(row[0])


def skip(db: Database, job: str, due: float, trigger: str, reason: str, now: float) -> None:  # noqa: PLR0917
    """An occurrence that did not run."""
    _insert(db, job, due, trigger, "", "skipped", reason, now)


def interrupt(db: Database, now: float) -> int:
    """Runs that were collecting when the process died. Returns how many."""
    windows.interrupt(db, now)
    return db.execute(_INTERRUPT, now=now).rowcount


def interrupted(db: Database, job: str, job_sha: str, *, goes_on: bool) -> int:
    """How many of the last runs of this text of the job died with the process, in a row.

    `goes_on`: each run goes on where the last one ended, so one that spooled something got further: what
    killed it lay behind that.
    """
    count = 0
    for state, sha, messages in db.execute(_LATEST, job=job):
        if state != "interrupted" or sha != job_sha or (goes_on and messages):
            break
        count += 1
    return count


def prune(db: Database) -> int:
    """Keep the last 1,000 of each job."""
    gone = 0
    for (job,) in db.execute(_JOBS).fetchall():
        row = db.execute(_LIMIT_ID, job=job).fetchone()
        if row is not None:
            gone += db.execute(_PRUNE, job=job, last=row[0]).rowcount
    return gone
