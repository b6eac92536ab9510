"""The limits on what may lie in the spool, of each job and of all, beside the one on the database (`quota`).

An append that would go over a limit is refused, and its run waits. But never when nothing of what is limited
can leave: a file that is held until it is read to its end, a window, a chunk that is larger than the limit
must come in for anything to go out. So a limit is passed by one of these at most, and nobody waits for ever.

    visible messages   0 ──────▶ append, whatever its size
                      > 0 ─────▶ append up to the limit, then wait: they are on their way out
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, func, select

from agent.errors import SpoolFull
from agent.limit import NO_LIMIT, Limit
from agent.message import Draft
from agent.spool.database import Database, Statement
from agent.spool.tables import jobs, runs

_JOB = Statement(
    select(jobs.c.job, jobs.c.waiting, jobs.c.held, jobs.c.waiting_bytes, jobs.c.held_bytes)
    .select_from(runs.join(jobs, jobs.c.job == runs.c.job))
    .where(runs.c.id == bindparam("run"))
)
_OF_JOB = Statement(
    select(jobs.c.waiting, jobs.c.held, jobs.c.waiting_bytes, jobs.c.held_bytes).where(
        jobs.c.job == bindparam("job")
    )
)
_ALL = Statement(select(func.coalesce(func.sum(jobs.c.waiting), 0), func.coalesce(func.sum(jobs.c.held), 0)))


class Limits:
    """Asked in the thread of the database; changed by a reload, from outside."""

    def __init__(self, total: Limit = NO_LIMIT) -> None:
        self.total = total
        """Its `max_bytes` is the quota's matter."""
        self.jobs: Mapping[str, Limit] = {}
        """Job → its own. Replaced as a whole."""

    @property
    def any(self) -> bool:
        """Whether messages are counted at all."""
        return bool(self.total or self.jobs)

    def concern(self, job: str) -> bool:
        """Whether there is any limit for this job."""
        return bool(self.total) or job in self.jobs

    def check(self, db: Database, run: int, drafts: Sequence[Draft]) -> None:
        """Raises SpoolFull when these of the run have to wait."""
        messages = len(drafts)
        if self.jobs and drafts:
            self._check_job(db, run, messages, sum(draft.size for draft in drafts))
        most = self.total.max_messages
        if most is not None and drafts:
            waiting, held = db.execute(_ALL).fetchone() or (0, 0)
            if waiting and waiting + held + messages > most:
                raise SpoolFull(
                    f"spool is full: {waiting + held:,} of {most:,} messages",
                    hint="it empties when targets take messages; or raise spool.max_messages in agent.yaml",
                    limit="all",
                )

    def why_full(self, db: Database, job: str) -> str:
        """Why a run of the job could append nothing now; "" when it could."""
        limit = self.jobs.get(job, NO_LIMIT)
        waiting, held, waiting_size, held_size = db.execute(_OF_JOB, job=job).fetchone() or (0, 0, 0, 0)
        if waiting and limit.share(waiting + held, waiting_size + held_size) >= 1:
            words = limit.told(waiting + held, waiting_size + held_size, f"job {job}")
            return f"spool is full: {words}"
        if self.total:
            waiting, held = db.execute(_ALL).fetchone() or (0, 0)
            if waiting and self.total.share(waiting + held, 0) >= 1:
                return f"spool is full: {self.total.told(waiting + held, 0)}"
        return ""

    def _check_job(self, db: Database, run: int, messages: int, size: int) -> None:
        row = db.execute(_JOB, run=run).fetchone()
        if row is None:
            return
        job, waiting, held, waiting_size, held_size = row
        limit = self.jobs.get(job)
        if limit is None or not waiting:
            return
        there, bytes_there = waiting + held, waiting_size + held_size
        if limit.share(there + messages, bytes_there + size) > 1:
            words = limit.told(there, bytes_there, f"job {job}")
            raise SpoolFull(
                f"spool is full: {words}",
                hint="it empties when the target takes messages; or raise the job's spool limits",
                limit="job",
            )
