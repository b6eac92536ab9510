"""A run of a job whose source is files: list them, decide for each, render it, append it.

    list ─▶ decide ─┬─ known ─────────────────────────────────────────────▶ nothing
                    ├─ sent before ───────────────────────────────────────▶ note: duplicate
                    └─ to be read ─▶ open ─▶ (render ─▶ append + cursor)… ─▶ release: visible
                                              └─ bad content ─────────────▶ abandon: none of it is sent

The cursor moves in the same transaction as the messages (see `intake`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from agent.collect.files import (
    AGAIN,
    AGAIN_IN_PART,
    NOT_SENT,
    Duplicate,
    Progress,
    Read,
    StoppedError,
    changed_since,
    decide,
    load_progress,
    reads_always,
)
from agent.collect.intake import Intake
from agent.collect.listing import unsettled
from agent.collect.result import Hands, RunEnd, RunResult, try_again
from agent.collect.room import Room, StepBackError
from agent.config.model import Files, Job, reading_of
from agent.errors import SourceError, StateError
from agent.keys import seed_of
from agent.logs import get_log
from agent.message import Cursor
from agent.render import Chunk, Context, render_file
from agent.sources.files import SourceFile, is_text, list_files
from agent.sources.kept import Kept
from agent.sources.seen import NOTHING
from agent.spool import Spool

log = get_log("collect")

# The reason of a run is one line: so many problems of it are told, the log has all.
_PROBLEMS_TOLD = 3
# Seconds; a file that changes all the time must not make its job run all the time.
_SHORTEST_SETTLE = 1.0


class FileRun:
    """One run of one job, in a worker thread."""

    def __init__(
        self, job: Job, files: Files, run: int, spool: Spool, ctx: Context, *, hands: Hands, poll: float
    ) -> None:
        self._job = job
        self._run = run
        self._spool = spool
        self._ctx = ctx
        self._hands = hands
        self._room = Room(spool, ctx.clock, hands, poll)
        self._intake = Intake(job=job, run=run, spool=spool, ctx=ctx, hands=hands, room=self._room)
        self._files = files
        self._progress = Progress()
        self._problems: list[str] = []
        self._notes: list[str] = []
        self._settled = False
        self._again: list[float] = []

    def go(self, limit: int | None) -> RunResult:
        """See `collect_job`."""
        with Kept(self._ctx.temp) as kept:
            self._ctx = replace(self._ctx, kept=kept)
            return self._go(limit)

    def _go(self, limit: int | None) -> RunResult:
        self._hands.say("listing files")
        listing = list_files(self._files, self._ctx.clock)
        if listing.again is not None:
            self._again.append(listing.again)
        self._progress = load_progress(self._job, self._spool)
        try:
            for file in unsettled(self._job, listing.files, self._spool):
                self._intake.stop_if_asked()
                if limit is not None and self._intake.records >= limit:
                    self._notes.append(f"stopped before {file.path.name}: the limit of {limit} is reached")
                    break
                self._file(file)
        except StoppedError:
            return self._result("stopped", "the agent stopped; the next run goes on from here")
        if self._problems:
            return self._result("failed", _told(self._problems))
        return self._result("done", _told(self._notes))

    def _result(self, state: RunEnd, reason: str) -> RunResult:
        return RunResult(
            state=state,
            reason=reason,
            records=self._intake.records,
            messages=self._intake.messages,
            look_again_at=min(self._again, default=None),
            settled=self._settled,
        )

    def _file(self, file: SourceFile) -> None:
        """One file; whatever is wrong with it harms no other."""
        if not is_text(str(file.path)):
            # Such a name is no text in any table, log or header.
            self._problems.append(f"{str(file.path)!a}: its name holds characters that are no text")
            return
        self._hands.say(f"reading {file.path.name}")
        try:
            decision = decide(self._job, file, self._spool, self._ctx.cancelled, self._progress)
            if isinstance(decision, Duplicate):
                self._duplicate(file, decision)
            elif isinstance(decision, Read):
                self._read(file, decision.sha256)
        except SourceError as error:
            if self._ctx.cancelled():  # which may be why
                raise StoppedError from error
            self._not_now(file, error)
        except (StateError, StoppedError):
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours with one file must not hold the others
            log.bug("reading a file failed", error, job=self._job.name, file=str(file.path))
            self._problems.append(f"{file.path.name}: a fault of push-agent: {type(error).__name__}: {error}")
            self._again += try_again(self._job, self._ctx.clock.now())

    def _duplicate(self, file: SourceFile, found: Duplicate) -> None:
        self._spool.note_file(
            self._job.name, self._run, file.stamp, found.sha256, "duplicate", found.reason
        ).result()
        self._settled = True
        log.info("not sent again", job=self._job.name, file=str(file.path), reason=found.reason)

    def _not_now(self, file: SourceFile, error: SourceError) -> None:
        """A file that cannot be read at this moment: the next run tries again, from where this one is."""
        if changed_since(file):
            self._notes.append(error.message)
            settle = max(self._files.settle.total_seconds(), _SHORTEST_SETTLE)
            self._again.append(self._ctx.clock.now() + settle)
        else:
            self._problems.append(error.message)
            self._again += try_again(self._job, self._ctx.clock.now())

    def _read(self, file: SourceFile, sha256: str) -> None:
        job, source = self._job, reading_of(self._job.source)
        # A whole file is one message: holding it back until its row is released costs nothing.
        hold = source is None or source.on_bad_row == "fail"
        row = self._spool.open_file(job.name, self._run, file.stamp, sha256, hold=hold).result()
        self._alone(row)
        start = self._progress.begin(row, str(file.path), sha256)
        # Where an unchanged file is read again on purpose, its requests are new ones.
        again = self._run if reads_always(job) else 0
        seen = self._progress.known.seen() if self._progress.known else NOTHING
        seed = seed_of(job.name, file.stamp, sha256, again=again, known=seen.seed)
        place = _Place(name=file.path.name, file=row, seed=seed, hold=hold, progress=self._progress)
        intake, before = self._intake, (self._intake.records, self._intake.messages)
        self._room.begin(hold=hold, row=start)
        try:
            intake.take(place, partial(render_file, job, file, self._ctx, start_row=start, seen=seen))
        except StepBackError as error:
            self._spool.abandon_file(row, AGAIN + error.message, cursor=self._progress.drop(row)).result()
            intake.records, intake.messages = before
            raise
        except SourceError as error:
            if not error.lasting:
                raise
            self._abandon(file, row, error, hold=hold)
            if hold:
                intake.records, intake.messages = before
            return
        self._spool.release_file(row, cursor=self._progress.end(row)).result()
        self._progress.sweep()
        self._settled = True  # its last message may have been delivered before the file was released
        log.info(
            "collected",
            job=job.name,
            file=str(file.path),
            records=intake.records - before[0],
            messages=intake.messages - before[1],
        )

    def _alone(self, row: int) -> None:
        """With `only`, a file that was read in part is begun anew behind this one: what left last counts."""
        if self._progress.known is None:
            return
        for other in [one for one in self._progress.entries if one != row]:
            why = f"{AGAIN_IN_PART}another file was read before the rest of it"
            self._spool.abandon_file(other, why, cursor=self._progress.drop(other)).result()

    def _abandon(self, file: SourceFile, row: int, error: SourceError, *, hold: bool) -> None:
        why = NOT_SENT if hold else "sent in part: "
        hint = f" ({error.hint})" if error.hint else ""
        name = file.path.name
        message = error.message if name in error.message else f"{name}: {error.message}"
        self._spool.abandon_file(row, f"{why}{message}{hint}", cursor=self._progress.drop(row)).result()
        self._problems.append(message)
        self._settled = True
        log.error(
            "nothing of a file is sent" if hold else "the rest of a file is not sent",
            job=self._job.name,
            file=str(file.path),
            reason=message,
            hint=error.hint,
        )


@dataclass(kw_only=True, slots=True)
class _Place:
    """Implements `Place` for a file that is open in the spool."""

    name: str
    file: int
    seed: str
    hold: bool
    progress: Progress

    def cursor_at(self, chunk: Chunk) -> Cursor:
        """With the file at the chunk's end."""
        return self.progress.cursor_at(self.file, chunk.rows, chunk.marks)

    def reached(self, chunk: Chunk) -> None:
        """So much of the file is durable."""
        self.progress.reached(self.file, chunk.rows)


def _told(problems: list[str]) -> str:
    more = len(problems) - _PROBLEMS_TOLD
    return "; ".join(problems[:_PROBLEMS_TOLD]) + (f"; and {more} more" if more > 0 else "")
