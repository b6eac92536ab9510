"""What became of a record or a message: asked by a receipt key, or by an Idempotency-Key. Reads only.

    waiting or held ─▶ messages     dead (expired, …) ─▶ dead     delivered, superseded ─▶ receipts

A message that was split left parts behind, whose keys begin with its own: `KEY.217-217`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import Column, and_, bindparam, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from agent.message import Answer, DeadLetter, Receipt
from agent.receipt_keys import bytes_of, holds, keys_left, mark_of
from agent.spool import key_index, layouts, memory
from agent.spool.database import Database, Statement, rows_of
from agent.spool.queue import is_open, visible
from agent.spool.rows import letter_of, receipt_of
from agent.spool.tables import dead, messages, receipts
from agent.spool.values import LaneWait

Fate: TypeAlias = Literal["waiting", "held", "dead", "delivered", "superseded"]

_PART = re.compile(r"(.+?)\.\d+-\d+(?:\.[0-9a-f]+)?")


def _is(column: Column[str]) -> ColumnElement[bool]:
    """This key, or that of a part of it: `KEY.217-217` lies between `KEY.` and `KEY/`."""
    parts = and_(column >= bindparam("part"), column < bindparam("behind"))
    return or_(column == bindparam("key"), parts)


_MESSAGE = (
    messages.c.id,
    messages.c.job,
    messages.c.lane,
    messages.c.key,
    messages.c.run,
    messages.c.records,
    messages.c.size,
    messages.c.origin,
    messages.c.spooled_at,
    messages.c.attempts,
    visible().label("visible"),
)
# Also the message whose part is asked for, and parts that died and were sent again.
_WAITING = Statement(select(*_MESSAGE).where(or_(messages.c.key == bindparam("whole"), _is(messages.c.key))))
_WAITING_ID = Statement(select(*_MESSAGE).where(messages.c.id == bindparam("message")))
_WAITING_WITH = Statement(
    select(messages.c.id, messages.c.record_keys)
    .where(messages.c.record_keys.is_not(None), func.instr(messages.c.record_keys, bindparam("mark")) > 0)
    .order_by(messages.c.id)
)
_PROGRESS = Statement(select(messages.c.progress).where(messages.c.id == bindparam("message")))
_AHEAD = Statement(
    select(func.count()).where(
        messages.c.job == bindparam("job"),
        messages.c.lane == bindparam("lane"),
        messages.c.id < bindparam("message"),
    )
)
_DEAD = Statement(select(dead).where(_is(dead.c.key)).order_by(dead.c.id.desc()))
_DEAD_ID = Statement(select(dead).where(dead.c.id == bindparam("letter")))
_DEAD_WITH = Statement(
    select(dead.c.id, dead.c.record_keys)
    .where(dead.c.record_keys.is_not(None), func.instr(dead.c.record_keys, bindparam("mark")) > 0)
    .order_by(dead.c.id.desc())
)
_RECEIPTS = Statement(select(receipts).where(_is(receipts.c.key)).order_by(receipts.c.id.desc()))
_RECEIPT = Statement(select(receipts).where(receipts.c.id == bindparam("receipt")))


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """One message, and where it is now."""

    fate: Fate
    """`held`: its file, page or window is not read to its end yet, and nothing of it is sent before."""
    job: str
    lane: int
    key: str
    run: int
    records: int
    size: int
    origin: str
    spooled_at: float
    attempts: int
    settled_at: float | None = None
    """When it was delivered, superseded, or became a dead letter; None: it waits."""
    method: str = ""
    url: str = ""
    answer: Answer | None = None
    letter: int | None = None
    """The number of the dead letter."""
    reason: str = ""
    """Of the dead letter: `refused`, `expired`, …"""
    ahead: int = 0
    """Messages in front of it in its lane."""
    earlier: bool = False
    """Messages of the job's order of before are still in front of all of its lane."""
    wait: LaneWait | None = None
    """Why its lane waits; None: for its turn."""


def find(db: Database, key: str, job: str = "", limit: int = 20) -> list[Trace]:
    """What waits first, then dead letters, then what has left, each from the newest on; `limit` in all."""
    db.raw.execute("BEGIN")  # one moment: what leaves meanwhile is not found twice
    try:
        return _found(db, key, job, limit)
    finally:
        db.rollback()


