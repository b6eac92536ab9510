"""How long the event loop was held by something that should have been in a thread."""

from __future__ import annotations

from agent.clock import Clock
from agent.logs import get_log

log = get_log("stall")

# Every 50 ms: fine enough to see a stall that matters, 20 wake-ups a second are 0.1 % of a core.
_BEAT = 0.05
# A stall this long delays timers and answers so much that people notice.
_LOUD = 1.0


class StallMonitor:
    """Sleeps for a known time and looks how much later it woke up."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._longest = 0.0

    @property
    def longest(self) -> float:
        """Seconds; the longest stall since the start. Up to one beat (50 ms) less than the truth."""
        return self._longest

    async def run(self) -> None:
        """Measure for ever."""
        while True:
            before = self._clock.monotonic()
            await self._clock.sleep(_BEAT)
            late = self._clock.monotonic() - before - _BEAT
            self._longest = max(self._longest, late)
            if late > _LOUD:
                log.warning("the event loop stood still", seconds=round(late, 3))
