"""A body taken apart into its records, and what of a message is still to be sent. Pure.

A message that was refused is taken apart in place: its row stays where it is, and `progress` says what of
it is not settled yet, as a stack of pieces:

    500 records, one bad: 3            sent           key            comes to
    []                                 1-500          KEY            refused
    [1-250] [251-500]                  1-250          KEY.1-250      refused
    [1-125] [126-250] [251-500]        1-125          KEY.1-125      refused …
    [3-3] [4-4] [5-7] … [251-500]      3-3            KEY.3-3        refused: a dead letter
    [4-4] [5-7] … [251-500]            4-4            KEY.4-4        delivered: a receipt

A piece is a tuple of ranges of records, counted from 1, ends included: after an answer that speaks of each
record, what is to be sent again may have gaps. The same piece is the same bytes with the same key, always.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import accumulate
from typing import TypeAlias
from zlib import crc32

Range: TypeAlias = "tuple[int, int]"
Piece: TypeAlias = "tuple[Range, ...]"

SEPARATORS = {"json": b",", "ndjson": b"\n", "xml": b"\n", "csv": b"\r\n"}
"""By `body.format`, between two records (see `mapping.frames`)."""
_ROWS = re.compile(r"(.*) rows ([0-9]+)-([0-9]+)", re.DOTALL)
_SPACE = re.compile(r"[ \t\r\n]*")
# Numbers are not needed as such: `len` is the fastest thing that takes any text, however many digits it has.
_JSON = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=len, strict=False)


class UnfitBodyError(ValueError):
    """The body is not made of records as its form says: it cannot be taken apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """How the records stand in a body: kept with the message, since its job may be another one later."""

    format: str
    """A key of `SEPARATORS`."""
    head: int
    """Bytes before the first record."""
    tail: int
    """Bytes after the last one."""

    def __str__(self) -> str:
        return f"{self.format} {self.head} {self.tail}"

    @classmethod
    def read(cls, text: str) -> Form | None:
        """What `str` wrote; None for a body that is no batch, or that is older than this."""
        words = text.split(" ")
        if len(words) != 3 or words[0] not in SEPARATORS:  # noqa: PLR2004 - as it is written
            return None
        return cls(format=words[0], head=int(words[1]), tail=int(words[2]))


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """What of a message is to be sent yet."""

    records: int
    """In the whole body."""
    pieces: tuple[Piece, ...]
    """The first is sent next."""

    def __str__(self) -> str:
        text = json.dumps([self.records, self.pieces], separators=(",", ":"))
        return f"{crc32(text.encode()):08x} {text}"

    @classmethod
    def read(cls, text: str) -> Progress:
        """What `str` wrote. Raises ValueError when a byte of it has changed: a record could be left out."""
        mark, _, rest = text.partition(" ")
        if mark != f"{crc32(rest.encode()):08x}":
            raise ValueError("the progress of a message was damaged")
        records, pieces = json.loads(rest)
        return cls(
            records=records,
            pieces=tuple(tuple((first, last) for first, last in piece) for piece in pieces),
        )

    @classmethod
    def of(cls, records: int) -> Progress:
        """Of a message of which nothing is settled."""
        return cls(records=records, pieces=(((1, records),),))

    def then(self, *pieces: Piece) -> Progress:
        """These in place of the first piece; empty ones are none."""
        return replace(self, pieces=(*filter(None, pieces), *self.pieces[1:]))

    @property
    def rest(self) -> Piece:
        """All that is left, as one piece."""
        return ranges(n for piece in self.pieces for first, last in piece for n in range(first, last + 1))


def count(piece: Piece) -> int:
    """Records of a piece."""
    return sum(last - first + 1 for first, last in piece)


