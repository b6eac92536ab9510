"""The keys of a job's records (`receipt.keys`), as they lie beside a message: pure, and no text is kept.

Of a key only 64 bits of its MD5 are kept, so it may be as long as it likes and hold what it likes. All keys
of a message are one blob, a column for each expression, so a part of a message has its keys by slicing:

    2 │ trip 1 │ trip 2 │ trip 3 │ order 1 │ order 2 │ order 3        a byte, then 8 bytes for each
    how many expressions

Zero stands for a record without that key (NULL or an empty text).
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Literal

MOST_KEYS = 16
"""Expressions of a job."""
WIDTH = 8
"""Bytes of one key."""
_ORDER: Literal["little", "big"] = "little" if sys.byteorder == "little" else "big"


def mark_of(key: str) -> int:
    """What is kept of a key: a number of 64 bits with a sign, as databases have them.

    The same as DuckDB's `md5_number_lower` (see `agent.sources.dealing`), read with a sign.
    """
    digest = hashlib.md5(key.encode("utf-8", "replace"), usedforsecurity=False).digest()
    return int.from_bytes(digest[WIDTH:], "little", signed=True)


def bytes_of(mark: int) -> bytes:
    """A mark as it lies in a blob: what to look for in one."""
    return mark.to_bytes(WIDTH, _ORDER, signed=True)


def packed(columns: Sequence[bytes | memoryview]) -> bytes:
    """The blob of a message: for each expression the marks of its records, in their order."""
    return b"".join((bytes([len(columns)]), *columns)) if columns else b""


def keys_of(blob: bytes, first: int, last: int) -> bytes:
    """The keys of the records `first` to `last` of a message, counted from 1, both included; b"" of none."""
    return keys_of_ranges(blob, ((first, last),))


def keys_of_ranges(blob: bytes, ranges: Iterable[tuple[int, int]], *, records: int | None = None) -> bytes:
    """The same of several ranges of records, in their order: what a piece of a split message takes along.

    All keys when the message has another number of `records` than they are of: somebody has edited it.
    """
    if records is not None and any(len(column) != records * WIDTH for column in _columns(blob)):
        return blob
    spans = [slice((first - 1) * WIDTH, last * WIDTH) for first, last in ranges]
    return packed([b"".join(column[span] for span in spans) for column in _columns(blob)])


def keys_left(blob: bytes, progress: str) -> bytes:
    """The keys of what is not settled yet of a message with this `progress`."""
    if not progress:
        return blob
    from agent.parts import Progress  # noqa: PLC0415 - `find` seldom needs it, and starts without it

    try:
        whole = Progress.read(progress)
    except ValueError:  # damaged: nobody knows which those are
        return blob
    return keys_of_ranges(blob, whole.rest, records=whole.records)


def marks_of(blob: bytes) -> set[int]:
    """All marks of a blob."""
    return set(distinct(blob))


def distinct(blob: bytes) -> array[int]:
    """All marks of a blob, each once, in no order."""
    marks = array("q")
    usable = (len(blob) - 1) // WIDTH * WIDTH
    marks.frombytes(memoryview(blob)[1 : 1 + max(usable, 0)])
    once = set(marks)
    if len(once) == len(marks) and 0 not in once:
        return marks
    return array("q", once - {0})


def holds(blob: bytes, mark: int) -> bool:
    """Whether a record of the message has this key."""
    return mark in marks_of(blob)


def _columns(blob: bytes) -> list[memoryview]:
    count = blob[0] if blob else 0
    if not count:
        return []
    length = (len(blob) - 1) // WIDTH // count * WIDTH
    view = memoryview(blob)[1:]
    return [view[number * length : (number + 1) * length] for number in range(count)]
