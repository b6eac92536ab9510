"""When the answers that are waited for must be there: one timer for all of a client.

A timer of its own for each request, set and taken back again, was a good part of what a small one cost.
Nearly all of them end in time, so the timer is set once and looks at what is still open when it goes off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable


class Deadlines:
    """Belongs to one event loop. Times are the loop's own seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open: dict[Hashable, tuple[float, Callable[[], None]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._set_for = 0.0

    def after(self, seconds: float) -> float:
        """So long from now."""
        return self._loop.time() + seconds

    def set(self, what: Hashable, deadline: float, late: Callable[[], None]) -> None:
        """Call `late` at that time, once, unless `over` comes first."""
        self._open[what] = deadline, late
        if self._timer is None or deadline < self._set_for:
            self._arm(deadline)

    def over(self, what: Hashable) -> None:
        """It has ended. Twice is fine."""
        self._open.pop(what, None)

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._set_for = deadline
        self._timer = self._loop.call_at(deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        for what, (deadline, late) in list(self._open.items()):
            if deadline <= now:
                self.over(what)
                late()
        if self._open:
            self._arm(min(deadline for deadline, _ in self._open.values()))
