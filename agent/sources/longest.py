"""How long the longest record of a text file may be: DuckDB takes memory for several of that length.

    ┌ piece ────────┬───────────────┬───────────────┬──────────
    … e             │  e            │    e          │     e        e: the first line end of a piece
      └── so long ──┴──┘                                         no record is longer than from e to e

Each piece is looked at around its first line end only, not at every line of it.
"""

from __future__ import annotations

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


def longest_record(path: Path, quote: str = "") -> int:
    """Bytes that a record of the file has at most; `quote` is what may stand around line ends, if anything.

    An unpaired quote makes it a guess, and then a high one.
    """
    records, lines, mark = _Ends(), _Ends(), quote.encode()
    before, inside, quoted = 0, False, False
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            first = piece.find(b"\n") + 1
            if first:
                lines.at(before + first)
            marks = piece.count(mark) if mark and mark in piece else 0
            if marks or inside:
                quoted = True
                first = _first_end(piece, mark, inside=inside)
            if first:
                records.at(before + first)
            before += len(piece)
            inside ^= bool(marks % 2)
    records.at(before)
    lines.at(before)
    if not quoted:
        return min(max(lines.longest, PLAIN_LINE), LONGEST_LINE)
    guess = min(max(2 * lines.longest, USUAL_LINE), LONGEST_LINE)
    return guess if inside else min(max(2 * records.longest, QUOTED_LINE), guess)


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
