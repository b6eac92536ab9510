"""How many runs work at the same moment. One that waits for a database, an API or a program works not.

A query that never answers, or a slow API, must not hold up the files of another job: while a run waits for
its source it gives its slot back, and takes one again before it goes on. So memory and cores are limited by
`collect.concurrency`, and waiting is not.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from agent.collect.files import StoppedError

# Runs that may wait for their sources, besides those that work; each is a thread at rest.
MOST_WAITING = 64
# Seconds between two looks whether the agent stops.
_LOOK = 0.2


class Slots:
    """Used by the threads of the runs."""

    def __init__(self, count: int, stop: threading.Event) -> None:
        self._free = threading.Semaphore(count)
        self._stop = stop
        self._mine = threading.local()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """For one run. Raises StoppedError when the agent stops before there is a slot."""
        self._take()
        try:
            yield
        finally:
            self._give()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """While the run waits for its source. Raises StoppedError at the end when the agent stops."""
        self._give()
        try:
            yield
        finally:
            self._take()

    def _take(self) -> None:
        while not self._free.acquire(timeout=_LOOK):
            if self._stop.is_set():
                raise StoppedError
        self._mine.held = True

    def _give(self) -> None:
        if getattr(self._mine, "held", False):
            self._mine.held = False
            self._free.release()
