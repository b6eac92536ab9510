"""A run over documents that are asked for: the pages of an HTTP API, or what a program prints.

next page ─▶ land ─▶ held row ─▶ (render ─▶ append)… ─▶ visible + cursor, in one transaction
                         └─ bad record, stop, kill ─▶ nothing of it was ever visible: asked for again
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from agent.collect.files import StoppedError
from agent.collect.intake import Intake
from agent.collect.known import Known, load_known
from agent.collect.result import Hands, RunEnd, RunResult
from agent.collect.room import Room
from agent.collect.whole import Whole
from agent.config.model import CommandSource, HttpSource, Job
from agent.errors import SourceError
from agent.keys import seed_of
from agent.logs import get_log
from agent.message import Cursor
from agent.pull.landing import Landing
from agent.pull.output import print_out
from agent.pull.pages import Pages, Place, spots
from agent.pull.tools import Tools
from agent.pull.walk import Spot, span_of
from agent.render import Context, SourceFile, render_file
from agent.sources.files import stamp_of
from agent.sources.seen import NOTHING
from agent.spool import Spool

log = get_log("collect")

# How a run may have ended that had come to its last page and was not called done.
_CUT_OFF = frozenset({"collecting", "interrupted", "stopped", "failed"})


class PageRun:
    """One run; used once."""

    def __init__(
        self, job: Job, run: int, spool: Spool, ctx: Context, tools: Tools, *, hands: Hands, poll: float
    ) -> None:
        self._job = job
        self._run = run
        self._spool = spool
        self._ctx = ctx
        self._tools = tools
        self._hands = hands
        self._room = Room(spool, ctx.clock, hands, poll)
        self._intake = Intake(
            job=job, run=run, spool=spool, ctx=ctx, hands=hands, room=self._room, whole=True
        )
        self._window = span_of(ctx.window, job.timezone)
        self._known: Known | None = None
        self._note = ""

    def go(self, limit: int | None) -> RunResult:
        """See `collect_job`."""
        self._known = load_known(self._job, self._spool)
        try:
            with tempfile.TemporaryDirectory(dir=self._ctx.temp, prefix="render-pull-") as temp:
                if isinstance(self._job.source, HttpSource):
                    self._pages(self._job.source, Path(temp), limit)
                else:
                    assert isinstance(self._job.source, CommandSource)
                    self._output(self._job.source, Path(temp))
        except StoppedError:
            return self._stopped()
        except SourceError as error:
            if self._ctx.cancelled():
                return self._stopped()
            hint = f" ({error.hint})" if error.hint else ""
            return self._result("failed", f"{error.message}{hint}")
        return self._result("done", self._note)

    def _stopped(self) -> RunResult:
        return self._result("stopped", "the agent stopped; the next run goes on from here")

    def _result(self, state: RunEnd, reason: str) -> RunResult:
        return RunResult(
            state=state,
            reason=reason,
            records=self._intake.records,
            messages=self._intake.messages,
            settled=True,
        )

    @property
    def _path(self) -> str:
        """What its rows in the table of files are called: no file can have this path."""
        return "http" if isinstance(self._job.source, HttpSource) else "command"

    # ------------------------------------------------------------------------------ pages

    def _pages(self, source: HttpSource, temp: Path, limit: int | None) -> None:
        pages = Pages(
            source=source,
            tools=self._tools,
            temp=temp,
            cancelled=self._ctx.cancelled,
            run=self._run,
            aside=self._ctx.aside,
        )
        place = self._place(source, pages)
        for first in spots(source, place, self._window):
            spot: Spot | None = first
            while spot is not None:
                self._intake.stop_if_asked()
                if limit is not None and self._intake.records >= limit:
                    self._note = f"stopped before page {spot.page}: the limit of {limit} is reached"
                    return
                place = self._page(source, pages, place, spot)
                spot = place.spot

    def _place(self, source: HttpSource, pages: Pages) -> Place:
        stored = Place.load(self._spool.cursor(self._job.name).result(), source)
        place = pages.at_home(stored)
        if place != stored:
            log.warning("the connection leads to another origin: pages begin anew", job=self._job.name)
        # a run that is done was asked for again on purpose
        unsure = [one for one in place.finished if self._spool.state_of_run(one.run).result() in _CUT_OFF]
        ours = [one for one in unsure if self._window is not None and one.window[0] == self._window[0]]
        others = [one for one in unsure if one not in ours]
        place = replace(place, finished=(*others, *(replace(one, run=self._run) for one in ours)))
        if ours:  # from now on it is this run that has to be called done
            self._spool.set_cursor(self._job.name, self._with_known(place.dump(source))).result()
        return place.turned_to(self._window)

    def _page(self, source: HttpSource, pages: Pages, place: Place, spot: Spot) -> Place:
        self._hands.say(f"getting page {spot.page}")
        with _told_where(self._intake.records, spot), pages.page(place, spot) as page:
            if page is None:
                self._note = "nothing has changed since the last answer (304)"
                return replace(place, spot=None)
            self._hands.say(f"reading page {spot.page}")
            behind = place

            def cursor(rows: int) -> Cursor:
                nonlocal behind
                behind = page.behind(rows)
                return behind.dump(source)

            self._unit(page.landing, page.name, cursor)
            return behind

    # ------------------------------------------------------------------------------ a program

    def _output(self, source: CommandSource, temp: Path) -> None:
        name = source.command[0].rpartition("/")[2]
        self._hands.say(f"running {name}")
        landing = Landing(path=temp / f"output of {name}", max_bytes=source.max_bytes)
        with self._ctx.aside():
            said = print_out(source, landing, self._tools.allowed(), self._ctx.cancelled)
        self._note = f"stderr: {said}" if said else ""
        self._hands.say(f"reading the output of {name}")
        self._unit(landing, landing.path.name, lambda _: None)

    # ------------------------------------------------------------------------------ one document

    def _with_known(self, cursor: Cursor) -> Cursor:
        return cursor if self._known is None else self._known.into(cursor)

    def _unit(self, landing: Landing, name: str, cursor: Callable[[int], Cursor | None]) -> None:
        """All of it or nothing. `cursor`: of the job, once so many records are visible."""
        stamp = stamp_of(landing.path)
        assert stamp is not None
        file = SourceFile(path=landing.path, stamp=stamp)
        called = replace(stamp, path=self._path)
        row = self._spool.open_file(self._job.name, self._run, called, landing.sha256, hold=True).result()
        seed = seed_of(self._job.name, called, landing.sha256, again=self._run)
        place = Whole(name=name, file=row, seed=seed)
        seen = self._known.seen(parts=False) if self._known is not None else NOTHING
        before = self._intake.records, self._intake.messages
        self._intake.letters.clear()
        self._room.begin(hold=True, row=0, what="page" if self._path == "http" else "output")
        try:
            if landing.size:
                self._intake.take(place, partial(render_file, self._job, file, self._ctx, seen=seen))
            behind = cursor(place.rows)
        except (SourceError, StoppedError) as error:
            self._intake.records, self._intake.messages = before
            self._spool.abandon_file(row, f"not sent: {error}").result()
            self._intake.take_back()
            raise
        if self._known is not None:
            behind = self._known.turn(place.marks, behind or {})
        if behind is None:
            self._spool.release_file(row).result()
        else:
            self._spool.release_file(row, cursor=behind).result()
        if self._known is not None:
            self._known.sweep()
        log.info("collected", job=self._job.name, source=name, records=self._intake.records - before[0])


@contextlib.contextmanager
def _told_where(records: int, spot: Spot) -> Iterator[None]:
    """A page that an earlier run named may be one that the API has forgotten: say so."""
    try:
        yield
    except SourceError as error:
        if records or not spot.at or spot.page == 1 or error.lasting:
            raise
        where = "an earlier run was cut off before this page; a change of `query` begins anew"
        raise SourceError(error.message, hint=f"{error.hint}; {where}" if error.hint else where) from error
