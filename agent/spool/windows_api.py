"""Windows and backfills, as `Spool` shows them."""

from __future__ import annotations

from agent.spool import runs, windows
from agent.spool.database import Database
from agent.spool.desk import Desk
from agent.spool.pending import Pending
from agent.spool.values import BackfillRow, BackfillState, WindowMark
from agent.window import Window


class WindowsApi(Desk):
    """How far the windows of each job are done. A window begins and ends with its run."""

    def start_window(
        self,
        job: str,
        due: float,
        trigger: str,
        job_sha: str,
        window: Window,
        *,
        hold: bool,
        backfill: int | None = None,
    ) -> Pending[int]:
        """A run begins that is about a window; its id. See `agent.spool.windows`.

        hold: no lane sees its messages, and its cursor does not count, before it ends as done.
        """

        def work(db: Database) -> int:
            now = self._clock.now()
            run = runs.start(db, job, due, trigger, job_sha, now)
            windows.begin(db, job, run, window, hold=hold, backfill=backfill, now=now)
            return run

        return self._durably(work)

    def window_mark(self, job: str) -> Pending[WindowMark | None]:
        """How far the job's windows are; None when there was none yet."""
        return self._read(lambda db: windows.mark(db, job))

    def begin_windows(self, job: str, moment: float) -> Pending[None]:
        """The job's first window begins at this moment (seconds since 1970)."""
        return self._durably(lambda db: windows.begin_at(db, job, moment, self._clock.now()))

    def open_backfill(self, job: str, since: float, until: float, step: str) -> Pending[BackfillRow]:
        """A backfill begins; one of the same words that is not done goes on where it was."""
        return self._durably(lambda db: windows.open_backfill(db, job, since, until, step, self._clock.now()))

    def backfill(self, ident: int) -> Pending[BackfillRow]:
        """Raises LookupError."""
        return self._read(lambda db: windows.backfill(db, ident))

    def turn_backfill(self, ident: int, state: BackfillState, reason: str = "") -> Pending[None]:
        """It goes on, stands still, or is over."""
        return self._durably(lambda db: windows.turn_backfill(db, ident, state, reason, self._clock.now()))
