"""Pauses and backlogs, as `Spool` shows them."""

from __future__ import annotations

from collections.abc import Sequence

from agent.spool import pauses
from agent.spool.desk import Desk
from agent.spool.limits import Limits
from agent.spool.pending import Pending
from agent.spool.values import Backlog, Fallen, PauseRow


class PausesApi(Desk):
    """What a person has paused, what is limited, and what is waited for meanwhile."""

    limits: Limits
    """Where appends stop, besides at the size of the database. Changed by a reload."""

    def why_full(self, job: str) -> Pending[str]:
        """Why a run of the job could append nothing now; "" when it could."""
        return self._read(lambda db: self.limits.why_full(db, job))

    def pauses(self) -> Pending[list[PauseRow]]:
        """All of them."""
        return self._read(pauses.rows)

    def put_pauses(self, rows: Sequence[PauseRow]) -> Pending[None]:
        """Each of these is paused from now on, also after a restart."""
        paused = tuple(rows)
        return self._durably(lambda db: pauses.put(db, paused))

    def drop_pauses(self, rows: Sequence[PauseRow]) -> Pending[None]:
        """None of these is paused any more."""
        resumed = tuple(rows)
        return self._durably(lambda db: pauses.drop(db, resumed))

    def backlogs(self) -> Pending[list[Backlog]]:
        """Of every job that has something in the spool; from counters, so it takes as long for a million."""
        return self._read(pauses.backlogs)

    def newest_message(self, job: str) -> Pending[int]:
        """The id of the job's message that was appended last; 0 when none is there."""
        return self._read(lambda db: pauses.newest(db, job))

    def any_message_up_to(self, job: str, last: int) -> Pending[bool]:
        """Whether a message of the job with this id or an earlier one can still be sent."""
        return self._read(lambda db: pauses.any_up_to(db, job, last))

    def fallen(self, job: str, first: int, last: int) -> Pending[Fallen]:
        """The dead letters of these runs of the job, from the first to the last."""
        return self._read(lambda db: pauses.fallen(db, job, first, last))
