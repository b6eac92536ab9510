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
from typing import Any, Generic, NamedTuple, TypeVar

from agent.errors import StateError
from agent.logs import get_log
from agent.spool.database import Database, is_damage, needs_new_connection, translate
from agent.spool.owed import forgive, pay
from agent.spool.pending import Pending, Waiter, wake

log = get_log("spool")
T = TypeVar("T")

GROUP_PIECES = 256
GROUP_BYTES = 32_000_000  # bounds memory in the WAL index and the time that an ack waits for a big append


class Piece(NamedTuple, Generic[T]):
    """One thing to do. `work` may be run again when its group failed, so it keeps no state."""

    work: Callable[[Database], T]
    pending: Pending[T]
    writes: bool
    durable: bool
    """The commit waits for the disk."""
    weight: int
    """Bytes that it writes, roughly."""
    owes: bool = False
    """It leaves sums to be paid (see `owed`), and looks at nothing that they change."""


class _GroupLostError(Exception):
    """SQLite rolled the whole transaction back (disk full, I/O error)."""


class DatabaseThread:
    """Owns the connection. `reopen(damage)` gives a new one; damage is "" or says what is broken."""

    def __init__(self, db: Database, reopen: Callable[[str], Database]) -> None:
        self._db: Database | None = db
        self._reopen = reopen
        self._queue: SimpleQueue[Piece[Any] | None] = SimpleQueue()
        self._carried: Piece[Any] | None = None
        self._closed = False
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
        owes: bool = False,
    ) -> Pending[T]:
        """Queue it. After `close` the pending fails with StateError."""
        pending: Pending[T] = Pending()
        with self._gate:
            if self._closed:
                pending.set_exception(StateError("the spool is closed"))
            else:
                self._queue.put(Piece(work, pending, writes, durable, weight, owes))
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
            first = self._carried or self._queue.get()
            self._carried = None
            if first is None:
                break
            group, ended = self._gather(first)
            try:
                self._do(group)
            except BaseException as error:  # noqa: BLE001 - a waiter must never wait for ever
                log.bug("the spool thread met a bug", error)
                _fail(group, error)
            if ended:
                break
        if self._db is not None:
            self._db.close()

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
        db = self._db
        if db is None:
            try:
                db = self._db = self._reopen("")
            except (StateError, sqlite3.Error, OSError) as error:
                _fail(group, StateError(f"the state database cannot be opened ({error})"))
                return
            log.info("the state database is back")
        try:
            results = _transact(db, group)
        except _GroupLostError as lost:
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


def _transact(db: Database, group: list[Piece[Any]]) -> list[tuple[Any] | BaseException]:
    """Each piece's result in a tuple, or its error. Raises _GroupLostError: nothing was done."""
    db.appended = []
    forgive(db)
    writes = any(piece.writes for piece in group)
    if writes and len(group) == 1:
        return [_transact_alone(db, group[0])]
    try:
        if writes:
            db.begin(durable=any(piece.durable for piece in group))
        results = [_do_piece(db, piece) for piece in group]
        if writes:
            pay(db)
            db.commit()
    except (_GroupLostError, sqlite3.Error) as error:
        db.appended = []
        with contextlib.suppress(sqlite3.Error):
            db.rollback()
        cause = error.__cause__ if isinstance(error, _GroupLostError) else error
        raise _GroupLostError from cause
    return results


def _transact_alone(db: Database, piece: Piece[Any]) -> tuple[Any] | BaseException:
    """The same for a piece that is a group by itself: what fails is undone with its transaction."""
    try:
        db.begin(durable=piece.durable)
        try:
            result = piece.work(db)
            pay(db)
        except Exception as error:
            if not db.raw.in_transaction or needs_new_connection(error):
                raise _GroupLostError from error
            db.rollback()
            db.appended = []
            return error
        db.commit()
    except (_GroupLostError, sqlite3.Error) as error:
        db.appended = []
        with contextlib.suppress(sqlite3.Error):
            db.rollback()
        cause = error.__cause__ if isinstance(error, _GroupLostError) else error
        raise _GroupLostError from cause
    return (result,)


def _do_piece(db: Database, piece: Piece[Any]) -> tuple[Any] | BaseException:
    if not piece.owes:
        pay(db)  # what goes wrong here is the whole group's matter
    try:
        return (piece.work(db),)
    except Exception as error:
        if piece.writes:
            raise _GroupLostError from error
        return error


def _fail(group: list[Piece[Any]], error: BaseException) -> None:
    for piece in group:
        if not piece.pending.done():
            piece.pending.set_exception(error)
