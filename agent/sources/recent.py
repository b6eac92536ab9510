"""What was found out about a text, for when it is asked again: thousands of files have the same job."""

from __future__ import annotations

import threading
from hashlib import sha256
from typing import Generic, TypeVar

Found = TypeVar("Found")


class Recent(Generic[Found]):
    """Of the texts asked about last, what was found: it follows from the text alone. For several threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._found: dict[bytes, Found] = {}

    def get(self, *texts: str) -> Found | None:
        """What was found out about these texts; None: nothing is known."""
        return self._found.get(_mark(texts))

    def keep(self, found: Found, *texts: str) -> Found:
        """Remember it; what was found first goes when there is too much."""
        with self._lock:
            while len(self._found) >= self._most:
                del self._found[next(iter(self._found))]
            self._found[_mark(texts)] = found
        return found


def _mark(texts: tuple[str, ...]) -> bytes:
    """As long as a digest, whatever the texts; none can be taken for two."""
    digest = sha256()
    for text in texts:
        piece = text.encode("utf-8", "surrogatepass")
        digest.update(len(piece).to_bytes(8, "big") + piece)
    return digest.digest()
