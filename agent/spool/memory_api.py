"""Cursors, waits, sessions, schedule and config memory, as `Spool` shows them."""

from __future__ import annotations

from collections.abc import Callable

from agent.logs import get_log
from agent.message import Cursor
from agent.session_row import SessionRow
from agent.spool import memory
from agent.spool.database import Database
from agent.spool.desk import Desk
from agent.spool.pending import Pending
from agent.spool.values import ConfigRow
from agent.trace import LaneWait

log = get_log("spool")


class MemoryApi(Desk):
    """Small things that must survive."""

    def cursor(self, job: str) -> Pending[Cursor | None]:
        """How far the job's source was read."""
        return self._read(lambda db: memory.cursor(db, job))

    def set_cursor(self, job: str, cursor: Cursor) -> Pending[None]:
        """Remember it without appending anything."""
        return self._durably(lambda db: memory.set_cursor(db, job, cursor, self._clock.now()))

    def set_wait(self, wait: LaneWait) -> Pending[None]:
        """Remember why the lane waits, so that `status` can say it without the daemon."""
        return self._write(lambda db: memory.set_wait(db, wait))

    def clear_wait(self, job: str, lane: int) -> Pending[None]:
        """The lane sends again."""
        return self._write(lambda db: memory.clear_wait(db, job, lane))

    def waits(self) -> Pending[list[LaneWait]]:
        """Every lane that waits."""
        return self._read(memory.lane_waits)

    def session(self, connection: str) -> Pending[SessionRow | None]:
        """What a connection's session remembered."""
        return self._read(lambda db: memory.session(db, connection))

    def store_session(self, row: SessionRow) -> Pending[None]:
        """Durable: a new pair of tokens is stored before it is used. Never over a newer generation."""

        def work(db: Database) -> None:
            if not memory.store_session(db, row):
                text = "an older session was not written over a newer one"
                log.warning(text, connection=row.connection, generation=row.generation)

        return self._durably(work)

    def reseal_sessions(self, reseal: Callable[[bytes, str], bytes]) -> Pending[int]:
        """Durable, and all of them in one piece: no session writes in between."""
        return self._durably(lambda db: memory.reseal_sessions(db, reseal))

    def sessions(self) -> Pending[list[SessionRow]]:
        """Every session."""
        return self._read(memory.sessions_all)

    def last_due(self, job: str, ident: str) -> Pending[float | None]:
        """The last occurrence of this schedule of the job that was announced."""
        return self._read(lambda db: memory.last_due(db, job, ident))

    def set_last_due(self, job: str, ident: str, due: float) -> Pending[None]:
        """Remember it."""
        return self._write(lambda db: memory.set_last_due(db, job, ident, due, self._clock.now()))

    def first_seen(self, job: str, ident: str) -> Pending[float | None]:
        """When this schedule was first asked about; None when that is now (and remembered)."""
        return self._write(lambda db: memory.first_seen(db, job, ident, self._clock.now()))

    def config_rows(self) -> Pending[list[ConfigRow]]:
        """The last accepted text of every config file."""
        return self._read(memory.config_rows)

    def config_texts(self) -> Pending[frozenset[str]]:
        """The sha-256 of every accepted text."""
        return self._read(memory.config_texts)

    def keep_config(self, row: ConfigRow) -> Pending[None]:
        """Remember an accepted text, durably."""
        return self._durably(lambda db: memory.keep_config(db, row))

    def drop_config(self, path: str) -> Pending[None]:
        """Forget it."""
        return self._durably(lambda db: memory.drop_config(db, path))
