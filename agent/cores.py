"""On which cores threads run.

A thread inherits the cores of the one that starts it. The event loop's may be kept on one core (see
`together`), so all that it starts says first that it runs anywhere.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple, Protocol


class Used(NamedTuple):
    """What a thread had of its cores since it began, in seconds."""

    ran: float
    waited: float
    """Ready to run, while another one did."""


class Cores(Protocol):
    """What the system says and does."""

    def used(self, thread: int) -> Used:
        """Raises OSError: it cannot be told."""

    def where(self, thread: int) -> int:
        """The core that it ran on last. Raises OSError."""

    def keep(self, thread: int, cores: frozenset[int]) -> None:
        """It runs on these only. Raises OSError: that is not allowed."""


class SystemCores:
    """Linux. What is read is memory of the kernel, no disk: it takes ten microseconds."""

    def used(self, thread: int) -> Used:
        """See proc(5), `/proc/PID/task/TID/schedstat`."""
        file = os.open(f"/proc/self/task/{thread}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            ran, waited, _ = os.read(file, 100).split()
        finally:
            os.close(file)
        return Used(ran=int(ran) / 1e9, waited=int(waited) / 1e9)

    def where(self, thread: int) -> int:
        """See proc(5), field 39 of `/proc/PID/task/TID/stat`."""
        text = Path(f"/proc/self/task/{thread}/stat").read_text(encoding="utf-8", errors="replace")
        return int(text.rpartition(")")[2].split()[36])

    def keep(self, thread: int, cores: frozenset[int]) -> None:
        """See sched_setaffinity(2)."""
        os.sched_setaffinity(thread, cores)


def allowed() -> frozenset[int]:
    """The cores that this thread may run on; empty where that is no question."""
    if not hasattr(os, "sched_getaffinity"):
        return frozenset()
    return frozenset(os.sched_getaffinity(0))


EVERYWHERE = allowed()
"""Those of the process when it began."""


def anywhere() -> None:
    """The first thing that a new thread does: run wherever the process may, not where its parent is kept."""
    if len(EVERYWHERE) > 1:
        with contextlib.suppress(OSError):  # then nobody was ever kept anywhere
            os.sched_setaffinity(0, EVERYWHERE)
