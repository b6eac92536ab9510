"""A run of a job whose files are logs that grow: what was added to each, part by part.

survey ─▶ cut the complete records behind the mark ─▶ render ─▶ append ─▶ the mark moves
  fail:         a part is held until all of it is spooled; it is released together with the mark
  dead_letter:  each chunk is visible at once; the mark moves with it, inside of the part
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from agent.collect.files import StoppedError
from agent.collect.intake import Intake
from agent.collect.result import Hands, RunEnd, RunResult, try_again
from agent.collect.room import Room
from agent.config.model import CsvSource, Files, Job, NdjsonSource
from agent.errors import SourceError, StateError
from agent.keys import seed_of_log
from agent.logs import get_log
from agent.message import Cursor
from agent.render import Chunk, Context, render_feed
from agent.sources import libraries
from agent.sources.files import stamp_of
from agent.sources.log_mark import Mark, to_cursor
from agent.sources.log_part import Part, cut, waits
from agent.sources.logs import Log, MovedError, Survey, opened_log, survey
from agent.spool import Spool

log = get_log("collect")

_PATH = "appended"
"""What the rows of parts are called in the table of files: no file can have this path."""

# Seconds after which a log that was rotated under our eyes is looked at again.
_MOVED = 1.0


class LogRun:
    """One run of one job, in a worker thread."""

    def __init__(
        self,
        job: Job,
        source: CsvSource | NdjsonSource,
        run: int,
        spool: Spool,
        ctx: Context,
        *,
        hands: Hands,
        poll: float,
    ) -> None:
        self._job = job
        self._source = source
        self._run = run
        self._spool = spool
        self._ctx = ctx
        self._hands = hands
        self._room = Room(spool, ctx.clock, hands, poll)
        self._intake = Intake(job=job, run=run, spool=spool, ctx=ctx, hands=hands, room=self._room)
        self._marks: dict[int, Mark] = {}
        self._following = 1
        self._notes: list[str] = []
        self._problems: list[str] = []
        self._again: list[float] = []

    def go(self, limit: int | None) -> RunResult:
        """See `collect_job`."""
        self._hands.say("listing files")
        found = self._survey(self._source.files)
        try:
            with tempfile.TemporaryDirectory(dir=self._ctx.temp, prefix="render-log-") as temp:
                for each in found.logs:
                    self._intake.stop_if_asked()
                    self._log(each, Path(temp) / "part", limit)
        except StoppedError:
            return self._result("stopped", "the agent stopped; the next run goes on from here")
        if self._problems:
            return self._result("failed", "; ".join(self._problems))
        return self._result("done", "; ".join(self._notes))

    def _survey(self, files: Files) -> Survey:
        stored = self._spool.cursor(self._job.name).result()
        found = survey(files, stored, self._ctx.clock)
        self._marks = {each.mark.number: each.mark for each in found.logs}
        self._following = found.following
        self._notes += found.notes
        self._problems += found.problems
        if found.cursor != stored:
            self._spool.set_cursor(self._job.name, found.cursor).result()
        return found

    def _result(self, state: RunEnd, reason: str) -> RunResult:
        return RunResult(
            state=state,
            reason=reason,
            records=self._intake.records,
            messages=self._intake.messages,
            look_again_at=min(self._again, default=None),
            settled=self._source.on_bad_row == "fail" and self._intake.messages + len(self._problems) > 0,
        )

    def cursor(self, mark: Mark) -> Cursor:
        """The job's cursor, with one mark moved."""
        return to_cursor(list({**self._marks, mark.number: mark}.values()), self._following)

    def _moved(self, mark: Mark) -> None:
        self._marks[mark.number] = mark

    def _log(self, each: Log, copy: Path, limit: int | None) -> None:
        """One log, to the last record that is complete now; whatever is wrong with it harms no other."""
        name, number = each.file.path.name, each.mark.number
        before = self._intake.records
        try:
            with opened_log(each.file) as descriptor:
                size = os.fstat(descriptor).st_size
                while self._marks[number].offset < size:
                    if limit is not None and self._intake.records >= limit:
                        self._notes.append(f"stopped in {name}: the limit of {limit} is reached")
                        return
                    self._hands.say(f"reading {name}")
                    mark = self._marks[number]
                    part = cut(descriptor, name, mark, self._source, size, copy)
                    if part is None:
                        self._waits(name, waits(descriptor, mark, size))
                        break
                    self._part(each, part)
        except MovedError as error:
            self._notes.append(error.message)
            self._again.append(self._ctx.clock.now() + _MOVED)
        except SourceError as error:
            self._failed(each, error)
        except (StateError, StoppedError):
            raise
        except OSError as error:  # of the log, or of the disk that its part is copied to
            self._failed(each, SourceError(f"{name}: cannot be read: {error.strerror}"))
        except Exception as error:  # noqa: BLE001 - a fault of ours with one file must not hold the others
            log.bug("reading a log failed", error, job=self._job.name, file=str(each.file.path))
            self._problems.append(f"{name}: a fault of push-agent: {type(error).__name__}: {error}")
        if self._intake.records > before:
            done = self._intake.records - before
            log.info("collected", job=self._job.name, file=str(each.file.path), records=done)

    def _waits(self, name: str, lines: int) -> None:
        if lines:
            self._notes.append(f"{name}: {lines} lines wait for the end of a quoted field")

    def _failed(self, each: Log, error: SourceError) -> None:
        """The mark stays; the next run tries again. Told in the log once, until it is another problem."""
        if self._ctx.cancelled():
            raise StoppedError from error
        name, mark = each.file.path.name, self._marks[each.mark.number]
        message = error.message if name in error.message else f"{name}: {error.message}"
        self._problems.append(message + (f" ({error.hint})" if error.hint else ""))
        self._again += try_again(self._job, self._ctx.clock.now())
        if mark.problem != message:
            log.error(
                "a log is not read on", job=self._job.name, file=mark.path, reason=message, hint=error.hint
            )
            self._moved(replace(mark, problem=message, size=max(mark.size, each.file.stamp.size)))
            self._spool.set_cursor(self._job.name, self.cursor(self._marks[mark.number])).result()

    # ------------------------------------------------------------------------------ one part

    def _part(self, each: Log, part: Part) -> None:
        seed = seed_of_log(self._job.name, part.mark.number, part.mark.offset, part.sha256)
        held = self._source.on_bad_row == "fail"
        row = self._open(part) if held else None
        place = _Place(
            name=each.file.path.name, seed=seed, run=self, part=part, file=row, rows=part.mark.done
        )
        before = self._intake.records, self._intake.messages
        self._room.begin(hold=held, row=0)
        try:
            rendering = partial(_rendering, self._job, each, part, self._ctx, part.mark.done)
            self._intake.take(place, rendering)
        except Exception as error:
            if row is not None:
                self._intake.records, self._intake.messages = before
                self._spool.abandon_file(row, f"not sent: {error}").result()
            raise
        behind = replace(part.behind, rows=part.mark.rows + place.rows)
        if row is not None:
            self._spool.release_file(row, cursor=self.cursor(behind)).result()
        else:
            self._spool.set_cursor(self._job.name, self.cursor(behind)).result()
        self._moved(behind)

    def _open(self, part: Part) -> int:
        stamp = stamp_of(part.copy)
        assert stamp is not None
        called = replace(stamp, path=_PATH)
        return self._spool.open_file(self._job.name, self._run, called, part.sha256, hold=True).result()

    def at(self, part: Part, rows: int) -> Mark:
        """The mark once so many records of a part are visible."""
        return replace(part.mark, end=part.behind.offset, done=rows, size=part.behind.size, problem="")

    def reached(self, part: Part, rows: int) -> None:
        """So many records of a part are visible, for good."""
        self._moved(self.at(part, rows))


@dataclass(kw_only=True, slots=True)
class _Place:
    """Implements `intake.Place` for a part of a log."""

    name: str
    seed: str
    run: LogRun
    part: Part
    file: int | None
    rows: int

    @property
    def hold(self) -> bool:
        """Whether it is visible only as a whole."""
        return self.file is not None

    def cursor_at(self, chunk: Chunk) -> Cursor | None:
        """Inside of the part; of one that is held the mark moves with its release."""
        return None if self.hold else self.run.cursor(self.run.at(self.part, chunk.rows))

    def reached(self, chunk: Chunk) -> None:
        """The chunk is durable."""
        self.rows = chunk.rows
        if not self.hold:
            self.run.reached(self.part, chunk.rows)


def _rendering(job: Job, each: Log, part: Part, ctx: Context, start_row: int) -> Iterator[Chunk]:
    libraries.load()
    from agent.render.log_feed import LogFeed  # noqa: PLC0415 - DuckDB, when a job needs it

    feed = LogFeed(name=each.file.path.name, path=str(each.file.path), part=part)
    return render_feed(job, part.source, feed, ctx, start_row=start_row)
