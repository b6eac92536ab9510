"""From a column of texts to bodies: the cutting and the gzip. No Python per record in a batch.

An Arrow column of text is one buffer and its offsets. Each text of a batch ends with the separator of the
body's frame (a comma in JSON), so a body is the frame's head, a slice of that buffer without its last
separator, and the frame's tail:

    offsets   0      7      14        24
    buffer    {"a":1},{"a":2},{"a":333},
              └──── a slice ────┘           →  [{"a":1},{"a":2}]
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from isal import igzip_lib, isal_zlib

from agent.mapping import Frame

if TYPE_CHECKING:
    import pyarrow as pa

LEVEL = 1
"""Of isal: 1.6 GB/s at a ratio of 10 here. More would cost the time of the records."""


GZIP_WINDOW = 31
"""15 bits of window, and 16 for a gzip header."""


def gzipped(body: bytes) -> bytes:
    """RFC 1952, the same bytes for the same body: no time, no name in the header."""
    return igzip_lib.compress(body, LEVEL, flag=igzip_lib.COMP_GZIP)


class Gzip:
    """The same for a body that comes in pieces."""

    def __init__(self) -> None:
        self._compressor = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, GZIP_WINDOW)
        self._out: list[bytes] = []
        self.size = 0
        """Bytes taken so far."""

    def add(self, piece: bytes) -> None:
        """Take the next piece."""
        self.size += len(piece)
        self._out.append(self._compressor.compress(piece))

    def finish(self) -> bytes:
        """The whole, gzipped."""
        return b"".join([*self._out, self._compressor.flush()])


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """A batch."""

    body: bytes
    """Not yet gzipped."""
    records: int
    first: int
    """The row of its first record, from 1."""
    last: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TooLarge:
    """A record that alone is larger than a batch may be."""

    row: int
    text: str
    size: int
    """Bytes, with the frame around it."""


@dataclass(kw_only=True, slots=True)
class Cutter:
    """Cuts texts into bodies of at most `records` texts and `size` bytes, frame included, in order."""

    records: int
    size: int
    frame: Frame
    fit: int | None = None
    """The same as `size`, but for a record that alone is larger: it is a batch of its own."""
    _parts: list[memoryview | bytes] = field(default_factory=list)
    _bytes: int = 0
    _count: int = 0
    _first: int = 0
    _last: int = 0

    def feed(self, texts: pa.Array, rows: Sequence[int]) -> Iterator[Cut | TooLarge]:
        """Take a column without nulls whose texts end with the separator; `rows` are their numbers."""
        offsets, data = buffers(texts)
        count = len(texts)
        at = 0
        # the last separator is left out
        around = self.frame.size - len(self.frame.separator)
        most = self.size - around
        good = min(self.size, self.fit or self.size) - around
        while at < count:
            room = good - self._bytes
            stop = max(at, bisect_right(offsets, offsets[at] + room, at, count + 1) - 1)
            stop = min(stop, at + self.records - self._count)
            if stop > at:
                self._take(data[offsets[at] : offsets[stop]], stop - at, rows[at], rows[stop - 1])
                at = stop
                if self._count == self.records or at < count:
                    yield self._flush()
            elif self._count:
                yield self._flush()
            elif offsets[at + 1] - offsets[at] <= most:
                self._take(data[offsets[at] : offsets[at + 1]], 1, rows[at], rows[at])
                at += 1
                yield self._flush()
            else:
                text = bytes(data[offsets[at] : offsets[at + 1] - len(self.frame.separator)])
                yield TooLarge(row=rows[at], text=text.decode(), size=len(text) + self.frame.size)
                at += 1
        if self._parts:
            # the buffer is let go: a copy of less than a batch, once per Arrow batch
            self._parts = [b"".join(self._parts)]

    @property
    def pending(self) -> bool:
        """Whether texts wait for others to be cut with."""
        return self._count > 0

    def rest(self) -> Iterator[Cut]:
        """The last batch, which may be a small one."""
        if self._count:
            yield self._flush()

    def _take(self, part: memoryview, count: int, first: int, last: int) -> None:
        self._first = self._first if self._count else first
        self._last = last
        self._parts.append(part)
        self._bytes += len(part)
        self._count += count

    def _flush(self) -> Cut:
        *parts, end = self._parts
        frame = self.frame
        cut = Cut(
            body=b"".join((frame.head, *parts, end[: len(end) - len(frame.separator)], frame.tail)),
            records=self._count,
            first=self._first,
            last=self._last,
        )
        self._parts, self._bytes, self._count = [], 0, 0
        return cut


def buffers(texts: pa.Array) -> tuple[Sequence[int], memoryview]:
    """The offsets and the bytes of a column of text, without copying."""
    _, offsets, data = texts.buffers()
    width: Literal["q", "i"] = "q" if str(texts.type).startswith("large_") else "i"
    start = texts.offset
    found = memoryview(offsets).cast(width)[start : start + len(texts) + 1] if offsets else memoryview(b"")
    return cast("Sequence[int]", found), memoryview(data) if data is not None else memoryview(b"")
