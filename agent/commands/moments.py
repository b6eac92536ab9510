"""Spans and moments as people write them on the command line: `2h`, `2h` ago, a date, a date and time."""

from __future__ import annotations

from datetime import datetime

from agent.errors import UsageError

MOMENT = "TIME"
"""How a moment is called in the usage of an option (click's metavar)."""
WAYS = "2h or 7d ago, a date, or a date and time"
"""How a moment may be written, for the help of an option."""


def moment_of(option: str, text: str, now: float) -> float:
    """Seconds since 1970. Without a zone it is the machine's. Raises UsageError."""
    from agent.config.units import UnitError, parse_duration  # noqa: PLC0415 - the config costs 150 ms

    try:
        return now - parse_duration(text).total_seconds()
    except (UnitError, OverflowError):
        pass
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        hint = "write 2h or 7d (so long ago), 2026-11-26, or 2026-11-26T06:00:00+01:00"
        raise UsageError(f"{option} {text!r} is no time", hint=hint) from None


def seconds_of(option: str, text: str) -> float:
    """A duration as it is written in YAML. Raises UsageError."""
    from agent.config.units import UnitError, parse_duration  # noqa: PLC0415 - the config costs 150 ms

    try:
        return parse_duration(text).total_seconds()
    except UnitError as error:
        raise UsageError(f"{option}: {error.message}", hint=error.hint) from None
