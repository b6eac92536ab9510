"""How long to wait: backoff, Retry-After, rate limit. Pure: clock and random numbers are passed in."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TypeAlias

from agent.clock import Clock

Random: TypeAlias = Callable[[], float]
"""Gives numbers from 0 up to 1, such as `random.random`."""

BASE = 1.0
"""Seconds: the first backoff is at most this."""
CAP = 300.0
"""Seconds: nobody waits longer than 5 minutes because of our own backoff."""
LONGEST_RETRY_AFTER = 3600.0
"""Seconds: a target that asks for more is asked again after an hour; a typo must not stop a lane for days."""
FIRST_PROBE = 30.0
LAST_PROBE = 300.0

_SECONDS = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")


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


def retry_after(values: Sequence[str], *, date: str | None, now: float) -> float | None:
    """Seconds that Retry-After asks for (RFC 9110, 10.2.3), between 0 and an hour; None when unreadable.

    `values` are all Retry-After headers of the answer: of several the longest counts. An HTTP-date is
    measured against the answer's own `Date`, so that a wrong clock on either side does no harm; without
    one against `now`, wall clock seconds.
    """
    waits = [wait for value in values for wait in [_seconds_of(value.strip(), date, now)] if wait is not None]
    return min(max(waits), LONGEST_RETRY_AFTER) if waits else None


def _seconds_of(value: str, date: str | None, now: float) -> float | None:
    if _SECONDS.fullmatch(value):
        return float(value)
    until = _http_date(value)
    if until is None:
        return None
    theirs = _http_date(date) if date else None
    return max(0.0, until - (now if theirs is None else theirs))


def _http_date(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


class RateLimit:
    """At most `rate` starts a second, in the order in which they were asked for.

    Each caller books the next free moment and sleeps until then (GCRA), so waiters are served first
    come, first served. A tenth of a second's worth, at least one start, may come at once: otherwise a
    sleep that ends a millisecond late would lower the rate for ever. In any span of T seconds there
    are at most rate * T + max(1, rate / 10) starts.
    """

    def __init__(self, rate: float, clock: Clock) -> None:
        if not (rate > 0 and math.isfinite(rate)):
            raise ValueError("a rate is above 0")
        self._step = 1.0 / rate
        self._slack = max(self._step, 0.1) - self._step
        self._clock = clock
        self._next = -math.inf

    async def take(self) -> None:
        """Wait for one start. Cancelled while waiting, the start is forfeit."""
        now = self._clock.monotonic()
        mine = max(self._next, now - self._slack)
        self._next = mine + self._step
        if mine > now:
            await self._clock.sleep(mine - now)
