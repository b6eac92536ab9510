"""Windows of time: what one holds becomes visible when it is done, in the step that says so.

start ──▶ held: its messages lie here, and no lane sees them
   end, done ──▶ they are visible, the cursor counts, the job's windows are done up to its end  (one step)
   end, anything else, or the process died ──▶ they go, which no lane ever saw; the window is wanted

What holds the messages is a row of `files` in the state `reading`, as for a file; it goes when the window
ends. A run whose source has a cursor of its own holds nothing: each piece is visible with its cursor.
"""

from __future__ import annotations

import json

from sqlalchemy import bindparam, delete, insert, select, update

from agent.spool import counters
from agent.spool.database import Database, Saved, Statement, Value, insert_all, rows_of
from agent.spool.memory import set_cursor
from agent.spool.queue import remove_of_file
from agent.spool.rows import backfill_of, mark_of
from agent.spool.tables import backfills, files, runs, windows
from agent.spool.values import BackfillRow, BackfillState, WindowMark
from agent.window import Window

_HOLDER = "(window)"
"""Where a file has its path."""
_HOLD = Statement(
    insert(files).values(
        job=bindparam("job"),
        run=bindparam("run"),
        sha256=bindparam("window"),
        seen_at=bindparam("now"),
        path=_HOLDER,
        state="reading",
        **dict.fromkeys(("device", "inode"), "0"),
        reason="",
    )
)
_OF_RUN = Statement(
    update(runs)
    .where(runs.c.id == bindparam("run"))
    .values(
        since=bindparam("new_since"),
        until=bindparam("new_until"),
        held=bindparam("new_held"),
        backfill=bindparam("new_backfill"),
    )
)
_RUN = Statement(select(runs).where(runs.c.id == bindparam("run")))
_LET_GO = Statement(update(runs).where(runs.c.id == bindparam("run")).values(held=None, cursor=None))
_HELD_SUMS = Statement(
    select(files.c.waiting, files.c.waiting_records, files.c.waiting_bytes).where(
        files.c.id == bindparam("file")
    )
)
_DROP_HOLDER = Statement(delete(files).where(files.c.id == bindparam("file")))
_NOTHING_CAME = Statement(
    update(runs).where(runs.c.id == bindparam("run")).values(messages=0, records=0, bytes=0)
)
_DIED = Statement(select(runs.c.id).where(runs.c.state == "collecting", runs.c.held.is_not(None)))
_MARK = Statement(select(windows).where(windows.c.job == bindparam("job")))
_MARKS = Statement(select(windows).order_by(windows.c.job))
_SAVE_MARK = Saved(windows)
_NEW_BACKFILL = insert_all(backfills, without=("id",))
_BACKFILL = Statement(select(backfills).where(backfills.c.id == bindparam("backfill")))
_BACKFILLS = Statement(select(backfills).order_by(backfills.c.id))
_LIKE_IT = Statement(
    select(backfills)
    .where(
        backfills.c.job == bindparam("job"),
        backfills.c.since == bindparam("since"),
        backfills.c.until == bindparam("until"),
        backfills.c.step == bindparam("step"),
        backfills.c.state != "done",
    )
    .order_by(backfills.c.id.desc())
    .limit(1)
)
_FORGET_DONE = Statement(
    delete(backfills).where(backfills.c.job == bindparam("job"), backfills.c.state == "done")
)
_ADVANCE = Statement(
    update(backfills)
    .where(backfills.c.id == bindparam("backfill"))
    .values(
        done=bindparam("new_done"),
        windows=backfills.c.windows + 1,
        records=backfills.c.records + bindparam("add_records"),
        messages=backfills.c.messages + bindparam("add_messages"),
        updated_at=bindparam("now"),
    )
)
_TURN = Statement(
    update(backfills)
    .where(backfills.c.id == bindparam("backfill"))
    .values(state=bindparam("new_state"), reason=bindparam("why"), updated_at=bindparam("now"))
)
_STOPPED = Statement(
    update(backfills)
    .where(backfills.c.state == "running")
    .values(state="stopped", reason="the process ended in the middle", updated_at=bindparam("now"))
)


