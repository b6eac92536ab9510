"""What an answer asks for in its headers: Retry-After, and the RateLimit fields in the forms that there are.

    Retry-After: 30                         Retry-After: Wed, 21 Oct 2026 07:28:00 GMT
    RateLimit: "default";r=0;t=30           RateLimit-Policy: "default";q=100;w=60
    RateLimit: limit=100, remaining=0, reset=30
    RateLimit-Remaining: 0                  RateLimit-Reset: 30
    X-RateLimit-Remaining: 0                X-RateLimit-Reset: 1792567680       (seconds, or since 1970)

Whatever cannot be read is as if it were not there: junk must neither stop a connection nor end its pause.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Protocol

LONGEST_PAUSE = 3600.0
"""Seconds: a target that asks for more is asked again after an hour; a typo must not stop a lane for days."""

_SECONDS = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")
_COUNT = re.compile(r"[0-9]{1,15}")
_FORMS = (
    ("RateLimit-Remaining", "RateLimit-Reset"),
    ("X-RateLimit-Remaining", "X-RateLimit-Reset"),
    ("X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"),
)
_PARTS = re.compile(r"""\s*;\s*([a-z*][a-z0-9_.*-]*)\s*=\s*("[^"]*"|[^;,\s]+)""")
_ITEM = re.compile(
    r"""\s*("[^"]*"|[A-Za-z0-9_.*/:-]+)((?:\s*;\s*[a-z*][a-z0-9_.*-]*\s*=\s*(?:"[^"]*"|[^;,\s]+))*)\s*(?:,|$)"""
)
_PAIR = re.compile(r"\s*(limit|remaining|reset)\s*=\s*([^,;\s]+)\s*(?:;[^,]*)?(?:,|$)")
_EPOCH = 900_000_000.0
"""A reset beyond this is a moment since 1970 (this is 1998), not a number of seconds (28 years)."""
_EPOCH_MS = 900_000_000_000.0
_LONGEST_FIELD = 1_000


class Headers(Protocol):
    """Of an answer; names in any case."""

    def __contains__(self, name: object, /) -> bool:
        """Whether there is such a field."""

    def getall(self, name: str, default: Sequence[str], /) -> Sequence[str]:
        """All fields of that name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """What a target still grants."""

    remaining: int
    """Requests."""
    seconds: float
    """Until there are more; 0 to an hour."""


def retry_after(values: Sequence[str], *, date: str | None, now: float) -> float | None:
    """Seconds that Retry-After asks for (RFC 9110, 10.2.3), between 0 and an hour; None when unreadable.

    `values` are all Retry-After headers of the answer: of several the longest counts. An HTTP-date is
    measured against the answer's own `Date`, so that a wrong clock on either side does no harm; without
    one against `now`, wall clock seconds.
    """
    waits = [wait for value in values for wait in [_seconds_of(value.strip(), date, now)] if wait is not None]
    return min(max(waits), LONGEST_PAUSE) if waits else None


def tells_quota(headers: Headers) -> bool:
    """Whether there is anything to read at all: asked of every answer, and most have nothing."""
    return (
        "RateLimit-Remaining" in headers
        or "X-RateLimit-Remaining" in headers
        or "RateLimit" in headers
        or "X-Rate-Limit-Remaining" in headers
    )


def quota_of(headers: Headers, *, now: float) -> Quota | None:
    """The narrowest quota that an answer tells of; None when it tells of none that can be read.

    `now`: wall clock seconds, for a reset that is a moment and an answer without `Date`.
    """
    found = list(_listed(headers)) if "RateLimit" in headers else []
    for remaining, reset in _FORMS:
        if remaining in headers:
            left, wait = _count(headers, remaining), _reset(headers, reset, now)
            if left is not None and wait is not None:
                found.append(Quota(remaining=left, seconds=wait))
    return min(found, key=lambda one: (one.remaining, -one.seconds)) if found else None


def _count(headers: Headers, name: str) -> int | None:
    """The smallest of the numbers, if they all are some."""
    counts = [value.strip() for value in headers.getall(name, ())]
    if not counts or not all(_COUNT.fullmatch(each) and each.isascii() for each in counts):
        return None
    return min(int(each) for each in counts)


def _reset(headers: Headers, name: str, now: float) -> float | None:
    date = next(iter(headers.getall("Date", ())), None)
    theirs = _http_date(date) if date else None
    waits = []
    for value in headers.getall(name, ()):
        text = value.strip()
        if _SECONDS.fullmatch(text) and text.isascii():
            seconds = float(text)
            if seconds >= _EPOCH_MS:
                seconds /= 1000.0
            if seconds >= _EPOCH:
                seconds -= now if theirs is None else theirs
        elif (moment := _http_date(text)) is not None:
            seconds = moment - (now if theirs is None else theirs)
        else:
            return None
        waits.append(min(max(0.0, seconds), LONGEST_PAUSE))
    return max(waits) if waits else None


def _listed(headers: Headers) -> Iterator[Quota]:
    """Out of the field RateLimit: a structured list (draft 7 and later), or pairs (before)."""
    text = ", ".join(headers.getall("RateLimit", ()))
    if len(text) > _LONGEST_FIELD:
        return
    pairs = {name: value for name, value in _PAIR.findall(text) if _COUNT.fullmatch(value)}
    if "remaining" in pairs and "reset" in pairs:
        yield Quota(remaining=int(pairs["remaining"]), seconds=min(float(pairs["reset"]), LONGEST_PAUSE))
        return
    windows = {
        name: parts.get("w") for name, parts in _items(", ".join(headers.getall("RateLimit-Policy", ())))
    }
    for name, parts in _items(text):
        left, wait = parts.get("r"), parts.get("t", windows.get(name))
        if left is not None and wait is not None:
            yield Quota(remaining=left, seconds=min(float(wait), LONGEST_PAUSE))


def _items(text: str) -> Iterator[tuple[str, dict[str, int]]]:
    """`"name";r=1;t=2, …` → (name, {r: 1, t: 2}); ends where it is not one any more."""
    at = 0
    while at < len(text) <= _LONGEST_FIELD and (match := _ITEM.match(text, at)):
        numbers = {name: value for name, value in _PARTS.findall(match[2]) if _COUNT.fullmatch(value)}
        yield match[1].strip('"'), {name: int(value) for name, value in numbers.items()}
        at = match.end()


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
