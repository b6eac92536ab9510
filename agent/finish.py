"""A file is moved when everything that it held was delivered or refused: to `done/` or to `failed/`.

    settled ─▶ (failed: write NAME.why.json) ─▶ move ─▶ note in the spool
                                              └─ a crash here: the next start finds it moved, and notes it

Only the very file that was read is moved: one that changed since stays, because it is new work. What
cannot be moved now (no permission, no folder) is said once and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.clock import Clock
from agent.collect.files import AGAIN, NOT_SENT
from agent.config.model import Job, files_of
from agent.errors import StateError
from agent.logs import get_log
from agent.message import DeadLetter, JsonValue
from agent.moving import move_aside
from agent.phrases import rfc3339
from agent.spool import FileRow, SettledFile, Spool
from agent.unmoved import UnmovedFile

log = get_log("finish")

# Seconds between two sweeps: every ack wakes the finisher, a file has thousands of them.
_BREATH = 0.2
# Seconds until what could not be moved is tried again.
_RETRY = 30.0
_SHOWN = 20  # refusals that NAME.why.json shows; `push-agent dead list` has all of them


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stuck:
    job: str
    file: UnmovedFile
    tried: float
    """On the monotonic clock."""


class Finisher:
    """Moves the files of all jobs, one after the other, in a thread."""

    def __init__(self, spool: Spool, clock: Clock) -> None:
        self._spool = spool
        self._clock = clock
        self._jobs: Mapping[str, Job] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stuck: dict[str, _Stuck] = {}
        self._failed = False
        self._changed = False

    def set_jobs(self, jobs: Mapping[str, Job]) -> None:
        """From now on these. The files of all other jobs stay as they are until their job is back."""
        self._jobs = jobs
        self._changed = True
        self._wake.set()

    async def start(self) -> None:
        """Begin with what the last process left."""
        self._wake.set()
        self._task = asyncio.create_task(self._live(), name="finish")

    async def stop(self) -> None:
        """End after the file under way; what is left is found at the next start. Twice is fine."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def wake(self) -> None:
        """Something of a file was delivered, refused or given up. Called in the event loop; cheap."""
        self._wake.set()

    def stuck(self, job: str = "") -> tuple[UnmovedFile, ...]:
        """Files that cannot be moved now, and why; of one job, or of all."""
        # A copy: a thread may be adding one.
        return tuple(one.file for one in list(self._stuck.values()) if job in {"", one.job})

    async def sweep(self, *, patient: bool = False) -> None:
        """Finish every file that is ready; `patient`: what could not be moved a moment ago later.

        Raises StateError when the spool cannot be used.
        """
        seen = await self._spool.settled_files()
        due = self._clock.monotonic() - _RETRY
        for settled in seen:
            stuck = self._stuck.get(settled.file.path)
            if patient and stuck is not None and stuck.tried > due:
                continue
            # Shielded: a stop waits for the move under way, so that it is noted too.
            await asyncio.shield(asyncio.to_thread(self._finish, settled))
        paths = {settled.file.path for settled in seen}
        self._stuck = {path: one for path, one in self._stuck.items() if path in paths}

    async def _live(self) -> None:
        while True:
            await self._wait()
            self._wake.clear()
            self._failed = True
            changed, self._changed = self._changed, False  # other folders may be others' to write to
            try:
                await self.sweep(patient=not changed)
                self._failed = False
            except StateError as error:
                log.warning("files are not moved now", reason=error.message)
            except Exception as error:  # noqa: BLE001 - deliveries go on, whatever is wrong with a file
                log.bug("moving files failed", error)
            await self._clock.sleep(_BREATH)

    async def _wait(self) -> None:
        """Until woken; while something is left to be moved, at most until it is time to try it again."""
        if not self._stuck and not self._failed:
            await self._wake.wait()
            return
        woken = asyncio.ensure_future(self._wake.wait())
        timer = asyncio.ensure_future(self._clock.sleep(_RETRY))
        try:
            await asyncio.wait({woken, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            timer.cancel()

    def _finish(self, settled: SettledFile) -> None:
        """One file; blocks."""
        row = settled.file
        if not row.path.startswith("/"):  # a page, or what a program printed
            self._spool.forget_file(row.id).result()
            return
        job = self._jobs.get(row.job)
        if job is None or (files := files_of(job.source)) is None:
            return  # before the first load, or in a push of another job: nobody knows where it goes
        try:
            place, note = self._place(settled, files.done if settled.ends == "done" else files.failed)
        except OSError as error:
            why = f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
            self._cannot(row, why, hint_of(error, Path(row.path).parent))
            return
        except StateError:
            raise
        except Exception as error:  # noqa: BLE001 - one file must not hold the others
            log.bug("moving a file failed", error, job=row.job, file=row.path)
            self._cannot(row, f"a fault of push-agent: {type(error).__name__}: {error}", "its log says more")
            return
        if self._stuck.pop(row.path, None) is not None:
            log.info("the file could be moved", job=row.job, file=row.path)
        moved_to = str(place) if place is not None else None
        # What was written at collecting says why nothing was sent: it must stay as it is.
        reason = "" if row.reason.startswith((NOT_SENT, AGAIN)) else _reason(settled, note)
        self._spool.finish_file(row.id, state=settled.ends, moved_to=moved_to, reason=reason).result()
        log.info("finished", job=row.job, file=row.path, state=settled.ends, moved_to=moved_to, note=note)

    def _cannot(self, row: FileRow, why: str, hint: str) -> None:
        """Said once, shown as long as it lasts."""
        before = self._stuck.get(row.path)
        if before is None or before.file.reason != why:
            log.warning("a file cannot be moved", job=row.job, file=row.path, reason=why, hint=hint)
        file = UnmovedFile(path=row.path, reason=why, hint=hint)
        self._stuck[row.path] = _Stuck(job=row.job, file=file, tried=self._clock.monotonic())

    def _place(self, settled: SettledFile, name: str | None) -> tuple[Path | None, str]:
        """Move the file; where it is now (None: where it was), and what there is to say."""
        row, source = settled.file, Path(settled.file.path)
        if name is None or row.reason.startswith(AGAIN):
            return None, ""
        if settled.ends == "done":
            return move_aside(source, name, row.stamp, sha256=row.sha256)

        def why() -> dict[str, JsonValue]:
            letters = self._spool.letters_of_file(row.id, _SHOWN).result()
            return _why(settled, letters, self._clock.now())

        return move_aside(source, name, row.stamp, sha256=row.sha256, note=why)


def hint_of(error: OSError, source: Path) -> str:
    """What a person can do about it; `source` is the folder that the file lies in."""
    folder = error.filename or "the folder"
    match error.errno:
        case errno.EROFS:
            return (
                f"{folder} or {source} is read-only: mount it writable, or let the service write there "
                "(ReadWritePaths=, by systemctl edit push-agent)"
            )
        case errno.EACCES | errno.EPERM:
            return f"let the user of push-agent write to {folder} and to {source}"
        case errno.ENOENT:
            return f"make the folder above {folder}, or mount it"
        case errno.EEXIST | errno.ENOTDIR:
            return f"{folder} must be a folder"
        case errno.ENOSPC | errno.EDQUOT:
            return f"make room on the disk of {folder}"
        case _:
            return ""


def _reason(settled: SettledFile, note: str) -> str:
    if settled.dead:
        return f"{settled.dead} refused, {settled.delivered} delivered" + (f"; {note}" if note else "")
    return note


def _why(settled: SettledFile, letters: list[DeadLetter], now: float) -> dict[str, JsonValue]:
    """What a person finds beside a failed file."""
    row = settled.file
    return {
        "file": row.path,
        "job": row.job,
        "time": rfc3339(now),
        "sha256": row.sha256,
        "reason": row.reason or "the target refused some or all of it",
        "delivered": settled.delivered,
        "refused": settled.dead,
        "answers": [
            {
                "key": letter.key,
                "time": rfc3339(letter.died_at),
                "reason": letter.reason,
                "from": letter.origin,
                "request": f"{letter.method} {letter.url}".strip(),
                "status": letter.answer.status,
                "answer": letter.answer.reason,
                "body": letter.answer.body,
            }
            for letter in letters
        ],
    }
