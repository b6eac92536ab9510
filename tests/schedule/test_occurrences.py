"""Cron and `at` against a brute-force oracle that walks minute by minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.occurrences import Rule, ScheduleError, ident, moments_of
from tests.support.schedules import schedule

MINUTE = timedelta(minutes=1)


def stamp(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def shown(moments: list[float], zone: str) -> list[str]:
    return [datetime.fromtimestamp(each, ZoneInfo(zone)).isoformat() for each in moments]


def rule(**fields: object) -> Rule:
    made = Rule.of(schedule(**fields))
    assert made is not None
    return made


# ------------------------------------------------------------------------------ the oracle


@cache
def numbers(field: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for term in field.split(","):
        span, _, step = term.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            begin, end = low, high
        else:
            begin = int(first)
            end = int(last) if last else (high if step else begin)
        found.update(range(begin, end + 1, int(step or 1)))
    return found


def matches(cron: str, wall: datetime) -> bool:
    minute, hour, day, month, weekday = cron.split()
    if wall.minute not in numbers(minute, 0, 59) or wall.hour not in numbers(hour, 0, 23):
        return False
    if wall.month not in numbers(month, 1, 12):
        return False
    by_day = wall.day in numbers(day, 1, 31)
    by_weekday = bool({wall.isoweekday(), wall.isoweekday() % 7} & numbers(weekday, 0, 7))
    both = day.startswith("*") or weekday.startswith("*")
    return (by_day and by_weekday) if both else (by_day or by_weekday)


def oracle(cron: str, zone: ZoneInfo, dst: str, start: datetime, end: datetime) -> list[float]:
    """Each minute that passes, with the minutes that clocks left out just before it and whether it comes again."""
    in_time = any(field.startswith("*") for field in cron.split()[:2])
    found = []
    now = start.astimezone(UTC) + MINUTE
    before = start.astimezone(zone).replace(tzinfo=None)
    shown_before = {(now - MINUTE * back).astimezone(zone).replace(tzinfo=None) for back in range(1, 60 * 26)}
    while now <= end:
        wall = now.astimezone(zone).replace(tzinfo=None)
        runs = matches(cron, wall)
        if not in_time:
            if dst != "twice" and wall in shown_before:
                runs = False
            left_out = before + MINUTE
            while dst != "skip" and left_out < wall:
                runs = runs or matches(cron, left_out)
                left_out += MINUTE
        if runs:
            found.append(now.timestamp())
        shown_before.add(wall)
        before = wall
        now += MINUTE
    return found


WEEKS = [
    ("Europe/Amsterdam", "2027-03-25"),
    ("Europe/Amsterdam", "2027-10-28"),
    ("America/New_York", "2027-03-11"),
    ("America/New_York", "2027-11-04"),
    ("Australia/Lord_Howe", "2027-04-01"),
    ("Australia/Lord_Howe", "2027-09-30"),
    ("America/Santiago", "2027-09-02"),
    ("Africa/Casablanca", "2027-02-05"),
    ("Asia/Kolkata", "2027-03-25"),
    ("UTC", "2028-02-26"),
]
CRONS = [
    "30 2 * * *", "0 2 * * *", "0 3 * * *", "15,45 1-3 * * *", "0 0 * * *", "59 23 * * 0",
    "*/15 * * * *", "0 * * * *", "*/20 2 * * *", "10 */2 * * *", "0-59/7 2 * * *", "0 5 * * 1-5",
    "30 2 1,29 * 0", "0 12 */2 * *", "45 1 * * 7", "0 0-23 * * *",
]  # fmt: skip


@pytest.mark.parametrize("dst", ["once", "skip", "twice"])
@pytest.mark.parametrize(("zone", "week"), WEEKS)
def test_clk_01_cron_agrees_with_the_oracle_in_weeks_of_clock_changes(zone, week, dst):
    start = datetime.fromisoformat(week).replace(tzinfo=ZoneInfo(zone))
    end = start.astimezone(UTC) + timedelta(days=4)
    for cron in CRONS:
        made = rule(cron=cron, timezone=zone, dst=dst)
        wanted = oracle(cron, ZoneInfo(zone), dst, start, end)
        found, more = made.newest(start.timestamp(), end.timestamp(), 10_000)
        assert (shown(found, zone), more) == (shown(wanted, zone), False), cron


@settings(max_examples=40, deadline=None)
@given(
    offset=st.integers(0, 3 * 24 * 60), cron=st.sampled_from(CRONS),
    week=st.sampled_from(WEEKS), dst=st.sampled_from(["once", "skip", "twice"]),
)  # fmt: skip
def test_clk_01_the_next_occurrence_does_not_depend_on_where_one_looks_from(offset, cron, week, dst):
    zone = ZoneInfo(week[0])
    start = datetime.fromisoformat(week[1]).replace(tzinfo=zone).astimezone(UTC)
    made = rule(cron=cron, timezone=week[0], dst=dst)
    every, _ = made.newest(start.timestamp(), start.timestamp() + 5 * 86400, 10_000)
    look = (start + MINUTE * offset).timestamp()
    assert made.after(look) == next((each for each in every if each > look), made.after(look))


def test_a_time_that_spring_leaves_out_comes_at_the_end_of_the_gap():
    made = rule(cron="30 2 * * *", timezone="Europe/Amsterdam")
    found = list(islice(made.following(stamp("2027-03-27T12:00")), 2))
    assert shown(found, "Europe/Amsterdam") == ["2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"]


def test_a_time_that_autumn_repeats_comes_once_or_twice_as_asked():
    for dst, wanted in [("once", ["+02:00"]), ("skip", ["+02:00"]), ("twice", ["+02:00", "+01:00"])]:
        made = rule(at=("02:30",), timezone="Europe/Amsterdam", dst=dst)
        found, _ = made.newest(stamp("2027-10-30T12:00"), stamp("2027-10-31T12:00"), 9)
        assert shown(found, "Europe/Amsterdam") == [f"2027-10-31T02:30:00{offset}" for offset in wanted]


def test_a_day_that_never_was_is_no_trap():
    samoa = ZoneInfo("Pacific/Apia")
    moment = moments_of(datetime(2011, 12, 30, 5, 0), samoa, "once")  # noqa: DTZ001
    assert shown(list(moment), "Pacific/Apia") == ["2011-12-31T00:00:00+14:00"]
    made = rule(cron="0 5 * * *", timezone="Pacific/Apia")
    found = list(islice(made.following(stamp("2011-12-29T20:00", "UTC") - 86400), 3))
    assert shown(found, "Pacific/Apia")[-1].startswith("2011-12-31T")


def test_every_is_aligned_to_the_clock_whenever_one_looks():
    made = rule(every=timedelta(seconds=30))
    start = stamp("2027-01-15T08:00:11")
    assert list(islice(made.following(start), 2)) == [start + 19, start + 49]
    assert made.after(start + 19) == start + 49


def test_every_stays_on_its_grid_for_odd_periods():
    made = rule(every=timedelta(milliseconds=200))
    moments = list(islice(made.following(1_800_000_000.05), 3000))
    assert [round(each * 1000) for each in moments] == [1_800_000_000_200 + 200 * i for i in range(3000)]
    assert all(made.after(before) == after for before, after in pairwise(moments))


@settings(max_examples=200, deadline=None)
@given(st.floats(-1e9, 1e10), st.integers(1, 10**13))
def test_every_is_strictly_after_and_at_most_a_period_away(moment, micros):
    found = rule(every=timedelta(microseconds=micros)).after(moment)
    assert moment < found <= moment + micros / 1e6 + 1e-5


def test_clk_04_leap_second_leap_day_31st_and_2038_do_not_crash():
    leap = rule(at=("2016-12-31T23:59:60Z", "2016-12-31t23:59:59z"))
    assert list(leap.following(0)) == [stamp("2016-12-31T23:59:59"), stamp("2017-01-01T00:00:00")]
    assert shown([rule(cron="0 0 29 2 *").after(stamp("2028-03-01"))], "UTC") == ["2032-02-29T00:00:00+00:00"]
    assert shown([rule(cron="0 0 31 * *").after(stamp("2027-01-31T00:00"))], "UTC") == [
        "2027-03-31T00:00:00+00:00"
    ]
    assert shown([rule(cron="14 3 19 1 *").after(stamp("2038-01-19T03:13"))], "UTC") == [
        "2038-01-19T03:14:00+00:00"
    ]
    assert shown([rule(every=timedelta(days=1)).after(stamp("2106-02-07T07:00"))], "UTC") == [
        "2106-02-08T00:00:00+00:00"
    ]


def test_at_takes_dates_once_and_times_each_day_in_its_timezone():
    made = rule(at=("2027-06-01T12:00:00+02:00", "08:15", "2027-06-02T00:00:00"), timezone="Europe/Amsterdam")
    found, _ = made.newest(stamp("2027-06-01"), stamp("2027-06-02T12:00"), 9)
    assert shown(found, "Europe/Amsterdam") == [
        "2027-06-01T08:15:00+02:00",
        "2027-06-01T12:00:00+02:00",
        "2027-06-02T00:00:00+02:00",
        "2027-06-02T08:15:00+02:00",
    ]
    assert rule(at=("2020-01-01T00:00:00Z",)).after(stamp("2027-01-01")) is None


def test_the_newest_occurrences_of_ten_years_cost_no_more_than_asked_for():
    start, end = stamp("2020-01-01"), stamp("2030-01-01")
    assert rule(every=timedelta(seconds=1)).newest(start, end, 2) == ([end - 1, end], True)
    assert rule(cron="* * * * *").newest(start, end, 2) == ([end - 60, end], True)
    assert rule(cron="0 0 1 1 *").newest(start, end, 2) == ([stamp("2029-01-01"), end], True)
    assert rule(cron="0 0 1 1 *").newest(start, end, 20)[1] is False
    assert rule(cron="0 0 1 1 *").newest(end, start, 20) == ([], False)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"cron": "61 * * * *"}, "'61 * * * *' is no cron text: bad minute"),
        ({"cron": "* * *"}, "'* * *' is no cron text: wrong number of fields"),
        ({"cron": "0 0 31 2 *"}, "'0 0 31 2 *' is no cron text: bad day-of-month"),
        ({"cron": "0 5 * * *", "timezone": "Europe/Atlantis"}, "there is no timezone 'Europe/Atlantis'"),
        ({"at": ("25:00",)}, "'25:00' is neither HH:MM[:SS] nor an RFC 3339 date-time"),
        ({"at": ("tomorrow",)}, "'tomorrow' is neither HH:MM[:SS] nor an RFC 3339 date-time"),
        ({"every": timedelta(0)}, "every must be longer than nothing"),
    ],
)
def test_a_schedule_that_means_nothing_says_why(fields, words):
    with pytest.raises(ScheduleError) as caught:
        rule(**fields)
    assert str(caught.value) == words


def test_the_ident_names_the_timing_and_nothing_else():
    plain = schedule(cron="0  5 * * *", timezone="Europe/Amsterdam")
    other = schedule(cron="0 5 * * *", timezone="Europe/Amsterdam", jitter=timedelta(seconds=9), missed="all")
    assert ident(plain) == ident(other) == "cron 0 5 * * * Europe/Amsterdam once"
    assert ident(schedule(every=timedelta(seconds=90))) == "every 90000000us"
    assert Rule.of(schedule(watch=True)) is None
