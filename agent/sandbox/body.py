"""A body as it was sent: unpacked, counted and hashed only when somebody asks.

Keeping bodies as they came and counting later costs the sender of a benchmark nothing while its clock runs.
"""

from __future__ import annotations

import hashlib
import json

from isal import isal_zlib

from agent.sandbox.spill import Spill

_GZIP = 31  # zlib's wbits for "a gzip header and trailer, nothing else"
UNPACKED_LIMIT = 1_000_000_000  # bytes; what was taken in is far below, what was refused may be a bomb
_LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "text/plain"})


class BadBody(Exception):
    """The body cannot be read; the text says why."""


class TooLarge(BadBody):
    """The body is, or would unpack to be, larger than allowed."""


def gunzip(data: bytes, limit: int) -> bytes:
    """Unpack one or more gzip members (RFC 1952) to at most `limit` bytes, checksums checked."""
    parts: list[bytes] = []
    room = limit
    while True:
        member = isal_zlib.decompressobj(wbits=_GZIP)
        try:
            part = member.decompress(data, room + 1)
        except isal_zlib.IsalError as error:  # type: ignore[misc] # its stub calls the class an instance
            raise BadBody(f"the gzip data is damaged: {error}") from None
        room -= len(part)
        if room < 0:
            raise TooLarge(f"the body unpacks to more than {limit} bytes")
        if not member.eof:
            raise BadBody("the gzip data ends too early")
        parts.append(part)
        data = member.unused_data
        if not data:
            return parts[0] if len(parts) == 1 else b"".join(parts)


def count_records(plain: bytes, content_type: str) -> int:
    """How many records a body of any format holds: rows, lines, elements; 1 where that makes no sense."""
    if content_type == "text/csv":
        return max(_lines(plain) - 1, 0)
    if content_type in _LINES:
        return _lines(plain)
    if plain[:1].isspace() or plain.startswith(b"["):
        try:
            document = json.loads(plain)
        except ValueError:
            return 1
        return len(document) if isinstance(document, list) else 1
    return 1 if plain else 0


def _lines(plain: bytes) -> int:
    return plain.count(b"\n") + (1 if plain and not plain.endswith(b"\n") else 0)


class Body:
    """What one request carried. The bytes may move to a file or be forgotten; what is known stays."""

    __slots__ = ("_place", "_records", "_sha256", "_spill", "_wire", "content_type", "gzip", "size")

    def __init__(self, wire: bytes, *, gzip: bool, content_type: str, records: int | None = None) -> None:
        self._wire: bytes | None = wire
        self._spill: Spill | None = None
        self._place = 0
        self._records = records
        self._sha256 = ""
        self.size = len(wire)
        self.gzip = gzip
        self.content_type = content_type

    @property
    def plain(self) -> bytes | None:
        """The bytes, unpacked; None when they were forgotten."""
        spill = self._spill
        wire = spill.get(self._place, self.size) if spill else self._wire
        if wire is None or not self.gzip:
            return wire
        try:
            return gunzip(wire, UNPACKED_LIMIT)
        except BadBody:
            # It was refused for that; what was sent is all there is to show.
            return wire

    @property
    def records(self) -> int:
        """How many records it holds."""
        self.settle()
        return self._records or 0

    @property
    def sha256(self) -> str:
        """Of the unpacked bytes, in hex."""
        self.settle()
        return self._sha256

    def settle(self) -> None:
        """Count and hash now, if not done yet. Safe from any thread: twice gives the same."""
        if self._sha256:
            return
        plain = self.plain or b""
        if self._records is None:
            self._records = count_records(plain, self.content_type)
        self._sha256 = hashlib.sha256(plain).hexdigest()

    def move_to(self, spill: Spill) -> None:
        """Move the bytes to a file; when it is full, work out what can be asked of them and let go."""
        place = spill.put(self._wire) if self._wire is not None else None
        if place is None:
            self.settle()
        else:
            self._place, self._spill = place, spill
        self._wire = None

    def leave_file(self) -> None:
        """Forget the bytes if they lie in a file; what can be asked of them is worked out before."""
        if self._spill:
            self.settle()
            self._spill = None
