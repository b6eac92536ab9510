"""How many requests are in flight at most: what the config allows, less while the target cannot cope.

    full ── 429, 503, 504, no answer in time ──▶ half (never below 1)
      ▲                                           │
      └── a good answer: one more up to the half, then one more for each round; only while
          the answers take no longer than they used to

It begins at what the config allows: who never meets a refusal never notices this.
"""

from __future__ import annotations

import math

QUIET = 60.0
"""Seconds after a cut from which on it grows also without having been used to its limit."""
_FLAT = 2.0
_FLAT_SECONDS = 0.05
"""Answers count as quick as ever up to _FLAT times the quickest and this."""
_SMOOTH = 0.125
_DRIFT = 0.002
"""How fast the quickest is forgotten below the ceiling: slower for good is not held to its best day."""


class Window:
    """The number for one origin. Times are monotonic seconds."""

    __slots__ = ("_cut_at", "_exact", "_recent", "_to_half", "ceiling", "quickest", "size", "why")

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.size = ceiling
        """Requests that may be in flight."""
        self.why = ""
        """The reason for being below the ceiling; "" when it is not."""
        self._exact = float(ceiling)
        self._to_half = 1.0
        """Up to here each good answer makes room for one more."""
        self._cut_at = -math.inf
        self.quickest = math.inf
        """Seconds: the shortest that an answer took."""
        self._recent = 0.0

    def answered(self, seconds: float, in_flight: int, now: float) -> None:
        """A good answer took so long; `in_flight` counts it too."""
        self.quickest = min(self.quickest, seconds)
        if self.size == self.ceiling:
            return
        self.quickest += (seconds - self.quickest) * _DRIFT
        self._recent += (seconds - self._recent) * _SMOOTH
        if now - seconds >= self._cut_at:  # what was sent before that says nothing
            self._grow(in_flight, now)

    def cut(self, began: float, now: float, why: str) -> bool:
        """Too much at once: halve. False when that was done since this request began: one wave, one cut."""
        if began <= self._cut_at:
            return False
        self._cut_at = now
        if self.size == self.ceiling:
            self._recent = 0.0
        self.why = why
        self._set(self._exact / 2.0)
        self._to_half = self._exact
        return True

    def restart(self, now: float, why: str) -> None:
        """The target was away: begin with one, and double with each round up to the half of the ceiling."""
        self._cut_at = now
        self._to_half = max(1.0, self.ceiling / 2.0)
        self.quickest, self._recent = math.inf, 0.0
        self.why = why
        self._set(1.0)

    def allow(self, ceiling: int) -> None:
        """The config says another number."""
        whole = self.size == self.ceiling
        self.ceiling = ceiling
        self._set(float(ceiling) if whole else self._exact)

    def _grow(self, in_flight: int, now: float) -> None:
        if in_flight < self.size and now - self._cut_at < QUIET:
            return  # it was not used up: this answer says nothing about one more
        if self._recent > self.quickest * _FLAT + _FLAT_SECONDS:
            return
        self._set(self._exact + (1.0 if self._exact < self._to_half else 1.0 / self.size))

    def _set(self, exact: float) -> None:
        self._exact = min(max(exact, 1.0), float(self.ceiling))
        self.size = int(self._exact + 1e-6)  # three thirds are a little less than one
        if self.size >= self.ceiling:
            self._exact, self.why = float(self.ceiling), ""
