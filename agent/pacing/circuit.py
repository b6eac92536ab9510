"""One probe instead of a thousand retries while a host is away.

    closed ── 5 failures of the host in a row, of 2 lanes at least ──▶ open
      ▲                                                                 │ when the time has come, one
      └── any answer of the host ──────────────────────── probe ◀───────┘ that waits may try
                                                            │
                                    no answer: the next one later, 1 s to 5 min

One lane alone never opens it: its own backoff does the same, and the fault may lie in its message (which
makes the target time out, say), which must not stop others.
"""

from __future__ import annotations

from collections.abc import Hashable

from agent.pacing.backoff import BASE, CAP, Random

FAILURES = 5
"""In a row, without an answer of the host to anybody in between."""
_SHARE = 0.05
"""Of the time that the host is away: so it is missed for a twentieth of its absence more, at most 5 min."""


class Circuit:
    """Of one origin. Times are monotonic seconds."""

    __slots__ = (
        "_first",
        "_random",
        "_several",
        "failures",
        "open",
        "openings",
        "probe_at",
        "prober",
        "reason",
        "since",
    )

    def __init__(self, random: Random) -> None:
        self.open = False
        self.openings = 0
        """How often it opened, ever."""
        self.failures = 0
        """In a row."""
        self.since = 0.0
        """When the first of them was."""
        self.reason = ""
        """Of the last one."""
        self.probe_at = 0.0
        self.prober: Hashable = None
        """Who tries now; None: nobody."""
        self._first: Hashable = None
        self._several = False
        self._random = random

    def failed(self, who: Hashable, reason: str, now: float) -> bool:
        """The host did not answer `who`. True when this opens the circuit."""
        self.reason = reason
        if self.open:
            if who == self.prober:
                self.prober = None
                self.probe_at = now + self._interval(now)
            return False
        if self.failures == 0:
            self._first, self._several, self.since = who, False, now
        self.failures += 1
        self._several = self._several or who != self._first
        if self.failures < FAILURES or not self._several:
            return False
        self.open = True
        self.openings += 1
        self.probe_at = now + self._interval(now)
        return True

    def answered(self) -> bool:
        """The host answered somebody. True when this closes the circuit."""
        self.failures = 0
        self.prober = None
        if not self.open:
            return False
        self.open = False
        return True

    def may_probe(self, now: float) -> bool:
        """Whether one may try now; only asked while it is open."""
        return self.prober is None and now >= self.probe_at

    def _interval(self, now: float) -> float:
        longest = min(max((now - self.since) * _SHARE, BASE), CAP)
        return longest * (0.5 + 0.5 * self._random())
