"""How long a lane waits by itself before it tries again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Random: TypeAlias = Callable[[], float]
"""Gives numbers from 0 up to 1, such as `random.random`."""

BASE = 1.0
"""Seconds: the first backoff is at most this."""
CAP = 300.0
"""Seconds: nobody waits longer than 5 minutes because of our own backoff."""
FIRST_PROBE = 30.0
LAST_PROBE = 300.0


def backoff(failures: int, random: Random) -> float:
    """Seconds before the next try after `failures` (from 1) in a row: exponential, full jitter.

    Full jitter spreads many lanes over the whole interval, so that a target which comes back is not
    met by all of them at once.
    """
    return random() * min(CAP, BASE * 2.0 ** min(max(failures, 1) - 1, 32))


def probe_after(failures: int, random: Random) -> float:
    """Seconds before a misdirected lane tries again: 30 s to 5 min, half of it jitter.

    Only a person can mend what is wrong there, so a quick retry is of no use; but nobody should have
    to tell the agent when it is mended.
    """
    longest = min(LAST_PROBE, FIRST_PROBE * 2.0 ** min(max(failures, 1) - 1, 16))
    return max(FIRST_PROBE, longest * (0.5 + 0.5 * random()))
