"""Receipts by their records' keys: written in order, and found by a few seeks. See `agent.receipt_keys`.

    ack ──▶ receipt_keys   the blob of each receipt, as it came; a few thousand keys, looked through
                │ 16,384 keys: sorted
                ▼
            key_pages      part 65: ■■■■■■…   part 66: ■■■■■■…   each page 330 keys in order, and whose
                │ 32 parts: merged, a 32nd of all marks at a time
                ▼
            key_pages      parts 1-32: ■■■■■■■■■■■■■■■■…   parts 33-64: ■■■■■■■■■■■■■■■■…

One index over all keys would be written at a random place for each key: a page of 4 KB for 8 bytes. So keys
are sorted a part at a time, and parts are merged: 20,000,000 keys are 38 merged parts and at most 64 others.
A key is looked up in every part, which is one seek and one page each.

A step of a merge takes the pages with the lowest marks of its parts and writes them as one run, in the
transaction in which they go: at any instant each key stands in one page, and how far a merge has come is
told by the pages that are left. Parts follow the receipts in time: they go with them, from the first on.
Keys of one mark have their receipts in order, over the pages of a part too.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

from sqlalchemy import bindparam, delete, func, select, update

from agent.logs import get_log
from agent.receipt_keys import WIDTH, distinct
from agent.spool.database import Database, Row, Statement, insert_all
from agent.spool.tables import key_pages, receipt_keys, receipts

log = get_log("spool")

PART_KEYS = 16_384
PAGE_KEYS = 330
"""12 bytes each: a page of the database is 4,096."""
MERGED_PARTS = 32
RANGES = 32
"""Of all marks, each as large as the others: a step of a merge is one of them."""
FORGET_PAGES = 200
"""At once."""
_NEVER = 2**62
_MERGED = 2**40
"""A merged part has the number of the last of its parts, less this: so numbers grow with the receipts."""
_OWNERS = 2**32
_LEAST, _MARKS = -(2**63), 2**64

_KEEP = insert_all(receipt_keys)
_FRESH = Statement(select(receipt_keys).order_by(receipt_keys.c.receipt))
_FRESH_BYTES = Statement(select(func.coalesce(func.sum(func.length(receipt_keys.c.record_keys)), 0)))
_SORTED_AWAY = Statement(delete(receipt_keys).where(receipt_keys.c.receipt <= bindparam("last_receipt")))
_FRESH_GONE = Statement(delete(receipt_keys).where(receipt_keys.c.receipt < bindparam("first_receipt")))
_PAGE = insert_all(key_pages, without=("id",))
_NEWEST_PART = Statement(select(func.max(key_pages.c.part)))
_NEWEST_MERGED = Statement(select(func.max(key_pages.c.part)).where(key_pages.c.part < 0))
_OLDEST_UNMERGED = Statement(select(func.min(key_pages.c.part)).where(key_pages.c.part > 0))
_OF_GROUP = key_pages.c.part.between(bindparam("low"), bindparam("high"))
_LOWEST = Statement(select(func.min(key_pages.c.first)).where(_OF_GROUP))
_OF_RANGE = Statement(
    select(
        *(key_pages.c[name] for name in ("id", "last", "base", "newest", "marks", "receipts")),
    )
    .where(_OF_GROUP, key_pages.c.first <= bindparam("upto"))
    .order_by(key_pages.c.part, key_pages.c.first, key_pages.c.id)
)
_CUT = Statement(
    update(key_pages)
    .where(key_pages.c.id == bindparam("page"))
    .values({name: bindparam(f"new_{name}") for name in ("first", "marks", "receipts")})
)
_RANGE_GONE = Statement(delete(key_pages).where(_OF_GROUP, key_pages.c.first <= bindparam("upto")))
_FIRST_RECEIPT = Statement(select(func.min(receipts.c.id)))
_OLDEST_PART = select(func.min(key_pages.c.part)).scalar_subquery()
_FORGET = Statement(
    delete(key_pages).where(
        key_pages.c.id.in_(
            select(key_pages.c.id)
            .where(key_pages.c.part == _OLDEST_PART, key_pages.c.newest < bindparam("first_receipt"))
            .limit(FORGET_PAGES)
        )
    )
)
_COUNT = Statement(select(func.count()).select_from(key_pages))


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
        if merge(db) and _unmerged(db) > 3 * MERGED_PARTS:  # of a version that did not
            merge(db)


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
    marks, owners = _in_order(marks, owners)
    pages: list[Row] = []
    part, start = _next_part(db), 0
    for end in _ranges(marks):  # so that a step of a merge moves whole pages
        pages += _pages(part, base, newest, marks[start:end], owners[start:end])
        start = end
    db.many(_PAGE, pages)
    db.execute(_SORTED_AWAY, last_receipt=newest)


def _in_order(marks: array[int], owners: array[int]) -> tuple[array[int], array[int]]:
    # the sort is what keys cost: of numbers by their place, it takes half as long as of pairs
    of_place = marks.tolist()
    order = sorted(range(len(of_place)), key=of_place.__getitem__)
    if len(order) < 2:  # noqa: PLR2004 - there is nothing to order, and itemgetter gives no tuple
        return marks, owners
    pick = itemgetter(*order)
    return array("q", pick(of_place)), array("I", pick(owners.tolist()))


def _ranges(marks: Sequence[int]) -> list[int]:
    """Where each range of sorted marks ends."""
    return [bisect_right(marks, _range_end(number)) for number in range(RANGES)]


def _range_end(number: int) -> int:
    return _LEAST + (number + 1) * _MARKS // RANGES - 1


def _pages(part: int, base: int, newest: int, marks: array[int], owners: array[int]) -> list[Row]:
    pages: list[Row] = []
    for start in range(0, len(marks), PAGE_KEYS):
        some, whose = marks[start : start + PAGE_KEYS], owners[start : start + PAGE_KEYS]
        pages.append((part, some[0], some[-1], base, newest, some.tobytes(), whose.tobytes()))
    return pages


def _next_part(db: Database) -> int:
    """One behind all that there are, and behind those that were merged: their own rows may be gone."""
    newest, merged = _number(db, _NEWEST_PART), _number(db, _NEWEST_MERGED)
    return 1 + max(newest or 0, 0 if merged is None else merged + _MERGED)


# ---------------------------------------------------------------------------------- merging


class _Run(NamedTuple):
    """Keys of one page, in order, and the places of their receipts behind `base`."""

    base: int
    newest: int
    marks: array[int]
    owners: array[int]

    @classmethod
    def read(cls, base: int, newest: int, marks: bytes, owners: bytes) -> _Run:
        """Out of a row; what was damaged on the disk only is not found any more."""
        count = min(len(marks) // WIDTH, len(owners) // 4)
        run = cls(base, newest, array("q"), array("I"))
        run.marks.frombytes(marks[: count * WIDTH])
        run.owners.frombytes(owners[: count * 4])
        return run

    def cut(self, start: int, end: int) -> _Run:
        """Some of its keys."""
        return self._replace(marks=self.marks[start:end], owners=self.owners[start:end])

    def behind(self, base: int) -> array[int]:
        """Its owners, counted from another receipt."""
        shift = self.base - base
        if not shift:
            return self.owners
        try:
            return array("I", [owner + shift for owner in self.owners])
        except OverflowError:  # damaged on the disk: no receipt has this number
            return array("I", [min(owner + shift, _OWNERS - 1) for owner in self.owners])


def merge(db: Database) -> bool:
    """One step where there are parts to merge: the lowest range of marks that they have. Whether it did."""
    low, high = _group(db)
    if not high:
        return False
    lowest = _number(db, _LOWEST, low=low, high=high) or 0
    upto = _range_end((lowest - _LEAST) * RANGES // _MARKS)
    rows = db.execute(_OF_RANGE, low=low, high=high, upto=upto).fetchall()
    runs = {page: _Run.read(*values) for page, _, *values in rows}
    base, newest = min(run.base for run in runs.values()), max(run.newest for run in runs.values())
    if newest - base >= _OWNERS:  # so few receipts have keys that merging them would not pay
        return False
    for page, last, *_ in rows:
        if last > upto:  # parts of an older version were not cut into ranges
            runs[page] = _leave_rest(db, page, runs[page], upto)
    db.execute(_RANGE_GONE, low=low, high=high, upto=upto)
    marks, owners = array("q"), array("I")
    for run in runs.values():
        marks.extend(run.marks)
        owners.extend(run.behind(base))
    marks, owners = _in_order(marks, owners)
    sound = slice(bisect_left(marks, lowest), bisect_right(marks, upto))  # damage stays in its range
    db.many(_PAGE, _pages(high - _MERGED, base, newest, marks[sound], owners[sound]))
    return True


def _group(db: Database) -> tuple[int, int]:
    """The first and the last number of the oldest parts that can be merged; zeros: they are not all there."""
    oldest = _number(db, _OLDEST_UNMERGED)
    if oldest is None:
        return 0, 0
    before = (oldest - 1) // MERGED_PARTS * MERGED_PARTS
    high = before + MERGED_PARTS
    return (before + 1, high) if _next_part(db) > high else (0, 0)


def _unmerged(db: Database) -> int:
    """How many parts there are that were not merged, at most."""
    oldest = _number(db, _OLDEST_UNMERGED)
    return 0 if oldest is None else _next_part(db) - oldest


def _leave_rest(db: Database, page: int, run: _Run, upto: int) -> _Run:
    """What of a page is above the range stays where it is."""
    place = bisect_right(run.marks, upto)
    rest = run.cut(place, len(run.marks))
    if rest.marks:
        values = {"new_marks": rest.marks.tobytes(), "new_receipts": rest.owners.tobytes()}
        db.execute(_CUT, page=page, new_first=upto + 1, **values)
    return run.cut(0, place)


# ---------------------------------------------------------------------------------- forgetting


def forget(db: Database) -> int:
    """Let some of the keys go whose receipts are gone; how many rows went."""
    first = _number(db, _FIRST_RECEIPT)
    first = _NEVER if first is None else first
    gone = db.execute(_FORGET, first_receipt=first).rowcount
    return gone + db.execute(_FRESH_GONE, first_receipt=first).rowcount


def pages(db: Database) -> int:
    """How many pages of the database hold keys."""
    return _number(db, _COUNT) or 0


def _number(db: Database, statement: Statement, **values: int) -> int | None:
    row = db.execute(statement, **values).fetchone()
    return None if row is None or row[0] is None else int(row[0])
