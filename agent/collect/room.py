"""A spool that is full: what a file (a page, a window) does that still has something to append.

    a limit of its job, or on messages ───────────▶ wait (see `spool.limits`: something is on its way out)
    it can never fit ─────────────────────────────▶ given up, with a way out
    something leaves, or nothing of it is held ───▶ wait; also while the disk is full
    it holds its part, and nothing leaves ────────▶ wait a minute, then step back: read again later

Files that are held back until they are complete could otherwise wait for each other for ever.
"""

from __future__ import annotations

from agent.clock import Clock
from agent.collect.files import StoppedError
from agent.collect.result import Hands
from agent.errors import SourceError, SpoolFull
from agent.render import Chunk
from agent.spool import Spool
from agent.spool.quota import weight_of

# Seconds in which a disk may get room again before a file lets go of what it holds.
_PATIENCE = 60.0
_OTHERWISE = {
    "file": "let it leave while it is read: on_bad_row: dead_letter",
    "page": "ask for smaller pages",
    "output": "let the program print less at a time",
    "result": "let the query give less at a time, or split its table over several jobs",
    "window": "make it shorter: `missed: all`, or `--step` in a backfill",
}


class StepBackError(SourceError):
    """All that is held of the file is to be let go, and it is to be read again later."""


class Room:
    """Waits for one file at a time, in the thread of its run."""

    def __init__(self, spool: Spool, clock: Clock, hands: Hands, poll: float) -> None:
        self._spool = spool
        self._clock = clock
        self._hands = hands
        self._poll = poll
        self._hold, self._what = False, "file"
        self._holds = False
        self._taken = 0
        self._full_since: float | None = None

    def begin(self, *, hold: bool, row: int, what: str = "file") -> None:
        """For a file of which `row` rows are in the spool already; hold: no lane sees them yet.

        `what` it is, for people.
        """
        self._hold, self._holds = hold, hold and row > 0
        self._what = what
        self._taken = 0
        self._full_since = None

    def took(self, chunk: Chunk) -> None:
        """The chunk is in the spool."""
        self._taken += _weight(chunk)
        self._holds = self._hold
        self._full_since = None

    def wait(self, name: str, chunk: Chunk, full: SpoolFull) -> None:
        """Once. Raises StoppedError, StepBackError, and SourceError for a file that can never fit."""
        if full.limit:
            self._full_since = None
            self.pause(full.message)
            return
        if self._hold and self._taken + _weight(chunk) > self._spool.max_bytes:
            raise SourceError(
                f"{name}: the {self._what} does not fit into the spool",
                hint=f"raise spool.max_bytes, or {_OTHERWISE[self._what]}",
                lasting=True,
            )
        now = self._clock.monotonic()
        if not self._holds or self._full_since is None or self._spool.lanes().result():
            self._full_since = now
        elif now - self._full_since >= _PATIENCE:
            raise StepBackError(
                f"{name}: the spool is full, and nothing in it can leave before this {self._what}"
            )
        self.pause()

    def pause(self, why: str = "the spool is full") -> None:
        """Until it is worth another try. Raises StoppedError."""
        self._hands.say(f"waiting: {why}")
        if self._hands.pause(self._poll):
            raise StoppedError


def _weight(chunk: Chunk) -> int:
    return sum(map(weight_of, chunk.drafts))
