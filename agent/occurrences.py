"""Which moments a schedule means. Pure arithmetic: no timer, no clock, no state.

    rule = Rule.of(schedule)
    rule.after(t)             the first occurrence strictly after t
    rule.before(t)            the last occurrence strictly before t
    rule.newest(a, b, n)      the newest n occurrences in (a, b]

All moments are seconds since 1970 in UTC.

`every` is aligned to 1970-01-01T00:00Z: every 30 s means :00 and :30 on all hosts, every 6 h means
00:00, 06:00, 12:00 and 18:00 in UTC, whatever the timezone.

`cron` is Debian's. Where minute or hour begin with `*`, it follows the passing of time: what lies in
the hour that spring leaves out does not happen, what lies in the hour that autumn repeats happens
twice. All others, and `at: HH:MM`, name a time of day, for which `dst` decides:

    dst      02:30 does not exist (spring)       02:30 exists twice (autumn)
    once     at the end of the gap, 03:00        the first time
    skip     not on that day                     the first time
    twice    at the end of the gap, 03:00        both times
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import lru_cache, partial
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from agent.config.model import Schedule

Dst: TypeAlias = Literal["once", "skip", "twice"]
_Walls: TypeAlias = Callable[[datetime], Iterable[datetime]]
"""`walls(start)`: the naive local times strictly after `start`, in order."""

_TIME_OF_DAY = re.compile(r"(\d\d):(\d\d)(?::(\d\d))?")
# No zone's offset has ever moved by more than a day (Samoa left out 2011-12-30 as a whole).
_WIDEST_CHANGE = 26 * 3600.0
# The first look back for the newest occurrences: cron has at most one a minute.
_DENSEST = 60.0
_WIDEN = 8.0
# The rarest cron text, a 29th of February on a given weekday, happens every 28 years.
_LONG_AGO = 28 * 366 * 86_400.0
# Occurrences are known to the microsecond.
_TICK = 1e-6


class ScheduleError(ValueError):
    """A schedule that means nothing; says why in the user's words."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The occurrences of one `every`, `cron` or `at`."""

    kind: Literal["every", "cron", "at"]
    ident: str
    """The schedule as stable text: equal texts have equal occurrences. Names it in the state."""
    period: int
    """Of `every`, in microseconds; 0 for the others."""
    cron: str
    dates: tuple[float, ...]
    """Of `at`: moments that come once, in order."""
    times: tuple[time, ...]
    """Of `at`: times of each day, in order."""
    zone: ZoneInfo
    dst: Dst

    @classmethod
    def of(cls, schedule: Schedule) -> Rule | None:
        """The rule of a schedule; None when it only watches. Raises ScheduleError."""
        make = partial(cls, ident=ident(schedule), zone=_zone(schedule.timezone), dst=schedule.dst)
        if schedule.every is not None:
            period = schedule.every // timedelta(microseconds=1)
            if period <= 0:
                raise ScheduleError("every must be longer than nothing")
            return make(kind="every", period=period, cron="", dates=(), times=())
        if schedule.cron is not None:
            _check_cron(schedule.cron)
            return make(kind="cron", period=0, cron=schedule.cron, dates=(), times=())
        if schedule.at:
            dates, times = _parse_at(schedule.at, _zone(schedule.timezone))
            return make(kind="at", period=0, cron="", dates=dates, times=times)
        return None

    def after(self, moment: float) -> float | None:
        """The first occurrence strictly after `moment`; None when there is none any more."""
        return next(self.following(moment), None)

    def before(self, moment: float) -> float | None:
        """The last occurrence strictly before `moment`; None when there was none in 28 years."""
        if self.kind == "every":
            step = int(moment * 1e6) // self.period + 1
            while step * self.period / 1e6 >= moment:
                step -= 1
            return step * self.period / 1e6
        found, _ = self.newest(moment - _LONG_AGO, moment - _TICK, 1)
        return found[0] if found else None

    def following(self, moment: float) -> Iterator[float]:
        """All occurrences strictly after `moment`, in order."""
        if self.kind == "every":
            return self._every(moment)
        if self.kind == "at":
            dates = (date for date in self.dates if date > moment)
            return _distinct(heapq.merge(dates, self._walls_after(moment, self._times_of_day)))
        # CronSim gets no zone: on the wall's clock alone it also knows changes of half an hour.
        return self._walls_after(moment, partial(CronSim, self.cron))

    def newest(self, start: float, end: float, limit: int) -> tuple[list[float], bool]:
        """The newest `limit` occurrences in (start, end], in order, and whether there were more.

        Its cost depends on `limit` and not on the span: a clock that was set on by ten years
        must not be answered with three hundred million occurrences.
        """
        if end <= start:
            return [], False
        span = self.period / 1e6 * limit if self.period else _DENSEST * limit
        while True:
            begin = max(start, end - span - 1)
            found = self._within(begin, end)
            if len(found) > limit:
                return found[-limit:], True
            if begin <= start:
                return found, False
            span *= _WIDEN

    def _within(self, start: float, end: float) -> list[float]:
        found = []
        for moment in self.following(start):
            if moment > end:
                break
            found.append(moment)
        return found

    def _every(self, moment: float) -> Iterator[float]:
        # Whole microseconds: floats would drift off the grid after some thousand steps.
        step = int(moment * 1e6) // self.period + 1
        while step * self.period / 1e6 <= moment:
            step += 1
        while True:
            yield step * self.period / 1e6
            step += 1

    def _times_of_day(self, start: datetime) -> Iterator[datetime]:
        day = start.date()
        while self.times:
            for moment in self.times:
                wall = datetime.combine(day, moment)
                if wall > start:
                    yield wall
            day += timedelta(days=1)

    def _walls_after(self, moment: float, walls: _Walls) -> Iterator[float]:
        """Times on a wall's clock, given by `walls`, as moments: in order, none twice."""
        last = moment
        waiting: list[float] = []
        rule: Dst | None = None if self.kind == "cron" and _follows_time(self.cron) else self.dst
        for wall in walls(_safe_start(moment, self.zone)):
            found = moments_of(wall, self.zone, rule)
            for each in found:
                heapq.heappush(waiting, each)
            # Later walls never give anything before the first moment of this one.
            while found and waiting and waiting[0] <= found[0]:
                each = heapq.heappop(waiting)
                if each > last:
                    last = each
                    yield each
        yield from (each for each in sorted(waiting) if each > last)


