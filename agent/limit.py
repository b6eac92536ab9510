"""How much may lie in the spool, of one job or of all. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """At which collecting waits; None: there is none."""

    max_bytes: int | None = None
    """Of a job: its bodies before gzip. In all it is the database that counts, see `spool.quota`."""
    max_messages: int | None = None

    def __bool__(self) -> bool:
        return self.max_bytes is not None or self.max_messages is not None

    def share(self, messages: int, size: int) -> float:
        """How much of it is taken; 1.0 and above: it is full."""
        shares = [0.0]
        if self.max_messages is not None:
            shares.append(messages / self.max_messages)
        if self.max_bytes is not None:
            shares.append(size / self.max_bytes)
        return max(shares)

    def told(self, messages: int, size: int, whose: str = "") -> str:
        """`1,000,000 of 1,000,000 messages of job gps`: the part of it that is taken most."""
        of = f" of {whose}" if whose else ""
        by_count = Limit(max_messages=self.max_messages).share(messages, size)
        if self.max_messages is not None and by_count >= Limit(max_bytes=self.max_bytes).share(
            messages, size
        ):
            return f"{messages:,} of {self.max_messages:,} messages{of}"
        return f"{size:,} of {self.max_bytes or 0:,} bytes{of}"


NO_LIMIT = Limit()
HIGH = 0.8
"""From here on it is said, once."""
LOW = 0.7
"""Below it is well again: between the two nothing is said, so that the log does not flicker."""
