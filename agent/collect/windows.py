"""Which window of time a job's next run is about. Pure arithmetic over its schedules.

    ───●─────────●─────────●─────────●─────────●──▶ occurrences of all its schedules together
       │         └ done: all before it is in the spool                   due ┘
       │
    never any window     [the occurrence before, the occurrence]
    begun and not done   the very same again, before any other
    missed: all          [done, the occurrence after it), then the next one, …
    else                 [done, the last occurrence): what was missed, skipped or overlapped in one piece

Windows begin where the one before ended, whatever happened in between: no moment is left out, none is in
two. When a run happens to start has no say in it, and neither have jitter, `missed` or `overlap`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from agent.config.model import Job
from agent.occurrences import Rule, ScheduleError, moments_of
from agent.spool import WindowMark
from agent.window import Window

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Grid:
    """The moments at which windows end: seconds since 1970."""

    rules: tuple[Rule, ...]

    @classmethod
    def of(cls, job: Job) -> Self:
        """Of all schedules of the job. File events have no place in it."""
        rules = []
        for schedule in job.schedules:
            try:
                rule = Rule.of(schedule)
            except ScheduleError:  # validate has refused it already
                continue
            if rule is not None:
                rules.append(rule)
        return cls(tuple(rules))

    def after(self, moment: float) -> float | None:
        """The first strictly after it."""
        return min(_some([rule.after(moment) for rule in self.rules]), default=None)

    def before(self, moment: float) -> float | None:
        """The last strictly before it."""
        return max(_some([rule.before(moment) for rule in self.rules]), default=None)

    def last(self, moment: float) -> float | None:
        """The last one up to and with it."""
        found = self.before(moment)
        following = self.after(moment if found is None else found)
        return following if following is not None and following <= moment else found


def _some(moments: Sequence[float | None]) -> list[float]:
    return [moment for moment in moments if moment is not None]


def next_window(grid: Grid, mark: WindowMark | None, now: float, *, each: bool) -> Window | None:
    """The window that is to be pulled next; None when nothing is due. `each`: `missed: all`."""
    end = grid.last(now)
    if mark is None:
        begin = grid.before(end) if end is not None else None
        return Window.of(begin, end) if begin is not None and end is not None else None
    if mark.wanted is not None and mark.done < mark.wanted <= now:
        return Window.of(mark.done, mark.wanted)
    if end is None or end <= mark.done:
        return None
    until = grid.after(mark.done) if each else end
    return Window.of(mark.done, until) if until is not None else None


def one_by_one(job: Job) -> bool:
    """Whether each missed window is pulled by itself."""
    return any(schedule.missed == "all" for schedule in job.schedules)


def zone_of(job: Job) -> ZoneInfo:
    """In which the job's days begin."""
    return ZoneInfo(job.timezone)


@dataclass(frozen=True, kw_only=True, slots=True)
class Steps:
    """How a span of the past is cut into windows."""

    since: float
    until: float
    step: timedelta | None
    """None: at the occurrences of `grid`."""
    grid: Grid
    zone: ZoneInfo

    def window_from(self, done: float) -> Window | None:
        """The window that begins where the last one ended; None when all is done."""
        if done >= self.until:
            return None
        end = self.grid.after(done) if self.step is None else self._after(done, self.step)
        return Window.of(done, self.until if end is None else min(end, self.until))

    def _after(self, moment: float, step: timedelta) -> float:
        seconds = step.total_seconds()
        if seconds % _DAY:
            return self.since + (int((moment - self.since) / seconds + 1e-9) + 1) * seconds
        # Days follow the calendar: one of them has 23 hours, another one 25.
        first = datetime.fromtimestamp(self.since, self.zone).replace(tzinfo=None)
        count = max(int((moment - self.since) / seconds) - 1, 0)
        while (found := _moment_of(first + step * count, self.zone)) <= moment:
            count += 1
        return found


def _moment_of(wall: datetime, zone: ZoneInfo) -> float:
    return moments_of(wall, zone, "once")[0]
