"""What `status`, `history` and `dead list` read of a state folder, from outside (see `outside`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import bindparam, func, or_, select

from agent.message import Cursor, DeadLetter, Receipt
from agent.session_row import SessionRow
from agent.spool import fates, letters, memory, pauses, queue, windows
from agent.spool.database import Database, Statement, Value, rows_of
from agent.spool.files import settled
from agent.spool.letters import Before, LetterCount, Spot, Which
from agent.spool.outside import Outside
from agent.spool.readonly import one_moment
from agent.spool.rows import RowDict, file_of, receipt_of, run_of
from agent.spool.tables import files, jobs, messages, receipts, runs
from agent.spool.values import (
    BackfillRow,
    ConfigRow,
    Fates,
    FileRow,
    Fit,
    JobOverview,
    PauseRow,
    RunRow,
    SettledFile,
    WindowMark,
)
from agent.trace import LaneWait

T = TypeVar("T")

_OVERVIEW = Statement(select(jobs).order_by(jobs.c.job))
_RUN = Statement(select(runs).where(runs.c.id == bindparam("run")))
_LAST_FAILED = Statement(select(func.max(runs.c.id)).where(runs.c.state == "failed").group_by(runs.c.job))
_RECEIPT = Statement(select(receipts).where(receipts.c.id == bindparam("receipt")))
_BY_KEY = Statement(select(receipts).where(receipts.c.key == bindparam("key")).order_by(receipts.c.id))
_OLDEST_OF_LANE = Statement(
    select(messages.c.id, messages.c.spooled_at)
    .where(messages.c.job == bindparam("job"), messages.c.lane == bindparam("lane"), queue.visible())
    .order_by(messages.c.id)
    .limit(1)
)
_QUEUED = Statement(
    select(messages.c.job, messages.c.lane, messages.c.spooled_at, messages.c.attempts).where(
        messages.c.key == bindparam("key")
    )
)
_RUNS = Statement(
    select(runs)
    .where(
        runs.c.job == bindparam("job"),
        runs.c.due >= bindparam("since"),
        or_(bindparam("state") == "", runs.c.state == bindparam("state")),
    )
    .order_by(runs.c.id.desc())
    .limit(bindparam("limit"))
)
_RUN_OF = Statement(select(runs).where(runs.c.id == bindparam("run"), runs.c.job == bindparam("job")))
_FILES = Statement(
    select(files).where(files.c.job == bindparam("job")).order_by(files.c.id.desc()).limit(bindparam("limit"))
)


class Reader(Outside):
    """All that can be asked of one state folder. Made by `Reader.open`; use it in a `with`."""

    def _ask(self, work: Callable[[Database], T], empty: T) -> T:
        return self._read(lambda raw: work(Database(raw)), empty)

    def _rows(self, make: Callable[[RowDict], T], statement: Statement, **values: Value) -> list[T]:
        return self._ask(lambda db: [make(row) for row in rows_of(db, statement, **values)], [])

    def overview(self) -> list[JobOverview]:
        """Where every job stands, by name; from counters, so it takes as long for a million messages."""
        return self._ask(_overview, [])

    def runs(self, job: str, limit: int = 20, *, since: float = -math.inf, state: str = "") -> list[RunRow]:
        """Newest first; those that were due since then, and ended so, where that is named."""
        return self._rows(run_of, _RUNS, job=job, limit=limit, since=since, state=state)

    def fates(self, asked: Sequence[RunRow], *, deep: bool = False) -> list[tuple[RunRow, Fates]]:
        """Runs of one job as they are now, and what became of each; deep: with seconds to look for it."""
        budget = fates.DEEP if deep else fates.LISTED
        return self._ask(lambda db: _fates(db, asked, budget), [])

    def run(self, job: str, number: int) -> RunRow | None:
        """One run of the job; None: it has none with this number, or it is not kept any more."""
        return next(iter(self._rows(run_of, _RUN_OF, job=job, run=number)), None)

    def dead(self, job: str | None = None, limit: int = 100, *, reason: str = "") -> list[DeadLetter]:
        """Dead letters, newest first, with their bodies; of one job or reason only, where it is named."""
        which = Which(job=job or "", reason=reason)
        found = [self.dead_letter(each.id) for each in self.letters(which, limit)]
        return [letter for letter in found if letter is not None]

    def dead_letter(self, letter_id: int) -> DeadLetter | None:
        """One of them, with its body."""
        return self._ask(lambda db: letters.one(db, letter_id), None)

    def letters(self, which: Which, limit: int) -> list[DeadLetter]:
        """Some of them, newest first, without their bodies."""
        return self._ask(lambda db: letters.listed(db, which, limit), [])

    def letters_counted(self, which: Which) -> list[LetterCount]:
        """How many they are, job by job."""
        return self._ask(lambda db: letters.counted(db, which), [])

    def newest_letter(self) -> int:
        """The id of the youngest of all; 0 when there is none."""
        return self._ask(letters.newest_id, 0)

    def letter_spots(self, which: Which, after: Spot, *, upto: int, limit: int) -> list[Spot]:
        """The next of them in the order of their messages, behind `after`; none that died after `upto`."""
        return self._ask(lambda db: letters.spots(db, which, after, upto, limit), [])

    def letter_before(self, letter_id: int) -> Before | None:
        """What an edited letter was; None: nobody edited it."""
        return self._ask(lambda db: letters.before(db, letter_id), None)

    def receipts(self, key: str) -> list[Receipt]:
        """Every delivery with this idempotency key: one, or more after a repeat by hand."""
        return self._rows(receipt_of, _BY_KEY, key=key)

    def is_waiting(self, key: str) -> bool:
        """Whether the message with this key still lies in the queue."""
        return bool(self._ask(lambda db: db.execute(_QUEUED, key=key).fetchall(), []))

    def waits(self) -> list[LaneWait]:
        """Every lane that waits, and why."""
        return self._ask(memory.lane_waits, [])

    def sessions(self) -> list[SessionRow]:
        """Every session; its tokens stay sealed."""
        return self._ask(memory.sessions_all, [])

    def config_rows(self) -> list[ConfigRow]:
        """The last accepted text of every config file."""
        return self._ask(memory.config_rows, [])

    def cursor(self, job: str) -> Cursor | None:
        """How far the job's source was read."""
        return self._ask(lambda db: memory.cursor(db, job), None)

    def pauses(self) -> list[PauseRow]:
        """What a person has paused."""
        return self._ask(pauses.rows, [])

    def window_marks(self) -> list[WindowMark]:
        """How far the windows of each job are done."""
        return self._ask(windows.marks, [])

    def fits(self) -> dict[str, Fit]:
        """The size of body that the target of a job was found to take."""
        return self._ask(memory.fits_all, {})

    def backfills(self) -> list[BackfillRow]:
        """Those that are not done, and the last ones that are, oldest first."""
        return self._ask(windows.all_backfills, [])

    def files(self, job: str, limit: int = 100) -> list[FileRow]:
        """Source files that the job has met, newest first."""
        return self._rows(file_of, _FILES, job=job, limit=limit)

    def settled_files(self) -> list[SettledFile]:
        """Files none of whose messages waits any more and that are not finished, oldest first."""
        return self._ask(settled, [])


