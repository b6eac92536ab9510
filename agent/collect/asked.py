"""What a person asked a backfill to be: texts of a command line → a span and its windows. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from agent.collect.windows import Grid, Steps, zone_of
from agent.config.model import Job, uses_window
from agent.config.units import UnitError, parse_duration
from agent.errors import UsageError
from agent.occurrences import moments_of

_SHORTEST = 1.0
"""Seconds of a step."""
_MOST = 1_000_000
"""Windows of a step that is given: more of them are a typing error."""
_FORMS = "write 2026-01-31, 2026-01-31T06:00 (in the job's time zone) or 2026-01-31T06:00:00+01:00"
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A backfill, as it was asked for. Moments are seconds since 1970."""

    since: float
    until: float
    step: str
    """As it was written; "" for the windows of the job's own schedule."""
    steps: Steps

    def same_as(self, other: Asked) -> bool:
        """Whether both mean the same windows."""
        return (self.since, self.until, self.step) == (other.since, other.until, other.step)


def asked(job: Job, since: str, until: str, step: str, *, now: float) -> Asked:
    """`--from`, `--to` and `--step` of a job, checked. `step` may be "". Raises UsageError."""
    if not uses_window(job.source):
        raise UsageError(
            f"{job.name} reads the same, whatever the window is: its source uses neither since nor until",
            hint="a backfill needs `… WHERE ts >= :since AND ts < :until` in its query (docs/WINDOWS.md)",
        )
    zone, grid = zone_of(job), Grid.of(job)
    begin, end = _moment("--from", since, zone), _moment("--to", until, zone)
    if begin >= end:
        raise UsageError(
            f"--from {since} is not before --to {until}", hint="--to is the first moment that is left out"
        )
    if end > now:
        latest = datetime.fromtimestamp(now, zone).isoformat(timespec="seconds")
        raise UsageError(f"--to {until} lies in the future", hint=f"the latest that is possible is {latest}")
    length = _length(step, end - begin) if step else None
    if length is None and grid.after(begin) is None and grid.before(end) is None:
        raise UsageError(
            f"the schedule of {job.name} has no interval of its own", hint="add --step, for example --step 1d"
        )
    return Asked(
        since=begin,
        until=end,
        step=step,
        steps=Steps(since=begin, until=end, step=length, grid=grid, zone=zone),
    )


def _length(step: str, span: float) -> timedelta:
    try:
        length = parse_duration(step)
    except UnitError as error:
        raise UsageError(f"--step: {error.message}", hint=error.hint or "write 30s, 5m, 2h or 1d") from error
    if length.total_seconds() < _SHORTEST:
        raise UsageError(f"--step {step} is shorter than a second", hint="write 30s, 5m, 2h or 1d")
    if (count := span / length.total_seconds()) > _MOST:
        raise UsageError(f"these would be {count:,.0f} windows", hint="make --step longer")
    return length


def _moment(option: str, text: str, zone: ZoneInfo) -> float:
    try:
        if _DAY.fullmatch(text):
            wall = datetime.combine(date.fromisoformat(text), time())
        else:
            wall = datetime.fromisoformat(text.upper())
        # A wall time that the clocks left out is the moment at which they did so.
        return moments_of(wall, zone, "once")[0] if wall.tzinfo is None else wall.timestamp()
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{option} {text} is no date or time", hint=_FORMS) from error