def ident(schedule: Schedule) -> str:
    """The timing of a schedule as stable text; what it does about jitter or missed runs is no part of it."""
    if schedule.every is not None:
        return f"every {schedule.every // timedelta(microseconds=1)}us"
    tail = f"{schedule.timezone} {schedule.dst}"
    if schedule.cron is not None:
        return f"cron {' '.join(schedule.cron.split())} {tail}"
    if schedule.at:
        return f"at {' '.join(sorted(schedule.at))} {tail}"
    return "watch"


def moments_of(wall: datetime, zone: ZoneInfo, dst: Dst | None) -> tuple[float, ...]:
    """The moments at which the clocks of `zone` show `wall`, by the rule of `dst` (None: as they do)."""
    first = wall.replace(tzinfo=zone, fold=0).timestamp()
    second = wall.replace(tzinfo=zone, fold=1).timestamp()
    if first == second:
        return (first,)
    if first < second:
        return (first, second) if dst in ("twice", None) else (first,)
    # PEP 495: in a gap fold=0 reads the wall with the offset before it, which lies after the change.
    return () if dst in ("skip", None) else (_change_between(second, first, zone),)


def _change_between(before: float, after: float, zone: ZoneInfo) -> float:
    """The second at which the offset changes, known to lie in (before, after]."""
    old = datetime.fromtimestamp(before, zone).utcoffset()
    low, high = int(before), int(after)
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == old:
            low = middle
        else:
            high = middle
    return float(high)


def _safe_start(moment: float, zone: ZoneInfo) -> datetime:
    """A wall time from which walking on meets every moment after `moment`, also around a change."""
    edges = (moment - _WIDEST_CHANGE, moment, moment + _WIDEST_CHANGE)
    shown = [datetime.fromtimestamp(edge, zone).utcoffset() or timedelta(0) for edge in edges]
    wall = datetime.fromtimestamp(moment, zone).replace(tzinfo=None)
    return wall - (max(shown) - min(shown))


def _follows_time(cron: str) -> bool:
    """Whether Debian's cron lets it follow the passing of time rather than the clock on the wall."""
    fields = cron.split()
    return len(fields) != 5 or fields[0].startswith("*") or fields[1].startswith("*")  # noqa: PLR2004


def _distinct(moments: Iterable[float]) -> Iterator[float]:
    last = None
    for moment in moments:
        if moment != last:
            yield moment
        last = moment


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as unknown:  # ZoneInfoNotFoundError is a KeyError
        raise ScheduleError(f"there is no timezone {name!r}") from unknown


@lru_cache(maxsize=1024)
def _check_cron(cron: str) -> None:
    try:
        # Walked up to its first match, so that "never" is found now and not later.
        next(CronSim(cron, datetime(2024, 1, 1)))  # noqa: DTZ001 - any wall clock
    except (CronSimError, StopIteration) as wrong:
        raise ScheduleError(_cron_trouble(cron, wrong)) from wrong


def _cron_trouble(cron: str, wrong: Exception) -> str:
    if isinstance(wrong, StopIteration):
        return f"{cron!r} never happens"
    words = str(wrong)
    return f"{cron!r} is no cron text: {words[:1].lower()}{words[1:]}"


def _parse_at(entries: tuple[str, ...], zone: ZoneInfo) -> tuple[tuple[float, ...], tuple[time, ...]]:
    dates: set[float] = set()
    times: set[time] = set()
    for entry in entries:
        try:
            daily = _TIME_OF_DAY.fullmatch(entry)
            if daily:
                hour, minute, second = (int(part) for part in daily.groups(default="0"))
                times.add(time(hour, minute, second))
            else:
                dates.add(_date_time(entry, zone))
        except (ValueError, OverflowError) as wrong:
            raise ScheduleError(f"{entry!r} is neither HH:MM[:SS] nor an RFC 3339 date-time") from wrong
    return tuple(sorted(dates)), tuple(sorted(times))


def _date_time(text: str, zone: ZoneInfo) -> float:
    """RFC 3339; a leap second is the second after it; without an offset it is read in `zone`."""
    leap = re.fullmatch(r"(.{10}.\d\d:\d\d):60(.*)", text)
    parsed = datetime.fromisoformat((f"{leap[1]}:59{leap[2]}" if leap else text).upper())
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=zone)
    return parsed.timestamp() + (1 if leap else 0)
