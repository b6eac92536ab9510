"""A run of a job whose source is a query: go on behind the cursor, render the result, append it.

cursor ─▶ query ─▶ (render ─▶ append + cursor)… ─▶ done
   ▲                                  │
   └── the next run goes on behind the last chunk that is durable, however this one ends
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from agent.collect.files import StoppedError
from agent.collect.intake import Intake
from agent.collect.known import Known, load_known
from agent.collect.result import Hands, RunEnd, RunResult
from agent.collect.room import Room
from agent.collect.whole import Whole, stamp_called
from agent.config.model import Job, SqlSource, holds_window
from agent.config.sql_text import read_sql
from agent.errors import SourceError
from agent.keys import seed_of_query
from agent.logs import get_log
from agent.message import Cursor, JsonValue
from agent.render import Chunk, Context
from agent.render.query import Ask, first_marks, position_now
from agent.sources.asking import WiderError
from agent.sources.mark import LOWEST, Marks, from_cursor, said, to_cursor
from agent.spool import Spool

log = get_log("collect")


@dataclass(kw_only=True)
class _Leg:
    """What is read of a query in one go. Implements `Place`."""

    name: str
    seed: str
    marks: Marks
    wider: Mapping[str, str]
    file: int | None = None
    hold: bool = False
    start_row: int = 0
    moves: bool = True
    """Whether the job's cursor moves with it."""

    def cursor_at(self, chunk: Chunk) -> Cursor | None:
        """See `Place`."""
        if chunk.cursor is None or not self.moves:
            return None
        wider: dict[str, JsonValue] = dict(self.wider)
        return {**chunk.cursor, "wider": wider} if wider else chunk.cursor

    def reached(self, chunk: Chunk) -> None:
        """See `Place`."""
        self.start_row = chunk.rows
        if chunk.cursor is not None:
            self.marks = from_cursor(chunk.cursor, tuple(self.marks)) or self.marks


