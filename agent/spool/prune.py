"""What is kept for people only goes after a while, in pieces so small that no delivery waits for it."""

from __future__ import annotations

import math

from sqlalchemy import bindparam, delete, func, select

from agent.logs import get_log
from agent.spool import runs
from agent.spool.database import Database, Statement
from agent.spool.tables import receipts

log = get_log("spool")

CHUNK = 1_000  # rows or pages at once
_SHRINK_FROM = 4_000  # free pages (16 MB): fewer are soon used again

_HEAD = select(receipts.c.id).order_by(receipts.c.id).limit(CHUNK).subquery()
_PRUNE = Statement(
    delete(receipts).where(
        receipts.c.id <= select(func.max(_HEAD.c.id)).scalar_subquery(),
        receipts.c.delivered_at < bindparam("before"),
    )
)

_SPAN = Statement(select(func.min(receipts.c.id), func.max(receipts.c.id)))
_RECEIPT_BYTES = 400  # roughly, with its index entry
_SHARE = 4  # of a spool that is full, receipts may take a quarter
_AT_ONCE = 10_000  # receipts: some MB, and about 0.1 s


def too_many_receipts(db: Database, max_bytes: int) -> int:
    """How many receipts take more than their share of a spool that is full."""
    first, last = db.execute(_SPAN).fetchone() or (None, None)
    if first is None or last is None:
        return 0
    return max(0, int(last) - int(first) + 1 - max_bytes // _SHARE // _RECEIPT_BYTES)


def make_room(db: Database, max_bytes: int) -> None:
    """Let the oldest of them go before their time: they must not keep new messages out for days."""
    gone = 0
    while (over := too_many_receipts(db, max_bytes)) and gone < _AT_ONCE:
        rows = prune_receipts(db, math.inf) if over >= CHUNK else 0
        if not rows:
            break
        gone += rows
    if gone:
        log.warning("the spool is full of receipts: the oldest go before their time", receipts=gone)


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