def begin(
    db: Database, job: str, run: int, window: Window, *, hold: bool, backfill: int | None, now: float
) -> None:
    """The run is about this window. One of the schedule is wanted from now on, until it is done."""
    held = db.execute(_HOLD, job=job, run=run, window=str(window), now=now).lastrowid if hold else None
    since, until = window.start, window.end
    db.execute(_OF_RUN, run=run, new_since=since, new_until=until, new_held=held, new_backfill=backfill)
    if backfill is None:
        _SAVE_MARK.put(db, {"job": job, "done": since, "wanted": until, "updated_at": now})


def end(db: Database, run: int, *, done: bool, now: float) -> None:
    """The run ends; for one without a window this does nothing."""
    row = next(rows_of(db, _RUN, run=run), None)
    if row is None or row["until"] is None:
        return
    job, held = str(row["job"]), row["held"]
    if isinstance(held, int):
        _let_go(db, job, run, held, visible=done)
    if not done:
        return
    if row["cursor"] is not None:
        set_cursor(db, job, json.loads(str(row["cursor"])), now)
    if row["backfill"] is None:
        _SAVE_MARK.put(db, {"job": job, "done": row["until"], "wanted": None, "updated_at": now})
    else:
        sums: dict[str, Value] = {"add_records": row["records"], "add_messages": row["messages"]}
        db.execute(_ADVANCE, backfill=row["backfill"], new_done=row["until"], now=now, **sums)


def interrupt(db: Database, now: float) -> None:
    """What runs held when the process died goes; backfills stand still until somebody asks for them."""
    for (run,) in db.execute(_DIED).fetchall():
        end(db, int(run), done=False, now=now)
    db.execute(_STOPPED, now=now)


def _let_go(db: Database, job: str, run: int, held: int, *, visible: bool) -> None:
    sums = db.execute(_HELD_SUMS, file=held).fetchone()
    messages, records, size = (int(each or 0) for each in sums) if sums else (0, 0, 0)
    if visible:
        counters.released(db, job, messages, records, size)
        if messages:
            db.appended.append(job)
    else:
        remove_of_file(db, job, held)
        counters.appended(db, job, -messages, -records, -size, held=True)
        db.execute(_NOTHING_CAME, run=run)
    db.execute(_DROP_HOLDER, file=held)
    db.execute(_LET_GO, run=run)


def mark(db: Database, job: str) -> WindowMark | None:
    """How far the job's windows are; None when there was none yet."""
    row = next(rows_of(db, _MARK, job=job), None)
    return None if row is None else mark_of(row)


def marks(db: Database) -> list[WindowMark]:
    """Of every job that has windows."""
    return [mark_of(row) for row in rows_of(db, _MARKS)]


def begin_at(db: Database, job: str, moment: float, now: float) -> None:
    """The first window begins here."""
    _SAVE_MARK.put(db, {"job": job, "done": moment, "wanted": None, "updated_at": now})


def open_backfill(  # noqa: PLR0917
    db: Database, job: str, since: float, until: float, step: str, now: float
) -> BackfillRow:
    """The one that was asked for with these words and is not done, where it is; else a new one. It runs."""
    row = next(rows_of(db, _LIKE_IT, job=job, since=since, until=until, step=step), None)
    if row is None:
        db.execute(_FORGET_DONE, job=job)
        values: dict[str, Value] = {"job": job, "since": since, "until": until, "step": step, "done": since}
        values |= {"state": "running", "reason": "", "windows": 0, "records": 0, "messages": 0}
        made = db.execute(_NEW_BACKFILL, **values, started_at=now, updated_at=now).lastrowid
        return backfill(db, made or 0)
    found = backfill_of(row)
    turn_backfill(db, found.id, "running", "", now)
    return backfill(db, found.id)


def backfill(db: Database, ident: int) -> BackfillRow:
    """One of them. Raises LookupError."""
    row = next(rows_of(db, _BACKFILL, backfill=ident), None)
    if row is None:
        raise LookupError(f"there is no backfill {ident}")
    return backfill_of(row)


def turn_backfill(db: Database, ident: int, state: BackfillState, reason: str, now: float) -> None:
    """It goes on, stands still, or is over."""
    db.execute(_TURN, backfill=ident, new_state=state, why=reason, now=now)


def all_backfills(db: Database) -> list[BackfillRow]:
    """Those that are not done, and the last ones that are, oldest first."""
    return [backfill_of(row) for row in rows_of(db, _BACKFILLS)]
