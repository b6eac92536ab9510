"""Numbers and times in words, wherever they are told: `1 record`, `2,000 records`, `4th`."""

from __future__ import annotations

from datetime import UTC, datetime


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th … 11th … 21st."""
    if number % 100 in {11, 12, 13}:
        return f"{number}th"
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def rfc3339(seconds: float) -> str:
    """Wall clock seconds as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def number(count: int) -> str:
    """1234567 → `1,234,567`."""
    return f"{count:,}"


def counted(count: int, word: str, plural: str = "") -> str:
    """`1 record`, `2 records`."""
    return f"{number(count)} {word}" if count == 1 else f"{number(count)} {plural or word + 's'}"
