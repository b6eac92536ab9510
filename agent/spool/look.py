"""What became of a record or a message: asked by a receipt key, or by an Idempotency-Key. Reads only.

    waiting or held ─▶ messages     dead (expired, …) ─▶ dead     delivered, superseded ─▶ receipts

A message that was split left parts behind, whose keys begin with its own: `KEY.217-217`. Its statements come
out of `questions`, as text: what is imported here is a part of how long `push-agent find` takes.
"""

from __future__ import annotations

import json
import re
import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from agent.message import LANES, Answer
from agent.receipt_keys import bytes_of, holds, keys_left, mark_of
from agent.spool.readonly import one_moment
from agent.trace import Fate, LaneWait, Trace

_SPLIT = re.compile(r"(.+?)\.\d+-\d+(?:\.[0-9a-f]+)?")
_ALIKE = ("job", "lane", "key", "run", "records", "size", "origin", "spooled_at", "attempts")


@cache
def texts() -> Mapping[str, str]:
    """The statements of `find.sql` by their names."""
    _, *pieces = Path(__file__).with_name("find.sql").read_text(encoding="utf-8").split("\n\n-- ")
    return dict(piece.split("\n", 1) for piece in pieces)


def look(raw: sqlite3.Connection, key: str, job: str, limit: int) -> list[Trace]:
    """What waits first, then dead letters, then what has left, each from the newest on; `limit` in all."""
    with one_moment(raw):
        return list(islice(_each_once(raw, key, job), limit))


def _each_once(raw: sqlite3.Connection, key: str, job: str) -> Iterator[Trace]:
    seen: set[tuple[str, int]] = set()
    for kind, number, one in _all(raw, key):
        if (not job or one.job == job) and (kind, number) not in seen:
            seen.add((kind, number))
            yield one


def _all(raw: sqlite3.Connection, key: str) -> Iterator[tuple[str, int, Trace]]:
    key = key.encode("utf-8", "replace").decode()
    mark = mark_of(key)
    yield from _waiting_ones(raw, key, mark)
    keyed = {"key": key, "part": f"{key}.", "behind": f"{key}/"}
    for letter in _rows(raw, "dead", **keyed):
        yield "letter", letter["id"], _settled(letter, "dead")
    for number, blob in _ask(raw, "dead_keys", mark=bytes_of(mark)).fetchall():
        if holds(blob, mark):
            for letter in _rows(raw, "dead_one", letter=number):
                yield "letter", number, _settled(letter, "dead")
    for receipt in _rows(raw, "receipts", **keyed):
        yield "receipt", receipt["id"], _left(receipt)
    for number in receipts_with(raw, mark):
        for receipt in _rows(raw, "receipt", receipt=number):
            yield "receipt", number, _left(receipt)


def _ask(raw: sqlite3.Connection, question: str, **values: str | float | bytes) -> sqlite3.Cursor:
    return raw.execute(texts()[question], values)


def _rows(raw: sqlite3.Connection, question: str, **values: str | float | bytes) -> Iterator[dict[str, Any]]:
    cursor = _ask(raw, question, **values)
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(names, row, strict=True))


# ---------------------------------------------------------------------------------- what waits


def _waiting_ones(raw: sqlite3.Connection, key: str, mark: int) -> Iterator[tuple[str, int, Trace]]:
    part = _SPLIT.fullmatch(key)
    waits = {(wait["job"], wait["lane"]): LaneWait(**wait) for wait in _rows(raw, "waits")}
    named = {"key": key, "part": f"{key}.", "behind": f"{key}/", "whole": part[1] if part else key}
    for row in list(_rows(raw, "waiting", **named)):
        yield "message", row["id"], _waiting(raw, row, waits)
    for number, blob in _ask(raw, "waiting_keys", mark=bytes_of(mark)).fetchall():
        if holds(_left_of(raw, number, blob), mark):
            for row in _rows(raw, "waiting_one", message=number):
                yield "message", number, _waiting(raw, row, waits)


def _left_of(raw: sqlite3.Connection, message: int, blob: bytes) -> bytes:
    """The keys of those records of a message that are not settled yet."""
    (progress,) = _ask(raw, "progress", message=message).fetchone() or ("",)
    return keys_left(blob, progress)


def _waiting(
    raw: sqlite3.Connection, row: dict[str, Any], waits: Mapping[tuple[str, int], LaneWait]
) -> Trace:
    job, lane = row["job"], row["lane"]
    (ahead,) = _ask(raw, "ahead", job=job, lane=lane, message=row["id"]).fetchone()
    first = lane - lane % LANES  # see `layouts.first_lane`
    return Trace(
        fate="waiting" if row["visible"] else "held",
        **{name: row[name] for name in _ALIKE},
        ahead=ahead,
        earlier=bool(first) and _ask(raw, "earlier", job=job, lane=first).fetchone() is not None,
        wait=waits.get((job, lane)),
    )


# ---------------------------------------------------------------------------------- what has left


def _settled(row: dict[str, Any], fate: Fate) -> Trace:
    return Trace(
        fate=fate,
        **{name: row[name] for name in (*_ALIKE, "settled_at", "method", "url")},
        answer=Answer(
            status=row["status"],
            reason=row["answer"],
            headers=headers_of(row["answer_headers"]),
            body=row["answer_body"],
        ),
        letter=row["id"] if fate == "dead" else None,
        reason=row.get("reason", ""),
    )


def _left(receipt: dict[str, Any]) -> Trace:
    return _settled(receipt, "superseded" if receipt["status"] is None else "delivered")


def headers_of(text: object) -> Mapping[str, str]:
    """Headers from JSON text; nothing when the text was damaged: headers of the past only inform."""
    try:
        headers = json.loads(str(text))
    except ValueError:
        return {}
    return headers if isinstance(headers, dict) else {}


def receipts_with(raw: sqlite3.Connection, mark: int) -> Iterator[int]:
    """Numbers of the receipts that have a record with this key, newest first; some may be gone by now."""
    for receipt, blob in _ask(raw, "fresh_keys", mark_bytes=bytes_of(mark)).fetchall():
        if holds(blob, mark):  # and not the end of one mark and the beginning of the next
            yield receipt
    for part, first, base, marks, owners in _ask(raw, "key_pages", mark=mark, mark_bytes=bytes_of(mark)):
        if first < mark:
            yield from _in_page(mark, base, marks, owners)
        else:  # pages before it may end with the same mark
            yield from _in_part(raw, part, mark)


def _in_part(raw: sqlite3.Connection, part: int, mark: int) -> Iterator[int]:
    for last, base, marks, owners in _ask(raw, "pages_of_part", of_part=part, mark=mark):
        if last < mark:
            break
        yield from _in_page(mark, base, marks, owners)


def _in_page(mark: int, base: int, marks: bytes, owners: bytes) -> Iterator[int]:
    """In a page each mark has its receipts in their order (see `key_index`)."""
    count = min(len(marks) // 8, len(owners) // 4)  # the same, but for damage
    ordered, whose = memoryview(marks)[: count * 8].cast("q"), memoryview(owners)[: count * 4].cast("I")
    for place in range(bisect_right(ordered, mark) - 1, bisect_left(ordered, mark) - 1, -1):
        yield base + whose[place]
