"""The WAL is folded into the database beside the thread that writes: no ack waits for the disk.

    commits ──the WAL is long──▶ a pass beside them, which waits for the disk twice
       ▲                             │ ended
       │                             ▼
       └── the WAL begins anew ── the few pages that came meanwhile, in the thread that writes

SQLite before 3.51.3 can lose pages when a checkpoint begins just when another connection begins the WAL anew
(sqlite.org/wal.html, "The WAL-Reset Bug"). That can only be while the WAL is folded to its end. So passes
are begun by the thread that writes, one at a time, and always behind a page that it has committed: until
the pass itself has folded that page, nobody begins the WAL anew.
"""

from __future__ import annotations

import os
import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from agent.cores import anywhere
from agent.logs import get_log

log = get_log("spool")

PASSES = 2
"""Beside the thread that writes: the second one folds what came during the first, which is much less."""
_FRAME_HEADER, _WAL_HEADER = 24, 32  # bytes (sqlite.org/fileformat2.html, 4.1)


class Folding:
    """Of one connection that writes; all but the pass itself is called in its thread."""

    def __init__(self, raw: sqlite3.Connection, database: Path, pages: int) -> None:
        """A pass is begun when the WAL holds so many pages. From now on SQLite itself begins none."""
        page = int(raw.execute("PRAGMA page_size").fetchone()[0])
        self._limit = _WAL_HEADER + pages * (_FRAME_HEADER + page)
        # A WAL that begins anew is cut to this: one that is longer holds more pages, not the room for them.
        raw.execute(f"PRAGMA journal_size_limit={self._limit}")
        raw.execute("PRAGMA wal_autocheckpoint=0")
        self._raw = raw
        # A file that somebody took away is not made anew: it would be an empty one.
        self._database = f"file:{quote(str(database))}?mode=rw"
        self._wal = f"{database}-wal"
        self._long = self._limit
        """Bytes of the WAL from which on a pass is worth while."""
        self._passes = _passes()
        self._pass: Future[None] | None = None
        self._left = 0
        """Passes that may follow it."""

    def committed(self) -> None:
        """Behind each commit. Waits only for a disk that is so slow that the WAL became twice as long."""
        size = self._size()
        if self._pass is None:
            if size > self._long:
                self._left = PASSES
                self._begin()
        elif size > 2 * self._long:
            self.finish()
        elif self._left and self._pass.done():
            self._begin()

    @property
    def is_nearly_done(self) -> bool:
        """Only `finish` is left."""
        return self._pass is not None and not self._left and self._pass.done()

    def finish(self) -> None:
        """Fold what the passes have left: the WAL begins anew with the next commit."""
        if self._pass is not None:
            wait([self._pass])
            self._pass = None
        # Who reads a moment of long ago keeps the WAL from beginning anew: it is looked at in steps.
        self._long = self._limit if _fold(self._raw) else self._size() + self._limit

    def close(self) -> None:
        """No pass runs any more. Twice is fine."""
        self._passes.shutdown()

    def _begin(self) -> None:
        try:
            self._commit_a_page()
            self._left -= 1
            self._pass = self._passes.submit(self._beside)
        except (sqlite3.Error, RuntimeError, MemoryError) as error:  # a full disk; no more threads
            log.debug("the WAL is folded in the thread that writes", reason=str(error))
            self._forget()
            self.finish()

    def _forget(self) -> None:
        """A pass for which no thread could be started stays in the queue: it must never begin later."""
        self._passes.shutdown(cancel_futures=True)
        self._passes = _passes()

    def _commit_a_page(self) -> None:
        """The first one: it is written whether its content changes or not."""
        self._raw.execute("PRAGMA user_version=0")

    def _beside(self) -> None:
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(self._database, uri=True, isolation_level=None)) as raw,
        ):
            raw.execute("PRAGMA schema_version").fetchone()  # only what was read once knows its WAL
            _fold(raw)  # and what goes wrong here, whoever finishes meets too

    def _size(self) -> int:
        try:
            return os.stat(self._wal).st_size  # noqa: PTH116 - for each commit: half the time of a Path
        except OSError:  # somebody moved the folder; the connections go on with the open files
            return 3 * self._long


def _passes() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="folding", initializer=anywhere)


def _fold(raw: sqlite3.Connection) -> bool:
    """Whether all of the WAL is in the database now. What goes wrong here the next pass meets again."""
    try:
        _, pages, folded = raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error as error:
        log.debug("the WAL is not folded", reason=str(error))
        return False
    return bool(pages == folded)
