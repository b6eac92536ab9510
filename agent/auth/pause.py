"""How long a session waits after a failure: full jitter, so that many agents do not come back at once."""

from __future__ import annotations

from collections.abc import Callable
from random import SystemRandom

FIRST = 1.0
"""Seconds; the most that the first pause can be."""
LONGEST = 300.0
"""Seconds; nothing that heals by itself is asked less often than this."""
SHORTEST = 0.2
"""Seconds; jitter may come out as nothing, which would be no pause at all."""
YOUNG = 600.0
"""Seconds. A token that is refused within these was made in vain."""
VAIN = (5.0, 300.0)
"""Seconds: the first and the longest wait between two tokens made in vain. It doubles."""


class Pause:
    """Grows with every failure in a row."""

    def __init__(self, jitter: Callable[[], float] | None = None) -> None:
        self._jitter = jitter or SystemRandom().random
        self._failures = 0

    def next(self, *, at_least: float | None = None, slow: bool = False) -> float:
        """Seconds to wait now. `slow` is for answers that asking again cannot change."""
        most = LONGEST if slow else min(LONGEST, FIRST * 2 ** min(self._failures, 20))
        self._failures += 1
        seconds = most / 2 + self._jitter() * most / 2 if slow else self._jitter() * most
        return max(seconds, SHORTEST, at_least or 0.0)

    def over(self) -> None:
        """It went well."""
        self._failures = 0


class Doubt:
    """Whether a refused token is worth a new one: not when the new ones are refused as fast as they come.

    The first is replaced at once, since tokens do die early; then each replacement waits longer.
    """

    def __init__(self) -> None:
        self._in_vain = 0
        self._until = 0.0

    def wait(self, *, now: float, granted_at: float) -> float:
        """Seconds to wait before the token is replaced; 0: go on (which counts). CLOCK_BOOTTIME seconds."""
        if now - granted_at >= YOUNG:
            self._in_vain = 0
            return 0.0
        if self._in_vain and now < self._until:
            return self._until - now
        first, longest = VAIN
        self._until = now + min(first * 2 ** min(self._in_vain, 10), longest)
        self._in_vain += 1
        return 0.0
