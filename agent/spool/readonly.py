"""A connection that reads the database without writing one byte into its folder.

no -wal, or an empty one   immutable=1: only the database file is read
-wal and -shm              readonly_shm=1: the log is read as it lies, beside a living writer or after a kill
-wal without -shm          both are copied to a temporary folder and opened there

What is asked of its tables is asked of the views of `views.sql`, which know what acks still owe.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from agent.spool.folder import is_locked

if TYPE_CHECKING:
    import tempfile


@dataclass(kw_only=True, slots=True)
class ReadOnly:
    """The connection, and the temporary folder that goes with it."""

    raw: sqlite3.Connection
    temporary: tempfile.TemporaryDirectory[str] | None = None

    def close(self) -> None:
        """Close and tidy up."""
        self.raw.close()
        if self.temporary is not None:
            self.temporary.cleanup()


def connect_readonly(path: Path, *, owner: bool = False) -> ReadOnly:
    """Open it; the folder's owner may leave a -shm behind. Raises sqlite3.Error and OSError."""
    wal = Path(f"{path}-wal")
    if owner and _has_bytes(wal):
        return ReadOnly(raw=_connect(path, "mode=ro"))
    if not _has_bytes(wal) and (owner or not is_locked(path.parent)):
        return ReadOnly(raw=_connect(path, "mode=ro&immutable=1"))
    try:
        return ReadOnly(raw=_connect(path, "mode=ro&readonly_shm=1"))
    except sqlite3.OperationalError:
        return _connect_copy(path, wal)


@contextmanager
def one_moment(raw: sqlite3.Connection) -> Iterator[None]:
    """All that is asked in it sees one moment: what leaves meanwhile is counted once.

    What acks owe is looked at once, too, and not again with each statement: as long as the transaction goes
    on, a table in memory stands for that view. Its end brings the view back.
    """
    raw.execute("BEGIN")
    try:
        _hold_owed(raw)
        yield
    finally:
        if raw.in_transaction:
            raw.execute("ROLLBACK")


def _hold_owed(raw: sqlite3.Connection) -> None:
    found = raw.execute("SELECT * FROM owed")
    key, *names = (column[0] for column in found.description)
    rows = found.fetchall()
    raw.execute("PRAGMA query_only=OFF")  # which forbids tables of our own, too
    try:
        raw.execute("DROP VIEW temp.owed")
        raw.execute(f"CREATE TEMP TABLE owed ({key} INTEGER PRIMARY KEY, {', '.join(names)})")
        marks = ", ".join("?" * (1 + len(names)))
        raw.executemany(f"INSERT OR REPLACE INTO temp.owed VALUES ({marks})", rows)  # noqa: S608 - our own
    finally:
        raw.execute("PRAGMA query_only=ON")


def _has_bytes(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _connect(path: Path, options: str) -> sqlite3.Connection:
    raw = sqlite3.connect(f"file:{quote(str(path))}?{options}", uri=True, isolation_level=None)
    try:
        raw.execute("PRAGMA temp_store=MEMORY")
        raw.executescript(_views())
        raw.execute("PRAGMA query_only=ON")
        raw.execute("PRAGMA busy_timeout=5000")
        raw.execute(
            "SELECT count(*) FROM sqlite_master"
        ).fetchone()  # nothing is opened before the first read
    except BaseException:
        raw.close()
        raise
    return raw


@cache
def _views() -> str:
    return Path(__file__).with_name("views.sql").read_text(encoding="utf-8")


def _connect_copy(path: Path, wal: Path) -> ReadOnly:
    import shutil  # noqa: PLC0415 - seldom: both cost 10 ms
    import tempfile  # noqa: PLC0415

    temporary = tempfile.TemporaryDirectory(prefix="push-agent-", ignore_cleanup_errors=True)
    try:
        copy = Path(temporary.name) / path.name
        shutil.copyfile(path, copy)
        if _has_bytes(wal):
            shutil.copyfile(wal, f"{copy}-wal")
        return ReadOnly(raw=_connect(copy, "mode=rw"), temporary=temporary)
    except BaseException:
        temporary.cleanup()
        raise
