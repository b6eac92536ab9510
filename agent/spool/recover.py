"""A damaged database: it is set aside, what reads is saved into a fresh one, and the daemon starts.

    state.db (damaged) ──read──▶ state.db.new ──complete──▶ state.db.saved
    state.db, -wal, -shm ──rename──▶ state.db.bad.N …        state.db.saved ──rename──▶ state.db

A kill at any point leaves either the damaged file in its place (begin again) or the complete saved one
(finish the renames): nothing that was saved is lost again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Table

from agent.logs import get_log
from agent.spool.database import Database, Row, connect, insert_all
from agent.spool.folder import sync_folder
from agent.spool.migrations import upgrade
from agent.spool.paying import collect, pay
from agent.spool.recount import recount
from agent.spool.tables import metadata
from agent.spool.values import Recovered

log = get_log("spool")

_LONGEST_SKIP = 1_000_000  # rows
_BATCH = 500  # rows in a savepoint
_SIDES = ("-wal", "-shm")


def finish_interrupted_recovery(path: Path) -> None:
    """The renames that a kill cut off."""
    saved = Path(f"{path}.saved")
    if not saved.exists():
        return
    if path.exists():
        saved.unlink()  # it was killed before the damaged file was set aside: begin again
        return
    _set_sides_aside(path, _last_bad(path))
    saved.rename(path)
    sync_folder(path.parent)


def recover(path: Path, reason: str) -> Recovered:
    """Set the damaged database aside. The new one holds what could be read."""
    new, saved = Path(f"{path}.new"), Path(f"{path}.saved")
    for left in (new, *(Path(f"{new}{side}") for side in _SIDES)):
        left.unlink(missing_ok=True)
    new.touch(mode=0o600)
    upgrade(new)
    rows = _salvage(path, new)
    new.rename(saved)
    sync_folder(path.parent)
    bad = _next_bad(path)
    path.rename(bad)
    _set_sides_aside(path, bad)
    saved.rename(path)
    sync_folder(path.parent)
    return Recovered(set_aside=bad, reason=reason, rows=rows)


def _bad(path: Path, number: int) -> Path:
    return Path(f"{path}.bad.{number}")


def _next_bad(path: Path) -> Path:
    number = 1
    while _bad(path, number).exists():
        number += 1
    return _bad(path, number)


def _last_bad(path: Path) -> Path:
    number = 1
    while _bad(path, number + 1).exists():
        number += 1
    return _bad(path, number)


def _set_sides_aside(path: Path, bad: Path) -> None:
    for side in _SIDES:
        if Path(f"{path}{side}").exists():
            Path(f"{path}{side}").rename(f"{bad}{side}")


def _salvage(path: Path, new: Path) -> tuple[tuple[str, int], ...]:
    db = connect(new)
    try:
        try:
            old = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
        except sqlite3.Error as error:
            log.error("nothing can be read", error=str(error))
            return ()
        old.text_factory = lambda data: data.decode("utf-8", "replace")
        try:
            db.begin(durable=True)
            counts = tuple((table.name, _copy(old, db, table)) for table in metadata.sorted_tables)
            collect(db)
            pay(db)
            recount(db)
            _keep_sequences(old, db)
            db.commit()
        finally:
            old.close()
    finally:
        db.close()
    return counts


def _copy(old: sqlite3.Connection, db: Database, table: Table) -> int:
    missing = _missing(old, table)
    statement = insert_all(table, without=missing)
    names = [f'"{column.name}"' for column in table.columns if column.name not in missing]
    count = 0
    for row in _readable(old, table.name, ", ".join(names)):
        try:
            db.raw.execute(statement.text, row)
            count += 1
        except sqlite3.Error:
            log.debug("a row was not saved", table=table.name)  # doubled or torn by the damage
    return count


def _missing(old: sqlite3.Connection, table: Table) -> tuple[str, ...]:
    """Columns that a later version has added: SQLite would give their quoted names as text."""
    try:
        there = {row[1] for row in old.execute(f"PRAGMA table_info({table.name})")}
    except sqlite3.Error:
        return ()
    return tuple(column.name for column in table.columns if there and column.name not in there)


def _readable(old: sqlite3.Connection, table: str, columns: str) -> Iterator[Row]:
    """Rows in order; over what cannot be read it leaps ever farther, until it reads again or ends."""
    last, skip = -(2**62), 0
    top = _top(old, table)
    while True:
        query = f"SELECT rowid, {columns} FROM {table} WHERE rowid > ? ORDER BY rowid"  # noqa: S608 - our names
        try:
            for row in old.execute(query, (last,)):
                last, skip = row[0], 0
                yield row[1:]
        except sqlite3.Error as error:
            skip = max(1, skip * 2)
            last = max(last, 0) + skip
            if (
                skip > _LONGEST_SKIP
                or last > top
                or "no such" in str(error)
                or "not a database" in str(error)
            ):
                log.error("part of a table cannot be read", table=table, error=str(error))
                return
            continue
        return


def _top(old: sqlite3.Connection, table: str) -> int:
    try:
        row = old.execute(f"SELECT max(rowid) FROM {table}").fetchone()  # noqa: S608 - our names
    except sqlite3.Error:
        return _LONGEST_SKIP
    return int(row[0] or 0)


def _keep_sequences(old: sqlite3.Connection, db: Database) -> None:
    """Ids go on growing where they were: an id that was given once is never given again."""
    try:
        rows = old.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
    except sqlite3.Error:
        return
    for name, seq in rows:
        if isinstance(seq, int) and name in metadata.tables and 0 <= seq < 2**53:
            db.raw.execute("DELETE FROM sqlite_sequence WHERE name = ? AND seq < ?", (name, seq))
            db.raw.execute(
                "INSERT INTO sqlite_sequence (name, seq) SELECT ?, ? "
                "WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?)",
                (name, seq, name),
            )
