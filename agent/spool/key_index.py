"""Receipts by their records' keys: written in order, and found by a few seeks. See `agent.receipt_keys`.

    ack ──▶ receipt_keys   the blob of each receipt, as it came; a few thousand keys, looked through
                │ 16,384 keys: sorted
                ▼
            key_pages      part 1: ■■■■■■…   part 2: ■■■■■■…   each page 330 keys in order, and whose they are

One index over all keys would be written at a random place for each key: a page of 4 KB for 8 bytes. So
keys are sorted a part at a time, and a key is looked up in every part: 10,000,000 keys are 611 parts, and
a part is one seek and one page. Parts follow the receipts in time: they go with them, from the first on.
"""

from __future__ import annotations

import sqlite3
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from sqlalchemy import bindparam, delete, func, select

from agent.receipt_keys import WIDTH, bytes_of, distinct, holds
from agent.spool.database import Database, Row, Statement, insert_all
from agent.spool.tables import key_pages, receipt_keys, receipts

PART_KEYS = 16_384
PAGE_KEYS = 330
"""12 bytes each: a page of the database is 4,096."""
FORGET_PAGES = 200
"""At once."""
_NEVER = 2**62

_KEEP = insert_all(receipt_keys)
_FRESH = Statement(select(receipt_keys).order_by(receipt_keys.c.receipt))
_FRESH_BYTES = Statement(select(func.coalesce(func.sum(func.length(receipt_keys.c.record_keys)), 0)))
_FRESH_WITH = Statement(
    select(receipt_keys)
    .where(func.instr(receipt_keys.c.record_keys, bindparam("mark_bytes")) > 0)
    .order_by(receipt_keys.c.receipt.desc())
)
_SORTED_AWAY = Statement(delete(receipt_keys).where(receipt_keys.c.receipt <= bindparam("last_receipt")))
_FRESH_GONE = Statement(delete(receipt_keys).where(receipt_keys.c.receipt < bindparam("first_receipt")))
_PAGE = insert_all(key_pages, without=("id",))
_PART_BEFORE = Statement(
    select(key_pages.c.part)
    .where(key_pages.c.part < bindparam("before"))
    .order_by(key_pages.c.part.desc())
    .limit(1)
)
_NEWEST_PART = select(func.max(key_pages.c.part).label("part")).cte("parts", recursive=True)
_BELOW = key_pages.alias("below")
_NEXT_PART = select(func.max(_BELOW.c.part)).where(_BELOW.c.part < _NEWEST_PART.c.part).scalar_subquery()
_PARTS = _NEWEST_PART.union_all(select(_NEXT_PART).where(_NEWEST_PART.c.part.is_not(None)))
_IN_PART = key_pages.alias("in_part")
_LAST_PAGE = (
    select(_IN_PART.c.id)
    .where(_IN_PART.c.part == _PARTS.c.part, _IN_PART.c.first <= bindparam("mark"))
    .order_by(_IN_PART.c.first.desc(), _IN_PART.c.id.desc())
    .limit(1)
    .correlate(_PARTS)
    .scalar_subquery()
)
# Of each part the one page that may hold the mark, if it does: the database alone looks through the others.
_HITS = Statement(
    select(key_pages.c.part, key_pages.c.first, key_pages.c.base, key_pages.c.marks, key_pages.c.receipts)
    .select_from(_PARTS)
    .join(key_pages, key_pages.c.id == _LAST_PAGE)
    .where(func.instr(key_pages.c.marks, bindparam("mark_bytes")) > 0)
)
_PAGES = Statement(
    select(key_pages.c.last, key_pages.c.base, key_pages.c.marks, key_pages.c.receipts)
    .where(key_pages.c.part == bindparam("of_part"), key_pages.c.first <= bindparam("mark"))
    .order_by(key_pages.c.first.desc(), key_pages.c.id.desc())
)
_FIRST_RECEIPT = Statement(select(func.min(receipts.c.id)))
_HEAD = select(key_pages.c.id).order_by(key_pages.c.id).limit(FORGET_PAGES).subquery()
_FORGET = Statement(
    delete(key_pages).where(
        key_pages.c.id <= select(func.max(_HEAD.c.id)).scalar_subquery(),
        key_pages.c.newest < bindparam("first_receipt"),
    )
)
_SPAN = Statement(select(func.min(key_pages.c.id), func.max(key_pages.c.id)))


