"""Packed files: what DuckDB says nothing of in a gzipped one, and unpacking a zstd one.

Both is done before any of its records is read. Of gzip, DuckDB does not compare the checksum, so that a
damaged file gives some of its records, or other ones. And a record that is longer than the buffer of its
reader of compressed text is no error, it is left out. A zstd file is unpacked beside: any record fits then,
and its end is checked.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import RecordError, SourceError
from agent.sources.longest import Measured, within
from agent.sources.relation import Opened

LONGEST_UNPACKED = 4_000_000
"""Bytes of one record in a gzipped file."""
BUFFERED = 16
"""Longest records that fit into one of DuckDB's buffers."""
LEAST_UNPACKED = 250_000
"""What a record gets at least."""
LARGEST = 20_000_000_000
"""Bytes that a zstd file may unpack to: they need room on the disk."""
MOST_TIMES, ALWAYS_FINE = 2_000, 256_000_000
"""Beyond so many bytes, it may not unpack to more than so many times its own size: a bomb does."""
_PIECE = 1 << 20


def unpack_zstd(file: Opened, temp: Path) -> Opened:
    """The file unpacked into `temp`. Raises SourceError where it is damaged, not complete, or a bomb."""
    import pyarrow as pa  # noqa: PLC0415 - whole-file jobs do without

    target = temp / "unpacked"
    packed = Path(file.reading).stat().st_size
    most = min(LARGEST, max(ALWAYS_FINE, packed * MOST_TIMES))
    size = 0
    try:
        with (
            pa.OSFile(file.reading, "rb") as plain,
            pa.CompressedInputStream(plain, "zstd") as unpacked,
            target.open("wb") as out,
        ):
            while piece := unpacked.read(_PIECE):
                size += len(piece)
                if size > most:
                    raise SourceError(
                        f"{file.name}: unpacks to more than {most // 1_000_000} MB, {size // max(packed, 1)} "
                        "times its size",
                        hint="is it what it should be? a file that is not packed may be larger",
                        lasting=True,
                    )
                out.write(piece)
    except OSError as error:
        if error.errno is not None:  # of the disk, not of Arrow
            raise SourceError(f"{file.name}: cannot be unpacked: {error.strerror}") from error
        raise SourceError(
            f"{file.name}: cannot be read: {error}", hint="the zstd file is damaged, or still being written"
        ) from error
    if not packed:
        raise SourceError(f"{file.name} is empty: no zstd file", lasting=True)
    return Opened(path=file.path, reading=str(target), gzipped=False)


def check_packed(file: Opened) -> None:
    """Refuse a gzipped file that is damaged or not complete. Raises SourceError."""
    if file.gzipped:
        with _unpacked(file) as unpacked:
            while unpacked.read(_PIECE):
                pass


def check_lines(file: Opened, *, quote: str = "") -> Measured:
    """What the records of a gzipped file are like: one longer than is foreseen is left out without a word.

    `quote`: the character between which line ends belong to a field; empty where there is none.
    Raises SourceError for a file that is damaged, RecordError naming the line of a record beyond the limit.
    """
    with _unpacked(file) as unpacked:
        return _check_lines(file, unpacked, quote.encode())


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


def _check_lines(file: Opened, unpacked: gzip.GzipFile, quote: bytes) -> Measured:
    line, size, inside = 1, 0, False
    longest, folded, doubled = LEAST_UNPACKED, False, False
    while piece := unpacked.readline(LONGEST_UNPACKED + 1):
        ended = piece.endswith(b"\n")
        size += len(piece)
        longest = max(longest, len(piece))
        doubled = doubled or (bool(quote) and quote + quote in piece)
        if quote and piece.count(quote) % 2:
            folded, inside = True, not inside
        elif quote and not inside and piece.find(b"\r", 0, -2) >= 0 and quote in piece:
            folded = folded or within(piece, quote)
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
    folded |= inside
    return Measured(longest=LONGEST_UNPACKED if folded else longest, folded=folded, doubled=doubled)
