"""At most so many starts a second, without a burst and without a loss."""

from __future__ import annotations

import math
from collections import deque

_MOST_KEPT = 10_000
"""Starts that are remembered: beyond this rate the window is shorter than a second."""


class RateLimit:
    """Says when the next request may start. Knows no clock: the time, monotonic seconds, is passed in.

    Two rules, and the later of them counts:

        spacing   one start each 1/rate seconds; who comes late may catch up a tenth of a second, so that
                  timers which end a millisecond late do not lower the rate for ever
        window    the start before the last `rate` ones is a second ago: so no second, wherever it begins,
                  sees more than `rate` starts (rounded up, as 2.5 a second is 3 in some)
    """

    def __init__(self, rate: float) -> None:
        """`rate`: starts a second. Raises ValueError for what is none."""
        if not (rate > 0 and math.isfinite(rate)):
            raise ValueError("a rate is above 0")
        self.rate = rate
        self._step = 1.0 / rate
        self._slack = max(self._step, 0.1) - self._step
        self._next = -math.inf
        kept = min(math.ceil(rate), _MOST_KEPT)
        self._starts: deque[float] = deque(maxlen=kept)
        self._span = max(min(1.0, kept / rate), self._step)

    def wait(self, now: float) -> float:
        """Seconds until one may start; 0: now."""
        starts = self._starts
        free = self._next
        if len(starts) == starts.maxlen:
            free = max(free, starts[0] + self._span)
        return max(0.0, free - now)

    def start(self, now: float) -> None:
        """One starts."""
        self._next = max(self._next, now - self._slack) + self._step
        self._starts.append(now)

    def follow(self, before: RateLimit) -> None:
        """Take over what was started under another rate: a change of the rate is no fresh start."""
        self._starts.extend(before._starts)
        if self._starts:
            self._next = self._starts[-1] + self._step
