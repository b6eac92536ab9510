"""How much of a disk may be taken, so that acks can always be written.

0 ──────── whatever comes in ────────▶ reserve ─────▶ full
                                          └── only what is done already: acks, burials, sessions
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_SHARE = 20  # one twentieth of the disk, but …
_LEAST, _MOST = 2_000_000, 200_000_000  # bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Disk:
    """At one moment; all in bytes."""

    total: int
    free: int
    """For who is not root."""

    @property
    def reserve(self) -> int:
        """The last bytes of it, which are for acks."""
        return min(max(self.total // _SHARE, _LEAST), _MOST)


def disk_of(folder: Path) -> Disk:
    """The disk that this folder lies on. Raises OSError."""
    found = os.statvfs(folder)
    return Disk(total=found.f_blocks * found.f_frsize, free=found.f_bavail * found.f_frsize)