def keep(db: Database, receipt: int, keys: bytes) -> None:
    """The keys of a new receipt, in its own transaction."""
    if (
        db.fresh_keys is None
    ):  # after a start; a count that is wrong makes a part of another size, and no more
        db.fresh_keys = int(db.execute(_FRESH_BYTES).fetchone()[0]) // WIDTH
    db.execute(_KEEP, receipt=receipt, record_keys=keys)
    db.fresh_keys += len(keys) // WIDTH
    if db.fresh_keys >= PART_KEYS:
        _sort(db)
        db.fresh_keys = 0


def _sort(db: Database) -> None:
    """Make a part of all that came since the last one."""
    fresh = db.execute(_FRESH).fetchall()
    if not fresh:
        return
    base, newest = fresh[0][0], fresh[-1][0]
    marks, owners = array("q"), array("I")
    for receipt, blob in fresh:
        found = distinct(blob)
        marks.extend(found)
        owners.extend(array("I", (receipt - base,)) * len(found))
    # the sort is what keys cost: of numbers by their place, it takes half as long as of pairs
    order = sorted(range(len(marks)), key=marks.tolist().__getitem__)
    marks, owners = array("q", map(marks.__getitem__, order)), array("I", map(owners.__getitem__, order))
    row = db.execute(_PART_BEFORE, before=_NEVER).fetchone()
    part = 1 if row is None else row[0] + 1
    pages: list[Row] = []
    for start in range(0, len(marks), PAGE_KEYS):
        some, whose = marks[start : start + PAGE_KEYS], owners[start : start + PAGE_KEYS]
        pages.append((part, some[0], some[-1], base, newest, some.tobytes(), whose.tobytes()))
    db.many(_PAGE, pages)
    db.execute(_SORTED_AWAY, last_receipt=newest)


def receipts_with(db: Database, mark: int) -> Iterator[int]:
    """Numbers of the receipts that have a record with this key, newest first; some may be gone by now."""
    for receipt, blob in db.execute(_FRESH_WITH, mark_bytes=bytes_of(mark)).fetchall():
        if holds(blob, mark):  # and not the end of one mark and the beginning of the next
            yield receipt
    for part, first, base, marks, owners in db.execute(_HITS, mark=mark, mark_bytes=bytes_of(mark)):
        if first < mark:
            yield from sorted(_in_page(mark, base, marks, owners), reverse=True)
        else:  # pages before it may end with the same mark
            yield from _in_part(db, part, mark)


def _in_part(db: Database, part: int, mark: int) -> list[int]:
    found: list[int] = []
    for last, base, marks, owners in db.execute(_PAGES, of_part=part, mark=mark):
        if last < mark:
            break
        found += _in_page(mark, base, marks, owners)
    return sorted(found, reverse=True)


def _in_page(mark: int, base: int, marks: bytes, owners: bytes) -> list[int]:
    sorted_marks = memoryview(marks).cast("q")
    begin, end = bisect_left(sorted_marks, mark), bisect_right(sorted_marks, mark)
    return [base + owner for owner in memoryview(owners).cast("I")[begin:end]]


def forget(db: Database) -> int:
    """Let some of the keys go whose receipts are gone; how many rows went."""
    row = db.execute(_FIRST_RECEIPT).fetchone()
    first = _NEVER if row is None or row[0] is None else row[0]
    gone = db.execute(_FORGET, first_receipt=first).rowcount
    return gone + db.execute(_FRESH_GONE, first_receipt=first).rowcount


def pages(db: Database) -> int:
    """How many pages of the database hold keys, about."""
    first, last = _span(db.execute(_SPAN))
    return last - first + 1 if last else 0


def _span(cursor: sqlite3.Cursor) -> tuple[int, int]:
    first, last = cursor.fetchone() or (None, None)
    return int(first or 0), int(last or 0)
