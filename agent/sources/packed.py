"""What DuckDB says nothing of in a gzipped file, found before any of its records is read.

It does not compare the checksum, so that a damaged file gives some of its records, or other ones. And its
reader of compressed text works in buffers of 16 times the longest line: a record that is longer than that
is no error, it is left out.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import RecordError, SourceError
from agent.sources.relation import Opened

LONGEST_UNPACKED = 4_000_000
"""Bytes of one record in a gzipped file. DuckDB takes memory for 16 such."""
_PIECE = 1 << 20


def check_packed(file: Opened) -> None:
    """Refuse a gzipped file that is damaged or not complete. Raises SourceError."""
    if file.gzipped:
        with _unpacked(file) as unpacked:
            while unpacked.read(_PIECE):
                pass


def check_lines(file: Opened, *, quote: str = "") -> None:
    """Refuse a gzipped file that is damaged, or that has a record beyond the limit.

    `quote`: the character between which line ends belong to a field; empty where there is none.
    Raises SourceError, or RecordError naming the line.
    """
    if file.gzipped:
        with _unpacked(file) as unpacked:
            _check_lines(file, unpacked, quote.encode())


@contextmanager
def _unpacked(file: Opened) -> Iterator[gzip.GzipFile]:
    with Path(file.reading).open("rb") as plain, gzip.GzipFile(fileobj=plain) as unpacked:
        try:
            yield unpacked
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise SourceError(
                f"{file.name}: cannot be read: {error}",
                hint="the gzip file is damaged, or still being written",
            ) from error


def _check_lines(file: Opened, unpacked: gzip.GzipFile, quote: bytes) -> None:
    line, size, inside = 1, 0, False
    while piece := unpacked.readline(LONGEST_UNPACKED + 1):
        ended = piece.endswith(b"\n")
        size += len(piece)
        if quote and piece.count(quote) % 2:
            inside = not inside
        if not inside and not ended:
            size = min(size, len(piece) - 1 - piece.rfind(b"\r"))  # also a line end, in old files
        if size > LONGEST_UNPACKED:
            raise RecordError(
                f"{file.name} line {line}: a record of more than {LONGEST_UNPACKED // 1_000_000} MB",
                hint="is a quote or a line ending missing? an unpacked file may hold longer ones",
            )
        line += ended
        if ended and not inside:
            size = 0
