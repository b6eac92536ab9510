"""What happens to occurrences that nobody was awake for. Pure.

    missed    what runs, in order                     what is reported as skipped
    latest    the last one                            the others
    all       all of them, the newest 10,000          those before
    none      none                                    all of them

An occurrence that is only a little late was not missed: it runs whatever the rule says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from agent.occurrences import Rule

Missed: TypeAlias = Literal["latest", "all", "none"]

ALL_AT_MOST = 10_000
# A night without a job of every second must not become 30,000 rows in the state.
NAMED_AT_MOST = 20
# A busy moment, or one that a clock's tick found: seconds.
ON_TIME = 10.0
# As in Debian's cron: a clock that is set by more than this was wrong, one set by less was adjusted.
ADJUSTMENT = 3 * 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What to do about the occurrences of one span."""

    run: list[float] = field(default_factory=list)
    skip: list[tuple[float, str]] = field(default_factory=list)
    """Occurrence and reason; the first may stand for all before it, and says so."""


def judge(rule: Rule, start: float, end: float, missed: Missed, why: str) -> Verdict:
    """Decide about the occurrences in (start, end]; `why` says in words why they did not run in time."""
    limit = ALL_AT_MOST if missed == "all" else NAMED_AT_MOST + 1
    times, more = rule.newest(start, end, limit)
    if not times:
        return Verdict()
    on_time = end - times[-1] <= ON_TIME
    one = times[-1:] if missed == "latest" or on_time else []
    run = times if missed == "all" else one
    rest = times[: len(times) - len(run)]
    skip = [(moment, f"{why} (missed: {missed})") for moment in rest]
    if more:
        skip.insert(0, (start, f"{why}: all after this one and before {_stamp(times[0])} (missed: {missed})"))
    return Verdict(run=run, skip=skip)


def _stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