def _found(db: Database, key: str, job: str, limit: int) -> list[Trace]:
    found: list[Trace] = []
    seen: set[tuple[str, int]] = set()
    for kind, number, one in _all(db, key):
        if (job and one.job != job) or (kind, number) in seen:
            continue
        seen.add((kind, number))
        found.append(one)
        if len(found) == limit:
            break
    return found


def _all(db: Database, key: str) -> Iterator[tuple[str, int, Trace]]:
    key = key.encode("utf-8", "replace").decode()
    mark = mark_of(key)
    yield from _waiting_ones(db, key, mark)
    keyed = {"key": key, "part": f"{key}.", "behind": f"{key}/"}
    for letter in rows_of(db, _DEAD, **keyed):
        yield "letter", int(str(letter["id"])), _dead(letter_of(letter))
    for number, blob in db.execute(_DEAD_WITH, mark=bytes_of(mark)).fetchall():
        if holds(blob, mark):
            for letter in rows_of(db, _DEAD_ID, letter=number):
                yield "letter", number, _dead(letter_of(letter))
    for receipt in rows_of(db, _RECEIPTS, **keyed):
        yield "receipt", int(str(receipt["id"])), _left(receipt_of(receipt))
    for number in key_index.receipts_with(db, mark):
        for receipt in rows_of(db, _RECEIPT, receipt=number):
            yield "receipt", number, _left(receipt_of(receipt))


def _waiting_ones(db: Database, key: str, mark: int) -> Iterator[tuple[str, int, Trace]]:
    part = _PART.fullmatch(key)
    waits = {(wait.job, wait.lane): wait for wait in memory.lane_waits(db)}
    named = {"key": key, "part": f"{key}.", "behind": f"{key}/", "whole": part[1] if part else key}
    for row in db.execute(_WAITING, **named).fetchall():
        yield "message", row[0], _waiting(db, row, waits)
    for number, blob in db.execute(_WAITING_WITH, mark=bytes_of(mark)).fetchall():
        if holds(_left_of(db, number, blob), mark):
            for row in db.execute(_WAITING_ID, message=number).fetchall():
                yield "message", row[0], _waiting(db, row, waits)


def _left_of(db: Database, message: int, blob: bytes) -> bytes:
    """The keys of those records of a message that are not settled yet."""
    (progress,) = db.execute(_PROGRESS, message=message).fetchone() or ("",)
    return keys_left(blob, progress)


def _waiting(db: Database, row: tuple[Any, ...], waits: dict[tuple[str, int], LaneWait]) -> Trace:
    number, job, lane, key, run, records, size, origin, spooled_at, attempts, shown = row
    ahead = db.execute(_AHEAD, job=job, lane=lane, message=number).fetchone()
    return Trace(
        fate="waiting" if shown else "held",
        job=job,
        lane=lane,
        key=key,
        run=run,
        records=records,
        size=size,
        origin=origin,
        spooled_at=spooled_at,
        attempts=attempts,
        ahead=ahead[0],
        earlier=not is_open(db, job, layouts.first_lane(lane)),
        wait=waits.get((job, lane)),
    )


def _dead(letter: DeadLetter) -> Trace:
    return Trace(
        fate="dead",
        job=letter.job,
        lane=letter.lane,
        key=letter.key,
        run=letter.run,
        records=letter.records,
        size=letter.size,
        origin=letter.origin,
        spooled_at=letter.spooled_at,
        attempts=letter.attempts,
        settled_at=letter.died_at,
        method=letter.method,
        url=letter.url,
        answer=letter.answer,
        letter=letter.id,
        reason=letter.reason,
    )


def _left(receipt: Receipt) -> Trace:
    return Trace(
        fate="superseded" if receipt.answer.status is None else "delivered",
        job=receipt.job,
        lane=receipt.lane,
        key=receipt.key,
        run=receipt.run,
        records=receipt.records,
        size=receipt.size,
        origin=receipt.origin,
        spooled_at=receipt.spooled_at,
        attempts=receipt.attempts,
        settled_at=receipt.delivered_at,
        method=receipt.method,
        url=receipt.url,
        answer=receipt.answer,
    )