def _fates(db: Database, asked: Sequence[RunRow], budget: fates.Budget) -> list[tuple[RunRow, Fates]]:
    with one_moment(db.raw):
        rows = [run_of(row) for run in asked for row in rows_of(db, _RUN, run=run.id)]
        found = fates.of_runs(db, rows[0].job, rows, budget) if rows else []
        return list(zip(rows, found, strict=True))


def _overview(db: Database) -> list[JobOverview]:
    with one_moment(db.raw):
        waits: dict[str, list[LaneWait]] = {}
        for wait in memory.lane_waits(db):
            waits.setdefault(wait.job, []).append(wait)
        failed = {
            run.job: run
            for (last,) in db.execute(_LAST_FAILED).fetchall()
            for run in map(run_of, rows_of(db, _RUN, run=last))
        }
        return [
            _job_overview(db, row, tuple(waits.get(str(row["job"]), ())), failed.get(str(row["job"])))
            for row in rows_of(db, _OVERVIEW)
        ]


def _job_overview(
    db: Database, row: RowDict, waits: tuple[LaneWait, ...], failed: RunRow | None
) -> JobOverview:
    run = next(rows_of(db, _RUN, run=row["last_run"]), None)
    receipt = next(rows_of(db, _RECEIPT, receipt=row["last_receipt"]), None)
    left_out = {"last_run", "last_receipt", "held_records"}
    plain = {name: value for name, value in row.items() if name not in left_out}
    return JobOverview(
        **plain,  # type: ignore[arg-type]
        oldest_at=_oldest_at(db, str(row["job"])) if row["waiting"] else None,
        oldest_dead_at=letters.oldest_death(db, str(row["job"])) if row["dead"] else None,
        last_run=run_of(run) if run else None,
        last_failed=failed,
        last_receipt=receipt_of(receipt) if receipt else None,
        waits=waits
        if row["waiting"]
        else (),  # one of a lane that was killed behind its last ack says nothing
    )


def _oldest_at(db: Database, job: str) -> float | None:
    heads = [db.execute(_OLDEST_OF_LANE, job=job, lane=lane).fetchone() for lane in queue.lanes_of(db, job)]
    found = [head for head in heads if head]
    return min(found)[1] if found else None