def halves(piece: Piece) -> tuple[Piece, Piece]:
    """The first half and the second one, of a piece of two records at least."""
    return cut(piece, count(piece) // 2)


def cut(piece: Piece, records: int) -> tuple[Piece, Piece]:
    """The first so many records, and the others."""
    front: list[Range] = []
    for number, (first, last) in enumerate(piece):
        length = last - first + 1
        if length > records:
            here = [(first, first + records - 1)] if records else []
            return (*front, *here), ((first + records, last), *piece[number + 1 :])
        front.append((first, last))
        records -= length
    return tuple(front), ()


def ranges(numbers: Iterable[int]) -> Piece:
    """Numbers of records as a piece."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return tuple((first, last) for first, last in found)


def numbers(piece: Piece) -> list[int]:
    """The records of a piece, in order."""
    return [number for first, last in piece for number in range(first, last + 1)]


def key_of(key: str, piece: Piece) -> str:
    """The idempotency key of a part of the message with this key: it follows from what is in the part."""
    name = f"{key}.{piece[0][0]}-{piece[-1][1]}"
    if len(piece) == 1:
        return name
    return f"{name}.{blake2b(_listed(piece).encode(), digest_size=8).hexdigest()}"


def origin_of(origin: str, records: int, piece: Piece) -> str:
    """Where a part comes from, for people: `positions.csv row 217`, where the rows follow each other.

    `origin`, `records`: of the whole message.
    """
    found = _ROWS.fullmatch(origin)
    one = count(piece) == 1
    if found is None or int(found[3]) - int(found[2]) + 1 != records:
        return f"{origin}, record{'' if one else 's'} {_listed(piece)} of {records}"
    before = int(found[2]) - 1
    rows = tuple((first + before, last + before) for first, last in piece)
    return f"{found[1]} row {rows[0][0]}" if one else f"{found[1]} rows {_listed(rows)}"


def _listed(piece: Piece) -> str:
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in piece)


class Apart:
    """A body and where its records are."""

    def __init__(self, body: bytes, form: Form, records: int) -> None:
        """Raises UnfitBodyError when there are not so many records in it."""
        self._body = body
        self._form = form
        self._separator = SEPARATORS[form.format]
        content = body[form.head : len(body) - form.tail]
        lengths = _lengths(content, form.format)
        if len(lengths) != records or len(body) < form.head + form.tail:
            raise UnfitBodyError(f"{len(lengths)} records are in the body, not {records}")
        step = len(self._separator)
        # Where each record begins; one more entry, as if there were another one behind the last.
        self._starts = list(accumulate((length + step for length in lengths), initial=form.head))

    def body(self, piece: Piece) -> bytes:
        """The body of a part: its records, byte by byte, between the head and the tail."""
        whole, form = self._body, self._form
        head, tail = whole[: form.head], whole[len(whole) - form.tail :]
        parts = [whole[self._starts[first - 1] : self._end(last)] for first, last in piece]
        return b"".join((head, self._separator.join(parts), tail))

    def record(self, number: int) -> bytes:
        """The text of one record."""
        return self._body[self._starts[number - 1] : self._end(number)]

    def size(self, piece: Piece) -> int:
        """Bytes of that body."""
        step = len(self._separator)
        found = sum(self._end(last) - self._starts[first - 1] + step for first, last in piece)
        return self._form.head + max(found - step, 0) + self._form.tail

    def fitting(self, piece: Piece, most: int) -> list[Piece]:
        """The piece in pieces of at most so many bytes, each of one record at least."""
        found: list[Piece] = []
        while piece:
            low, high = 1, count(piece)
            while low < high:  # the largest number of records that fits
                middle = (low + high + 1) // 2
                if self.size(cut(piece, middle)[0]) <= most:
                    low = middle
                else:
                    high = middle - 1
            front, piece = cut(piece, low)
            found.append(front)
        return found

    def _end(self, number: int) -> int:
        return self._starts[number] - len(self._separator)


def _lengths(content: bytes, format_: str) -> list[int]:
    """Bytes of each record."""
    if format_ == "json":
        return _json_lengths(content)
    lines = [len(line) for line in content.split(SEPARATORS[format_])]
    if format_ == "csv" and b'"' in content:
        return _csv_lengths(content)
    return lines


def _csv_lengths(content: bytes) -> list[int]:
    """A line break between quotes is part of a field: with an odd number of quotes, a line goes on."""
    found: list[int] = []
    open_, length = False, 0
    for line in content.split(b"\r\n"):
        length += len(line)
        open_ ^= bool(line.count(b'"') % 2)
        if open_:
            length += len(b"\r\n")
        else:
            found.append(length)
            length = 0
    if open_:
        raise UnfitBodyError("a quote is not closed")
    return found


def _json_lengths(content: bytes) -> list[int]:
    try:
        text = content.decode()
        ends = _json_ends(text)
    except (ValueError, RecursionError) as error:
        raise UnfitBodyError(f"the body is not a JSON list: {error}") from error
    starts = [0, *(end + 1 for end in ends[:-1])]
    if content.isascii():
        return [end - start for start, end in zip(starts, ends, strict=True)]
    return [len(text[start:end].encode()) for start, end in zip(starts, ends, strict=True)]


def _json_ends(text: str) -> Sequence[int]:
    ends: list[int] = []
    at, scan, space = 0, _JSON.raw_decode, _SPACE.match
    while True:
        if at < len(text) and text[at] in " \t\r\n":
            at = space(text, at).end()  # type: ignore[union-attr]
        _, end = scan(text, at)
        if end < len(text) and text[end] in " \t\r\n":
            end = space(text, end).end()  # type: ignore[union-attr]
        ends.append(end)
        if end == len(text):
            return ends
        if text[end] != ",":
            raise ValueError(f"no comma behind record {len(ends)}")
        at = end + 1
