"""Bodies that memory has no room for, in a temporary file without a name.

They cost one copy into the page cache when they are moved here, so counting can wait until asked.
"""

from __future__ import annotations

import os
import tempfile


class Spill:
    """Append and read at a place. The file is made when it is needed and gone with the process."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._file = -1

    def put(self, data: bytes) -> int | None:
        """Where it lies now; None when there is no room."""
        if self._size + len(data) > self._limit:
            return None
        if self._file < 0:
            with tempfile.TemporaryFile() as file:
                self._file = os.dup(file.fileno())
        place = self._size
        try:
            written = os.pwrite(self._file, data, place)
        except OSError:
            # A full disk: the body is counted and forgotten instead.
            return None
        if written < len(data):
            return None
        self._size += len(data)
        return place

    def get(self, place: int, size: int) -> bytes:
        """What `put` took."""
        return os.pread(self._file, size, place)

    def close(self) -> None:
        """Give the disk's room back; nothing can be read any more."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1
        self._limit = 0
