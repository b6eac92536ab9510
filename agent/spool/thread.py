"""The one thread that owns the database: work is done in the order in which it was submitted.

What waits in the queue at one moment becomes ONE transaction (a group commit). When a piece or the
commit fails, nothing of the group counts as done: every piece of it is then done again, alone, so that one
failure harms no other. That is rare, and savepoints would cost each of the many that do not fail.

    submit → [piece, piece, piece] → BEGIN · piece · piece · piece · COMMIT → results, on_append
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from agent.errors import StateError
from agent.logs import get_log
from agent.spool.database import Database, is_damage, needs_new_connection, translate
from agent.spool.paying import pay
from agent.spool.pending import Pending, Waiter, wake
from agent.spool.transaction import GroupLostError, Piece, transact

log = get_log("spool")
T = TypeVar("T")

GROUP_PIECES = 256
PAY_AFTER = 0.05
"""Seconds without work after which what is owed is paid."""
PAUSE = 0.002
"""The same when that is enough: answers come in bursts, and between two bursts nobody waits for it."""
FEW = 2
"""Pieces of a group: so few who wait send their next requests while it is paid, and do not wait for it."""
PAY_AGAIN = 1.0
"""The same when that could not be done."""
GROUP_BYTES = 32_000_000  # bounds memory in the WAL index and the time that an ack waits for a big append


class DatabaseThread:
    """Owns the connection. `reopen(damage)` gives a new one; damage is "" or says what is broken."""

    def __init__(self, db: Database, reopen: Callable[[str], Database]) -> None:
        self._db: Database | None = db
        self._reopen = reopen
        self._queue: SimpleQueue[Piece[Any] | None] = SimpleQueue()
        self._carried: Piece[Any] | None = None
        self._closed = False
        self._patience = PAY_AFTER
        self._gate = threading.Lock()  # nothing may be queued behind the end mark
        self.on_append: Callable[[str], None] | None = None
        self._thread = threading.Thread(target=self._live, name="spool", daemon=True)
        self._thread.start()

    @property
    def thread_id(self) -> int:
        """As the system counts threads; 0 where it does not."""
        return self._thread.native_id or 0

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def submit(
        self,
        work: Callable[[Database], T],
        *,
        writes: bool = True,
        durable: bool = False,
        weight: int = 0,
        regardless: bool = False,
    ) -> Pending[T]:
        """Queue it. After `close` the pending fails with StateError."""
        pending: Pending[T] = Pending()
        with self._gate:
            if self._closed:
                pending.set_exception(StateError("the spool is closed"))
            else:
                self._queue.put(Piece(work, pending, writes, durable, weight, regardless))
        return pending

    def close(self) -> None:
        """Do what was submitted, fold the WAL away, end. Twice is fine."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _live(self) -> None:
        while True:
            first = self._carried or self._next()
            self._carried = None
            if first is None:
                break
            group, ended = self._gather(first)
            try:
                self._do(group)
                self._tidy(len(group))
            except BaseException as error:  # noqa: BLE001 - a waiter must never wait for ever
                log.bug("the spool thread met a bug", error)
                _fail(group, error)
            if ended:
                break
        self._pay()
        if self._db is not None:
            self._db.close()

    def _next(self) -> Piece[Any] | None:
        while (db := self._db) is not None:
            chores = self._chores(db)
            if not chores and not db.owed:
                break
            try:
                return self._queue.get(timeout=PAUSE if chores else self._patience)
            except Empty:
                self._do_chores()
        return self._queue.get()

    def _tidy(self, pieces: int) -> None:
        """Behind a group of so many pieces, whose waiters are told."""
        db = self._db
        if db is None:
            return
        if db.folding is not None:
            db.folding.committed()
        if db.owed.is_heavy or (pieces <= FEW and self._chores(db)):
            self._do_chores()

    def _chores(self, db: Database) -> bool:
        """Whether there is something that is to be done in the next pause."""
        pays = db.owed.is_enough and self._patience == PAY_AFTER
        return pays or (db.folding is not None and db.folding.is_nearly_done)

    def _do_chores(self) -> None:
        try:
            self._pay()
            db = self._db  # another one, if that went wrong
            if db is not None and db.folding is not None and db.folding.is_nearly_done:
                db.folding.finish()
        except Exception as error:  # noqa: BLE001 - nobody waits for it, and the next piece is waited for
            self._patience = PAY_AGAIN
            log.bug("the spool met a bug between two pieces", error)

    def _pay(self) -> None:
        """What is owed, in a transaction of its own. What cannot be paid now is owed on."""
        db, self._patience = self._db, PAY_AFTER
        if db is None or not db.owed:
            return
        try:
            db.begin(durable=False)
            pay(db)
            db.commit()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next piece is waited for
            self._patience = PAY_AGAIN
            with contextlib.suppress(sqlite3.Error):
                db.rollback()
            if needs_new_connection(error):
                self._renew(error)
            elif isinstance(error, sqlite3.Error):
                log.debug("what is delivered stays in the queue for now", error=str(error))
            else:
                log.bug("what is delivered stays in the queue", error)

    def _gather(self, first: Piece[Any]) -> tuple[list[Piece[Any]], bool]:
        group, weight = [first], first.weight
        while len(group) < GROUP_PIECES and weight < GROUP_BYTES:
            try:
                piece = self._queue.get_nowait()
            except Empty:
                break
            if piece is None:
                return group, True
            if weight + piece.weight > GROUP_BYTES:
                self._carried = piece
                break
            group.append(piece)
            weight += piece.weight
        return group, False

    def _do(self, group: list[Piece[Any]]) -> None:
        if not any(piece.writes for piece in group) and not all(piece.regardless for piece in group):
            self._pay()  # on a full disk what only reads goes on all the same
        db = self._db
        if db is None:
            try:
                db = self._db = self._reopen("")
            except (StateError, sqlite3.Error, OSError) as error:
                _fail(group, StateError(f"the state database cannot be opened ({error})"))
                return
            log.info("the state database is back")
        try:
            results = transact(db, group)
        except GroupLostError as lost:
            self._group_failed(group, lost.__cause__ or lost)
            return
        self._tell(db)
        waiters: list[Waiter] = []
        for piece, result in zip(group, results, strict=True):
            if isinstance(result, BaseException):
                waiters += piece.pending.settle(error=translate(result))
            else:
                waiters += piece.pending.settle(result[0])
        wake(waiters)
        broken = next((r for r in results if isinstance(r, BaseException) and needs_new_connection(r)), None)
        if broken is not None:
            self._renew(broken)

    def _group_failed(self, group: list[Piece[Any]], error: BaseException) -> None:
        """Nothing of the group was done: do each piece alone; the one that still fails has failed."""
        if needs_new_connection(error):
            self._renew(error)
        if len(group) == 1:
            group[0].pending.set_exception(translate(error))
            return
        self._pay()  # it may make the room that was missing
        for piece in group:
            self._do([piece])

    def _renew(self, error: BaseException) -> None:
        log.error("the state database failed; opening it again", error=str(error))
        if self._db is not None:
            self._db.close()
            self._db = None
        try:
            self._db = self._reopen(str(error) if is_damage(error) else "")
        except (StateError, sqlite3.Error, OSError) as again:
            log.error("the state database cannot be opened", error=str(again))

    def _tell(self, db: Database) -> None:
        jobs, db.appended = dict.fromkeys(db.appended), []
        if self.on_append is None:
            return
        for job in jobs:
            try:
                self.on_append(job)
            except Exception as error:  # noqa: BLE001 - the listener's trouble is not the spool's
                log.bug("the listener of the spool failed", error, job=job)


def _fail(group: list[Piece[Any]], error: BaseException) -> None:
    for piece in group:
        if not piece.pending.done():
            piece.pending.set_exception(error)
