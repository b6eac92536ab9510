"""Pieces of work that share one transaction: all of them are done, or nothing of any."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from agent.spool.database import Database, is_full, needs_new_connection
from agent.spool.paying import pay
from agent.spool.pending import Pending

T = TypeVar("T")


class Piece(NamedTuple, Generic[T]):
    """One thing to do. `work` may be run again when its group failed, so it keeps no state."""

    work: Callable[[Database], T]
    pending: Pending[T]
    writes: bool
    durable: bool
    """The commit waits for the disk."""
    weight: int
    """Bytes that it writes, roughly."""
    regardless: bool = False
    """It heeds what is owed (see `owed`) by itself; all else is done when that is paid."""


class GroupLostError(Exception):
    """Nothing of the group was done; its cause says why."""


def transact(db: Database, group: list[Piece[Any]]) -> list[tuple[Any] | BaseException]:
    """Each piece's result in a tuple, or its error. Raises GroupLostError: nothing was done."""
    db.appended = []
    writes = any(piece.writes for piece in group)
    if writes and len(group) == 1:
        return [_make_room(db, group[0])]
    try:
        if writes:
            db.begin(durable=any(piece.durable for piece in group))
        results = [_do_piece(db, piece, pays=writes) for piece in group]
        if writes:
            _end(db)
    except (GroupLostError, sqlite3.Error) as error:
        raise _lost(db, error) from (error.__cause__ if isinstance(error, GroupLostError) else error)
    return results


def _make_room(db: Database, piece: Piece[Any]) -> tuple[Any] | BaseException:
    """One that finds no room is done again behind what is owed: messages that leave are what makes it."""
    try:
        result = _transact_alone(db, piece)
    except GroupLostError as lost:  # SQLite itself has undone it
        if not _lacks_room(db, piece, lost.__cause__):
            raise
    else:
        if not (isinstance(result, BaseException) and _lacks_room(db, piece, result)):
            return result
    return _transact_alone(db, piece._replace(regardless=False))


def _lacks_room(db: Database, piece: Piece[Any], error: BaseException | None) -> bool:
    return piece.regardless and len(db.owed) > 0 and error is not None and is_full(error)


def _transact_alone(db: Database, piece: Piece[Any]) -> tuple[Any] | BaseException:
    """The same for a piece that is a group by itself: what fails is undone with its transaction."""
    try:
        db.begin(durable=piece.durable)
        try:
            if not piece.regardless:
                pay(db)
            result = piece.work(db)
        except Exception as error:
            if not db.raw.in_transaction or needs_new_connection(error):
                raise GroupLostError from error
            db.rollback()
            db.appended = []
            return error
        _end(db)
    except (GroupLostError, sqlite3.Error) as error:
        raise _lost(db, error) from (error.__cause__ if isinstance(error, GroupLostError) else error)
    return (result,)


def _end(db: Database) -> None:
    if db.owed.is_most:
        pay(db)
    db.commit()


def _lost(db: Database, error: BaseException) -> GroupLostError:
    db.appended = []
    with contextlib.suppress(sqlite3.Error):
        db.rollback()
    return error if isinstance(error, GroupLostError) else GroupLostError()


def _do_piece(db: Database, piece: Piece[Any], *, pays: bool) -> tuple[Any] | BaseException:
    if pays and not piece.regardless:
        pay(db)  # what goes wrong here is the whole group's matter
    try:
        return (piece.work(db),)
    except Exception as error:
        if piece.writes:
            raise GroupLostError from error
        return error
