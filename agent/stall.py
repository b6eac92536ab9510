"""How long the event loop was held by something that should have been in a thread.

    beat ──sleep──▶ beat ─sleep─▶ ████ held ████ ▶ beat: late
                             └ unseen ┘└── late ──┘

What is held within a beat begins unseen: so beats are short while the loop works, when something could
hold it, and longer while it rests, since each of them wakes the process.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from agent.clock import Clock
from agent.logs import get_log

log = get_log("stall")

BEAT = 0.005
"""Seconds, while the loop works: half a percent of a core."""
RESTING_BEAT = 0.05
"""While it rests: a wake-up takes 0.1 ms of a core. As long as the stalls that must show, and no longer."""
_WORKS = 0.1
"""Share of a core that the loop's thread takes when it works: beats alone take a tenth of that."""
_LOUD = 1.0
"""Seconds: a stall this long delays timers and answers so much that people notice."""


class StallMonitor:
    """Sleeps for a known time and looks how much later it woke up."""

    def __init__(self, clock: Clock, *, used: Callable[[], float] = time.thread_time) -> None:
        """`used`: seconds of processor time that this thread took so far."""
        self._clock = clock
        self._used = used
        self._longest = 0.0

    @property
    def longest(self) -> float:
        """Seconds; the longest stall since the start. Up to one beat less than the truth."""
        return self._longest

    async def run(self) -> None:
        """Measure for ever."""
        beat = BEAT
        while True:
            before, used = self._clock.monotonic(), self._used()
            await self._clock.sleep(beat)
            passed = self._clock.monotonic() - before
            late = passed - beat
            self._longest = max(self._longest, late)
            if late > _LOUD:
                log.warning("the event loop stood still", seconds=round(late, 3))
            beat = BEAT if self._used() - used > _WORKS * passed else RESTING_BEAT
