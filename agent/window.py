"""The span of time that one run is about. Pure: schedule, spool and sources share it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Half-open, [since, until): what one window holds no other does. Both are aware."""

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        """Raises ValueError for moments without a zone, and for a window that holds nothing."""
        if self.since.tzinfo is None or self.until.tzinfo is None:
            raise ValueError("a window needs moments with a time zone")
        if self.since >= self.until:
            raise ValueError(f"a window must end after it begins: {self}")

    @classmethod
    def of(cls, since: float, until: float) -> Self:
        """From seconds since 1970, to the microsecond; the moments are in UTC."""
        return cls(since=datetime.fromtimestamp(since, UTC), until=datetime.fromtimestamp(until, UTC))

    @property
    def start(self) -> float:
        """`since` in seconds since 1970."""
        return self.since.timestamp()

    @property
    def end(self) -> float:
        """`until` in seconds since 1970."""
        return self.until.timestamp()

    def __str__(self) -> str:
        """As ISO 8601 writes an interval: `2026-01-01T00:00:00Z/2026-01-02T00:00:00Z`."""
        return f"{_utc(self.since)}/{_utc(self.until)}"


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