class QueryRun:
    """One run of one job, in a worker thread."""

    def __init__(
        self, job: Job, source: SqlSource, run: int, spool: Spool, ctx: Context, *, hands: Hands, poll: float
    ) -> None:
        self._job = job
        self._source = source
        self._run = run
        self._spool = spool
        self._ctx = ctx
        self._hands = hands
        room = Room(spool, ctx.clock, hands, poll)
        self._held = ctx.window is not None and holds_window(source, backfill=ctx.backfill)
        room.begin(hold=self._held, row=0, what="window")
        self._room = room
        self._intake = Intake(
            job=job,
            run=run,
            spool=spool,
            ctx=ctx,
            hands=hands,
            room=room,
            whole=self._held or source.only is not None,
        )
        self._known: Known | None = None
        self._own: Cursor = {}

    def go(self, limit: int | None) -> RunResult:
        """See `collect_job`."""
        self._hands.say(f"asking {self._source.connection}")
        stored = self._stored()
        if self._known is not None and not self._source.cursor:
            limit = None  # what it left out would look as if it were gone
        try:
            note = self._read(None if self._ctx.backfill else stored, limit)
        except StoppedError:
            return self._result("stopped", "the agent stopped; the next run goes on from here")
        except SourceError as error:
            if self._ctx.cancelled():
                return self._result("stopped", "the agent stopped; the next run goes on from here")
            log.error("a query failed", job=self._job.name, reason=error.message, hint=error.hint)
            return self._result("failed", error.message + (f" ({error.hint})" if error.hint else ""))
        return self._result("done", note)

    def _stored(self) -> Cursor | None:
        stored = self._spool.cursor(self._job.name).result()
        self._own = {key: value for key, value in (stored or {}).items() if key in {"sql", "wider"}}
        self._known = load_known(self._job, self._spool)
        if self._known is not None:
            self._known.sweep()
        return stored

    def _read(self, stored: Cursor | None, limit: int | None) -> str:
        marks = self._marks(stored)
        ask = Ask(job=self._job, source=self._source, ctx=self._ctx, marks=marks or {}, limit=limit)
        if marks is None:
            marks, self._own = position_now(ask), {}
            cursor = to_cursor(marks)
            known = self._known
            self._spool.set_cursor(self._job.name, known.into(cursor) if known else cursor).result()
            return f"start: now: the next run begins behind {said(marks)}"
        if stored is not None and self._source.cursor and from_cursor(stored, self._source.cursor) is None:
            log.warning("the cursor has other columns than before: started anew", job=self._job.name)
        leg = self._leg(marks, _wider(stored))
        while True:
            asked = replace(ask, marks=leg.marks, wider=leg.wider)
            try:
                self._take(leg, asked)
            except WiderError as error:
                if all(leg.wider.get(name) == kind for name, kind in error.wider.items()):
                    raise
                log.info(
                    "a query is asked again, with wider columns", job=self._job.name, reason=error.message
                )
                leg = self._further(leg, {**leg.wider, **error.wider})
            else:
                if leg.marks == asked.marks or not self._is_cut_short:
                    break
                leg = self._leg(leg.marks, leg.wider)
        self._told()
        return ""

    def _take(self, leg: _Leg, asked: Ask) -> None:
        try:
            if self._known is not None:
                self._compared(leg, asked, self._known)
            else:
                self._intake.take(leg, partial(asked.chunks, start_row=leg.start_row))
        except WiderError:  # goes on behind what is there
            raise
        except (SourceError, StoppedError):
            self._intake.take_back()
            raise

    def _compared(self, leg: _Leg, asked: Ask, known: Known) -> None:
        """With `only`: what is new or changed, visible with all that is known from then on."""
        job, before = self._job.name, (self._intake.records, self._intake.messages)
        row = None
        if not self._held:  # a window holds what is appended, and the cursor
            stamp, what = stamp_called("query"), f"run {self._run}"
            row = self._spool.open_file(job, self._run, stamp, what, hold=True).result()
            self._room.begin(hold=True, row=0, what="result")
        place = Whole(name=leg.name, file=row, seed=leg.seed)
        try:
            self._intake.take(place, replace(asked, seen=known.seen(parts=False)).chunks)
        except (SourceError, StoppedError) as error:
            self._intake.records, self._intake.messages = before
            if row is not None:
                self._spool.abandon_file(row, f"not sent: {error}").result()
            raise
        if place.cursor is not None:
            leg.marks = from_cursor(place.cursor, tuple(leg.marks)) or leg.marks
            if leg.moves:
                self._own = {**place.cursor, **({"wider": dict(leg.wider)} if leg.wider else {})}
        cursor = known.turn(place.marks, self._own)
        if row is not None:
            self._spool.release_file(row, cursor=cursor).result()
            known.sweep()
        else:
            self._spool.append(self._run, (), cursor=cursor).result()

    def _marks(self, stored: Cursor | None) -> Marks | None:
        """Where to go on; in a backfill before all rows of its window."""
        if self._ctx.backfill:
            return dict.fromkeys(self._source.cursor, LOWEST)
        return first_marks(self._source, stored)

    @property
    def _is_cut_short(self) -> bool:
        """Whether the query gives a part of its window only: no other run asks for the rest."""
        return self._ctx.window is not None and read_sql(self._source.query).limited

    def _leg(self, marks: Marks, wider: Mapping[str, str]) -> _Leg:
        # without a cursor, or by a backfill, the same rows are sent again on purpose: with keys of their own
        moves = not self._ctx.backfill
        again = 0 if self._source.cursor and moves and self._source.only is None else self._run
        seed = seed_of_query(self._job.name, to_cursor(marks), again=again)
        return _Leg(name=self._source.connection, seed=seed, marks=marks, wider=wider, moves=moves)

    def _further(self, leg: _Leg, wider: Mapping[str, str]) -> _Leg:
        """Where the last durable chunk ended: by its cursor, or by its rows where there is none."""
        further = self._leg(leg.marks, wider)
        further.start_row = 0 if self._source.cursor else leg.start_row
        return further

    def _told(self) -> None:
        if self._intake.messages:
            log.info(
                "collected",
                job=self._job.name,
                query_of=self._source.connection,
                records=self._intake.records,
                messages=self._intake.messages,
            )

    def _result(self, state: RunEnd, reason: str) -> RunResult:
        return RunResult(
            state=state,
            reason=reason,
            records=self._intake.records,
            messages=self._intake.messages,
        )


def _wider(stored: Cursor | None) -> dict[str, str]:
    found = (stored or {}).get("wider")
    return {name: str(kind) for name, kind in found.items()} if isinstance(found, dict) else {}
