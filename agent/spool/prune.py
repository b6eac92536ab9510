"""What is kept for people only goes after a while, in pieces so small that no delivery waits for it."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, func, select

from agent.spool import runs
from agent.spool.database import Database, Statement
from agent.spool.tables import receipts

CHUNK = 1_000  # rows or pages at once
_SHRINK_FROM = 4_000  # free pages (16 MB): fewer are soon used again

_HEAD = select(receipts.c.id).order_by(receipts.c.id).limit(CHUNK).subquery()
_PRUNE = Statement(
    delete(receipts).where(
        receipts.c.id <= select(func.max(_HEAD.c.id)).scalar_subquery(),
        receipts.c.delivered_at < bindparam("before"),
    )
)


def prune(db: Database, before: float) -> tuple[int, bool]:
    """One small piece of all there is to do: rows that went, and whether more is left."""
    gone = prune_receipts(db, before)
    if gone:
        return gone, True
    if shrink(db):
        return 0, True
    return runs.prune(db), False


def prune_receipts(db: Database, before: float) -> int:
    """One chunk of the oldest receipts; 0 when none of the chunk is old enough."""
    return db.execute(_PRUNE, before=before).rowcount


def shrink(db: Database) -> bool:
    """Give a chunk of free pages back to the disk when half of the file is free. Whether it did."""
    free, pages = db.number("PRAGMA freelist_count"), db.number("PRAGMA page_count")
    if free < _SHRINK_FROM or free * 2 < pages:
        return False
    for _ in range(CHUNK):  # the driver steps a PRAGMA once, and one step frees one page
        db.raw.execute("PRAGMA incremental_vacuum(1)")
    return True
