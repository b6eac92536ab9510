"""Bytes that come in, into a file: never more than allowed, whatever they are packed in.

Nor more than the disk can spare: a file that takes its last byte would stop the acks of all jobs.
"""

from __future__ import annotations

import contextlib
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from agent.disk import disk_of
from agent.errors import SourceError

_GZIP = 31
"""15 bits of window, and 16 for a gzip header."""
_STEP = 1 << 20
"""Bytes that are inflated at once."""
_RATIO = 200
_FREE = 10_000_000
"""Bytes up to which any ratio will do: small texts of blanks are no bomb."""


@dataclass(kw_only=True)
class Landing:
    """A file that is being filled. Use with `with`; any thread, one at a time."""

    path: Path
    """Its last part is its name for people: `page 3`."""
    max_bytes: int
    size: int = 0
    _packed: int = 0
    _look_at: int = 0
    """The size from which on the disk is looked at again."""
    _file: IO[bytes] | None = None
    _inflate: zlib._Decompress | None = None
    _digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def sha256(self) -> str:
        """Of what is in the file, in hex."""
        return self._digest.hexdigest()

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Fill it in here. Raises SourceError when it cannot be written or what came is not complete."""
        with self._written():
            self._file = self.path.open("wb")
        try:
            yield
        finally:
            with self._written():
                self._file.close()
        if self._inflate is not None and (not self._inflate.eof or self._inflate.unused_data):
            raise SourceError(f"{self.path.name}: the compressed answer broke off")

    def take(self, encoding: str, piece: bytes) -> None:
        """One more piece. `encoding`: of HTTP; the same for all pieces. Raises SourceError."""
        if encoding in {"", "identity"}:
            self._write(piece)
        elif encoding in {"gzip", "x-gzip"}:
            self._unpack(piece)
        else:
            said = f"{self.path.name}: the answer comes as Content-Encoding {encoding[:40]}"
            raise SourceError(said, hint="only gzip was asked for")

    def _unpack(self, piece: bytes) -> None:
        self._packed += len(piece)
        self._inflate = self._inflate or zlib.decompressobj(_GZIP)
        try:
            while piece:
                if self._inflate.eof:  # one more member
                    self._inflate = zlib.decompressobj(_GZIP)
                self._write(self._inflate.decompress(piece, _STEP))
                piece = self._inflate.unconsumed_tail or self._inflate.unused_data
        except zlib.error as error:
            said = f"{self.path.name}: the compressed answer is damaged: {error}"
            raise SourceError(said) from error

    def _write(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self.max_bytes:
            said = f"{self.path.name}: more than {self.max_bytes:,} bytes"
            raise SourceError(said, hint="raise `max_bytes` of the source, or ask for smaller pages")
        if self._packed and self.size > _FREE and self.size > _RATIO * self._packed:
            said = f"{self.path.name}: the compressed answer grows more than {_RATIO} times"
            raise SourceError(said, hint="it looks like a bomb; ask for it without compression")
        self._digest.update(piece)
        assert self._file is not None
        with self._written():
            if self.size > self._look_at:
                self._look_at = self.size + _STEP
                self._spare(len(piece) + _STEP)
            self._file.write(piece)

    def _spare(self, size: int) -> None:
        """Half of the reserve will do: the spool looks at the rest, and a small page should get as far."""
        disk = disk_of(self.path.parent)
        if disk.free - size < disk.reserve // 2:
            said = (
                f"{self.path.name}: cannot be kept while it is read: the disk has only {disk.free} bytes left"
            )
            raise SourceError(said, hint="free space on the disk; it goes on by itself then")

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise SourceError(f"{self.path.name}: cannot be kept while it is read: {why}") from error
