"""The limit on appends, kept below the disk's and below everybody else's.

    0 ───────── messages ─────────▶ max_bytes ── reserve ──▶ hard limit (max_page_count)
                appends stop here ──────┘            └── acks, burials, sessions go on up to here

A really full disk fails DELETE and checkpoint too, so appends also keep away from the last bytes of
the disk: deliveries can then always be recorded, and make room.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.disk import disk_of
from agent.errors import SpoolFull
from agent.message import Draft
from agent.spool.database import Database
from agent.spool.folder import DATABASE
from agent.spool.limits import Limits

_RESERVE_SHARE = 10  # one tenth of max_bytes, but …
_RESERVE_LEAST, _RESERVE_MOST = 1_000_000, 256_000_000  # bytes
_WAL_PAGES = 1_000  # 4 MB: small, so that a full disk leaves room for acks
_AMPLE_DISK = 1_000_000_000  # bytes
_AMPLE_WAL_PAGES = 3_000  # the same pages are written again and again, and then folded but once
_WAL_PAGE = 4_400  # bytes: a page, its header, and its share of a transaction on top
ROW_BYTES = 600  # of the database for a message besides its body: columns and three index entries


def weight_of(draft: Draft) -> int:
    """Bytes that a draft will take, about; its keys lie in an index beside the row, too."""
    return len(draft.body) + 2 * len(draft.record_keys) + ROW_BYTES


class Quota:
    """How much may be appended to the database in `state`. Sizes in bytes."""

    def __init__(self, state: Path, max_bytes: int) -> None:
        self._state = state
        self.max_bytes = max_bytes
        self.limits = Limits()
        self._reserve = min(max(max_bytes // _RESERVE_SHARE, _RESERVE_LEAST), _RESERVE_MOST)
        ample = disk_of(state).total >= _AMPLE_DISK
        self._wal_pages = _AMPLE_WAL_PAGES if ample else _WAL_PAGES

    def install(self, db: Database) -> None:
        """From now on the file cannot outgrow the limit and its reserve, nor the WAL what is usual here."""
        page = db.number("PRAGMA page_size")
        db.limit((self.max_bytes + self._reserve) // page)
        db.fold_beside(self._state / DATABASE, self._wal_pages // 2)

    def used(self, db: Database) -> int:
        """Bytes in use; pages that acks freed count no more."""
        pages = db.number("PRAGMA page_count") - db.number("PRAGMA freelist_count")
        return pages * db.number("PRAGMA page_size")

    @contextmanager
    def appending(self, db: Database, need: int) -> Iterator[None]:
        """Within: room for `need` bytes, under the lower limit. Raises SpoolFull."""
        page = db.number("PRAGMA page_size")
        free_pages = db.number("PRAGMA freelist_count")
        pages = db.number("PRAGMA page_count")
        if (pages - free_pages) * page + need > self.max_bytes:
            raise SpoolFull(
                f"the spool is at its limit of {self.max_bytes} bytes",
                hint="it empties when the target takes messages; or raise spool.max_bytes",
            )
        growth = max(0, need - free_pages * page)
        self._check_disk(need, growth=growth, to_come=self._to_come(pages, page))
        db.limit(max(pages, self.max_bytes // page))
        try:
            yield
        finally:
            db.limit((self.max_bytes + self._reserve) // page)

    def _to_come(self, pages: int, page: int) -> int:
        """What the files will still take on the disk for work that is done already.

        The database grows when the WAL is checkpointed, and only then does the WAL begin anew.
        """
        database = pages * page - _size(self._state / DATABASE)
        usual = self._wal_pages * _WAL_PAGE
        return max(0, database) + max(0, usual - _size(self._state / f"{DATABASE}-wal"))

    def _check_disk(self, need: int, *, growth: int, to_come: int) -> None:
        """What is written goes to the WAL first, and what has no free page makes the database grow.

        A database full of free pages needs the WAL only, and may take half of the reserve for it: the
        reserve would otherwise lock an empty spool on a full disk.
        """
        disk = disk_of(self._state)
        free, reserve = disk.free - to_come, disk.reserve
        if (need + growth > free - reserve) if growth else (need > free - reserve // 2):
            raise SpoolFull(
                f"the disk under {self._state} has only {max(free, 0)} bytes left",
                hint="free space on the disk; collecting goes on by itself then",
            )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
