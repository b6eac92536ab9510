"""From a state folder to an open, current, sound database.

tidy up after a crash → too new? → sound? (no: set aside, salvage) → migrate → open
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.errors import StateError
from agent.logs import get_log
from agent.spool.database import Database, code_of, connect, is_damage
from agent.spool.folder import DATABASE, full, sync_folder, unusable
from agent.spool.migrations import HEAD, upgrade
from agent.spool.paying import collect
from agent.spool.readonly import connect_readonly
from agent.spool.recover import finish_interrupted_recovery, recover
from agent.spool.values import Recovered

log = get_log("spool")

_CHECK_WHOLE = 256_000_000  # bytes; above it only the small tables are checked: a start takes 2 s at most
_SMALL_TABLES = (
    "jobs",
    "cursors",
    "waits",
    "sessions",
    "dues",
    "configs",
    "runs",
    "files",
    "windows",
    "backfills",
    "layouts",
    "fits",
    "pauses",
)


def open_database(folder: Path, damage: str = "") -> tuple[Database, Recovered | None]:
    """The database of a locked folder; `damage` says what is known to be broken already.

    Raises StateError when it is of a newer version or cannot be used.
    """
    path = folder / DATABASE
    recovered: Recovered | None = None
    with _translated(folder):
        finish_interrupted_recovery(path)
        if not path.exists():
            _create(path)
        else:
            damage = damage or _damage_of(path)
            if damage:
                log.error("the state database is damaged; saving what can be read", reason=damage)
                recovered = recover(path, damage)
                log.error(
                    "continuing with what was saved",
                    set_aside=str(recovered.set_aside),
                    rows=dict(recovered.rows),
                )
            elif version_of(path) != HEAD:
                upgrade(path)
        path.chmod(0o600)
        db = connect(path)
        try:
            collect(db)
        except sqlite3.Error as error:
            db.raw.close()
            if recovered is not None or not is_damage(error):
                raise
            damage = str(error)  # of a large table, which was not checked
        else:
            return db, recovered
    return open_database(folder, damage)


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unusable(folder, error) from None
    except sqlite3.Error as error:
        if code_of(error) == sqlite3.SQLITE_FULL or _no_room(folder):
            raise full(folder) from error
        raise StateError(
            f"the state database in {folder} cannot be opened ({error})",
            hint="look at the disk and its rights",
        ) from error


def _no_room(folder: Path) -> bool:
    """A full disk makes errors of input and output too, where SQLite maps its shared memory."""
    with suppress(OSError):
        return os.statvfs(folder).f_bavail == 0
    return False


def _create(path: Path) -> None:
    """Whole or not at all: made under another name. A later empty file is therefore known as damage."""
    new = Path(f"{path}.new")
    for left in (new, Path(f"{new}-wal"), Path(f"{new}-shm")):
        left.unlink(missing_ok=True)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    upgrade(new)
    new.rename(path)
    sync_folder(path.parent)


def _damage_of(path: Path) -> str:
    """What is wrong with the database, or "". Raises StateError when it is too new."""
    if path.stat().st_size == 0:
        return "the file is empty"
    try:
        version = version_of(path)
    except sqlite3.Error as error:
        if is_damage(error) or code_of(error) == sqlite3.SQLITE_ERROR:
            return str(error)
        raise
    if not re.fullmatch(r"\d{4}", version):
        return "it has no version"
    if version > HEAD:
        raise StateError(
            f"the state in {path.parent} was made by a newer version of push-agent",
            hint=f"its schema is {version}, this version knows {HEAD}: install the newer version",
        )
    return _quick_check(path)


def version_of(path: Path) -> str:
    """The schema's version; "" without one. Raises sqlite3.Error."""
    reading = connect_readonly(path, owner=True)
    try:
        row = reading.raw.execute("SELECT version_num FROM alembic_version").fetchone()
    finally:
        reading.close()
    return str(row[0]) if row else ""


def _tables(db: Database) -> set[str]:
    """Those that there are: an older version has fewer."""
    return {str(row[0]) for row in db.raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _quick_check(path: Path) -> str:
    whole = path.stat().st_size <= _CHECK_WHOLE
    try:
        db = connect(path)
        try:
            checks = [""] if whole else [f"('{name}')" for name in _SMALL_TABLES if name in _tables(db)]
            for each in checks:
                row = db.raw.execute(f"PRAGMA quick_check{each}").fetchone()
                if row and row[0] != "ok":
                    return str(row[0]).replace("\n", " ")
            return ""
        finally:
            db.raw.close()
    except sqlite3.Error as error:
        if is_damage(error) or code_of(error) in {sqlite3.SQLITE_ERROR, 0}:
            return str(error)
        raise
