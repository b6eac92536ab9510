"""What is kept for people only goes after a while, in pieces so small that no delivery waits for it."""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import Select, bindparam, delete, func, select, union_all

from agent.logs import get_log
from agent.spool import key_index, runs
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

# Each on its own: asked for both at once, SQLite reads the whole table.
SPAN = Statement(
    select(
        select(func.min(receipts.c.id)).scalar_subquery(), select(func.max(receipts.c.id)).scalar_subquery()
    )
)
_TEXTS = ("job", "key", "origin", "method", "url", "answer", "answer_headers", "answer_body")
_SAMPLED = 100  # of the oldest and of the newest ones
_ROW_BYTES = 110  # numbers, times, and what the database itself needs for a row and its entry in the index
_ROWS_ON_A_PAGE = 0.95  # of it is full


def _sample(*, newest: bool) -> Select[Any]:
    size = sum((func.length(receipts.columns[name]) for name in _TEXTS), func.length(receipts.c.key))
    order = receipts.c.id.desc() if newest else receipts.c.id
    return select(select(size.label("size")).order_by(order).limit(_SAMPLED).subquery())


_SIZES = union_all(_sample(newest=False), _sample(newest=True)).subquery()
_AVERAGE = Statement(select(func.avg(_SIZES.c.size)))
_SHARE = 4  # of a spool that is full, receipts may take a quarter
_AT_ONCE = 10_000  # receipts: some MB, and about 0.1 s


def receipt_bytes(db: Database) -> int:
    """About how much of the database receipts take, with the keys that they are found by."""
    return round(_count(db) * _bytes_each(db))


def _count(db: Database) -> int:
    first, last = db.execute(SPAN).fetchone() or (None, None)
    return 0 if first is None or last is None else int(last) - int(first) + 1


def _bytes_each(db: Database) -> float:
    count, row = _count(db), db.execute(_AVERAGE).fetchone()
    if not count or row is None or row[0] is None:
        return 1.0
    keys = key_index.pages(db) * db.number("PRAGMA page_size") / count
    return (float(row[0]) + _ROW_BYTES) / _ROWS_ON_A_PAGE + keys


def too_many_receipts(db: Database, max_bytes: int) -> int:
    """How many receipts take more than their share of a spool that is full."""
    return max(0, round(_count(db) - max_bytes // _SHARE / _bytes_each(db)))


def make_room(db: Database, max_bytes: int) -> None:
    """Let the oldest of them go before their time: they must not keep new messages out for days."""
    gone = 0
    while (over := too_many_receipts(db, max_bytes)) and gone < _AT_ONCE:
        rows = prune_receipts(db, math.inf) if over >= CHUNK else 0
        if not rows:
            break
        gone += rows
        while key_index.forget(db):
            pass
    if gone:
        log.warning("the spool is full of receipts: the oldest go before their time", receipts=gone)


def prune(db: Database, before: float) -> tuple[int, bool]:
    """One small piece of all that is too old: rows that went, and whether more is left."""
    gone = prune_receipts(db, before)
    if gone or key_index.forget(db):
        return gone, True
    if key_index.merge(db) or shrink(db):
        return 0, True
    return runs.prune(db), False


def prune_to(db: Database, max_bytes: int) -> tuple[int, bool]:
    """The same for receipts beyond a size; only whole chunks of them go."""
    if receipt_bytes(db) <= max_bytes or _count(db) < CHUNK:
        return 0, False
    gone = prune_receipts(db, math.inf)
    while key_index.forget(db):
        pass
    return gone, True


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
