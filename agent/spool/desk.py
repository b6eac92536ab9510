"""What the parts of the spool's face share: the thread they submit to, and the clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from agent.clock import Clock
from agent.spool.database import Database
from agent.spool.pending import Pending
from agent.spool.thread import DatabaseThread

T = TypeVar("T")


class Desk:
    """Takes work for the database thread, by how much it must survive."""

    def __init__(self, thread: DatabaseThread, clock: Clock) -> None:
        self._thread = thread
        self._clock = clock

    def _read(self, work: Callable[[Database], T]) -> Pending[T]:
        """Changes nothing."""
        return self._thread.submit(work, writes=False)

    def _write(self, work: Callable[[Database], T]) -> Pending[T]:
        """Survives a kill; a power cut may undo it (then it is done again with the same key)."""
        return self._thread.submit(work)

    def _durably(self, work: Callable[[Database], T], *, weight: int = 0) -> Pending[T]:
        """Survives a power cut."""
        return self._thread.submit(work, durable=True, weight=weight)
