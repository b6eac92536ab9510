"""Whether somebody began to write while a state without an owner was read.

A database that nobody owns is read as a file that does not change (`immutable`, see `readonly`): SQLite
takes no lock then and looks for no change. A daemon that starts meanwhile writes into pages that are yet to
be read, and what is put together of old and new pages is neither: a dead letter with bytes of another
message. So the file is looked at before and after; when it changed, all is read again, as beside an owner.

    mark ─▶ connect ─▶ read ─▶ changed? ──no──▶ what was read is good
     ▲                           │yes
     └───────────────────────────┘

No lock is held instead: as long as an export of gigabytes goes on, no daemon could start.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from agent.spool.folder import is_locked


@dataclass(frozen=True, kw_only=True, slots=True)
class Calm:
    """How a database file lay before it was connected to."""

    path: Path
    mark: tuple[int, ...] | None
    """None: it has an owner, and what is read beside one is always of one moment."""

    @classmethod
    def before(cls, path: Path) -> Self:
        """As it lies now. Its folder may be missing, or closed to us: connecting says that."""
        try:
            owned = is_locked(path.parent)
        except OSError:
            owned = False
        return cls(path=path, mark=None if owned else _mark(path))

    def is_over(self) -> bool:
        """Whether somebody has written into it since."""
        return self.mark is not None and self.mark != _mark(self.path)


def _mark(path: Path) -> tuple[int, ...]:
    """Every write into it changes its time, and a process starts more slowly than that clock ticks."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
