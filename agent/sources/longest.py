"""What must be known of a text before DuckDB reads it: its longest record, and line ends within quotes.

DuckDB takes memory for several of the longest records. And it begins to read at several places of a file:
where a text in quotes has lines that look like records, it takes them for such, without a word.

    ┌ piece ────────┬───────────────┬───────────────┬──────────
    … e             │  e            │    e          │     e        e: the first line end of a piece
      └── so long ──┴──┘                                         no record is longer than from e to e

No line of a piece is looked at for itself.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

LONGEST_LINE = 256_000_000
"""Bytes of one record. DuckDB's own limit is 2 MB; a field of 10 MB is rare, not wrong."""
USUAL_LINE = 16_000_000
"""What a record gets whose quotes cannot be followed, unless a line is longer."""
QUOTED_LINE = 4_000_000
"""What it gets at least where there are quotes: one in the midst of a field pairs with none."""
PLAIN_LINE = 1_000_000
"""What it gets at least."""
PIECE = 1 << 18
TRIES = 64
"""Line ends within quotes that are passed over in one piece; then the next one is looked at."""


@dataclass(slots=True)
class _Ends:
    """Where something has ended last, and the longest way from one end to the next."""

    last: int = 0
    longest: int = 0

    def at(self, place: int) -> None:
        self.longest = max(self.longest, place - self.last)
        self.last = place


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What was found out about a file."""

    longest: int
    """Bytes that a record has at most. Where quotes do not pair it is a guess, and then a high one."""
    folded: bool
    """Whether line ends may stand within quotes, or a quote may not end: who begins in the midst would take
    lines for records. A quote in the midst of a field pairs with none, so it may not be so."""
    doubled: bool
    """Whether two quotes stand side by side anywhere: a field in quotes may be empty."""


def measure(path: Path, quote: str = "") -> Measured:
    """Look at a whole file; `quote` is what may stand around line ends, if anything."""
    records, lines, mark = _Ends(), _Ends(), quote.encode()
    others = _others(mark)
    before, inside, folded, doubled = 0, False, False, False
    ended = False  # with a quote
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            first = piece.find(b"\n") + 1
            if first:
                lines.at(before + first)
            if inside or (mark and mark in piece):
                ends_inside, within = _within(piece, mark, others, inside=inside)
                folded |= within
                first = _first_end(piece, mark, inside=inside) if folded else first
                inside = ends_inside
                doubled = doubled or mark + mark in piece or (ended and piece.startswith(mark))
                ended = piece.endswith(mark)
            if first:
                records.at(before + first)
            before += len(piece)
    records.at(before)
    lines.at(before)
    if not folded and not inside:
        longest = min(max(lines.longest, PLAIN_LINE), LONGEST_LINE)
        return Measured(longest=longest, folded=False, doubled=doubled)
    guess = min(max(2 * lines.longest, USUAL_LINE), LONGEST_LINE)
    longest = guess if inside else min(max(2 * records.longest, QUOTED_LINE), guess)
    return Measured(longest=longest, folded=True, doubled=doubled)


def within(text: bytes, mark: bytes) -> bool:
    """Whether a line end stands within quotes in a text that begins outside of them."""
    return _within(text, mark, _others(mark), inside=False)[1]


def _others(mark: bytes) -> bytes:
    return bytes(byte for byte in range(256) if byte not in mark + b"\r\n")


def longest_line(path: Path, *, gzipped: bool) -> tuple[int, int]:
    """Which line is the longest (from 1), and its bytes; (0, 0) where none is longer than a piece."""
    number, start, before, found = 1, 0, 0, (0, 0)
    with gzip.open(path) if gzipped else path.open("rb") as file:
        while piece := file.read(PIECE):
            end = piece.find(b"\n")
            if end >= 0:
                found = max(found, (before + end - start, number), key=_bytes)
                number += piece.count(b"\n")
                start = before + piece.rfind(b"\n") + 1
            before += len(piece)
    size, line = max(found, (before - start, number), key=_bytes)
    return (line, size) if size > PIECE else (0, 0)


def _bytes(found: tuple[int, int]) -> int:
    return found[0]


def _within(piece: bytes, mark: bytes, others: bytes, *, inside: bool) -> tuple[bool, bool]:
    """Whether it ends within quotes, and whether a line does.

    Of a text of quotes and line ends, quotes beside each other take each other away; what is left of them
    stands around a line end.
    """
    left = piece.translate(None, others)
    left = (mark + left if inside else left).replace(mark + mark, b"")
    return left.count(mark) % 2 == 1, mark in left[:-1]


def _first_end(piece: bytes, mark: bytes, *, inside: bool) -> int:
    """The place behind the first line end that is not within quotes; 0 where none was found."""
    start = 0
    for _ in range(TRIES):
        end = piece.find(b"\n", start) + 1
        if not end:
            return 0
        inside ^= bool(piece.count(mark, start, end) % 2)
        if not inside:
            return end
        start = piece.find(mark, end)  # no line ends before the next quote does
        if start < 0:
            return 0
    return 0
