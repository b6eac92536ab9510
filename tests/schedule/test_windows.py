"""Which window comes next: whatever happens, no moment is left out and none is in two windows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.collect.windows import Grid, Steps, next_window, one_by_one, zone_of
from agent.occurrences import Rule
from agent.spool import WindowMark
from agent.window import Window
from tests.support.schedules import job, schedule

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
SCHEDULES = (
    {"every": timedelta(seconds=30)},
    {"every": timedelta(hours=7)},
    {"cron": "*/20 * * * *"},
    {"cron": "0 5 * * 1-5", "timezone": "Europe/Amsterdam"},
    {"cron": "30 2 * * *", "timezone": "Europe/Amsterdam"},
    {"cron": "30 2 * * *", "timezone": "Europe/Amsterdam", "dst": "skip"},
    {"cron": "30 2 * * *", "timezone": "Europe/Amsterdam", "dst": "twice"},
    {"cron": "15 * * * *", "timezone": "Australia/Lord_Howe"},
    {"at": ("00:00", "12:30"), "timezone": "America/Havana"},
)
# Around changes of the clocks, where a day has 23 or 25 hours.
MOMENTS = st.one_of(
    st.floats(1_500_000_000, 2_000_000_000),
    *(
        st.floats(-100_000, 100_000).map(lambda by, at=at: at + by)
        for at in (1_774_746_000.0, 1_792_890_000.0, 1_759_590_000.0)  # 2026-03-29, 2026-10-25, 2025-10-04
    ),
)


def stamp(text, zone="UTC"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def grid(*fields):
    return Grid.of(job("j", *(schedule(**each) for each in fields)))


def mark(done, wanted=None):
    return WindowMark(job="j", done=done, wanted=wanted, updated_at=0.0)


def local(window, zone=AMSTERDAM):
    return [moment.astimezone(zone).strftime("%m-%d %H:%M") for moment in (window.since, window.until)]


# ------------------------------------------------------------------------------ the occurrence before


@given(st.sampled_from(SCHEDULES), MOMENTS)
@settings(deadline=None, max_examples=150)
def test_the_occurrence_before_has_none_between_it_and_the_moment(fields, moment):
    rule = Rule.of(schedule(**fields))
    before = rule.before(moment)
    assert before is not None
    assert before < moment
    assert rule.after(before) is None or rule.after(before) >= moment


@given(st.sampled_from(SCHEDULES), MOMENTS)
@settings(deadline=None, max_examples=80)
def test_going_back_meets_the_same_occurrences_as_going_on(fields, moment):
    rule = Rule.of(schedule(**fields))
    onward = list(islice(rule.following(moment), 5))
    back = [onward[-1]]
    while len(back) < 5:
        back.append(rule.before(back[-1]))
    assert back[::-1] == onward


def test_a_rare_cron_text_and_dates_that_come_once_have_an_end_in_the_past():
    leap = Rule.of(schedule(cron="0 0 29 2 *"))
    assert leap.before(stamp("2027-01-01")) == stamp("2024-02-29")
    once = Rule.of(schedule(at=("2026-05-01T06:00:00Z", "2026-06-01T06:00:00Z")))
    assert once.before(stamp("2026-07-01")) == stamp("2026-06-01T06:00")
    assert once.before(stamp("2026-05-01T06:00")) is None


# ------------------------------------------------------------------------------ one after the other


@given(
    st.lists(st.sampled_from(SCHEDULES), min_size=1, max_size=2),
    MOMENTS,
    st.lists(st.tuples(st.floats(0, 200_000), st.sampled_from(["done", "failed", "killed"])), max_size=12),
    st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_windows_follow_each_other_without_a_gap_and_without_an_overlap(fields, start, looks, each):
    """However late a run looks, and whether it succeeds, fails or dies in the middle."""
    one, now, position = grid(*fields), start, None
    windows = []
    for wait, end in looks:
        now += wait
        for _ in range(40):
            window = next_window(one, position, now, each=each)
            if window is None:
                break
            assert window.end <= now, "it may still grow"
            if position is not None and position.wanted is not None:
                assert (window.start, window.end) == (position.done, position.wanted)
            if end != "done":
                position = mark(window.start, window.end)
                break
            windows.append(window)
            position = mark(window.end)
    assert all(left.until == right.since for left, right in pairwise(windows))
    if each:
        for window in windows:
            assert one.before(window.end) == window.start


@given(st.sampled_from(SCHEDULES), MOMENTS)
@settings(deadline=None, max_examples=60)
def test_the_first_window_is_the_one_before_the_first_occurrence(fields, now):
    one = grid(fields)
    window = next_window(one, None, now, each=False)
    assert window.end == one.last(now) <= now < one.after(now)
    assert window.start == one.before(window.end)


def test_jitter_and_lateness_do_not_move_a_window():
    one = grid({"every": timedelta(seconds=30)})
    base = stamp("2026-05-01T12:00:00")
    for late in (0.0, 0.001, 17.0, 29.999):
        assert next_window(one, None, base + late, each=False) == Window.of(base - 30, base)


def test_what_was_missed_comes_one_by_one_or_in_one_piece():
    one = grid({"cron": "0 5 * * *"})
    now, position = stamp("2026-05-05T05:00"), mark(stamp("2026-05-02T05:00"))
    assert local(next_window(one, position, now, each=True), UTC) == ["05-02 05:00", "05-03 05:00"]
    assert local(next_window(one, position, now, each=False), UTC) == ["05-02 05:00", "05-05 05:00"]


def test_a_window_that_was_begun_comes_again_as_it_was_before_any_other():
    one = grid({"cron": "0 5 * * *"})
    begun = mark(stamp("2026-05-02T05:00"), stamp("2026-05-03T05:00"))
    for each in (True, False):
        window = next_window(one, begun, stamp("2026-05-05T06:00"), each=each)
        assert local(window, UTC) == ["05-02 05:00", "05-03 05:00"]


def test_a_clock_that_was_set_back_waits_until_it_is_later_again():
    one = grid({"every": timedelta(seconds=30)})
    now = stamp("2026-05-01T12:00:00")
    assert next_window(one, mark(now + 3600), now, each=True) is None
    assert next_window(one, mark(now - 30, now + 30), now, each=True) == Window.of(now - 30, now)


@pytest.mark.parametrize(
    ("dst", "expected"),
    [
        ("once", [("03-28 02:30", "03-29 03:00"), ("03-29 03:00", "03-30 02:30")]),
        ("skip", [("03-28 02:30", "03-30 02:30"), ("03-30 02:30", "03-31 02:30")]),
    ],
)
def test_the_day_on_which_the_time_of_day_does_not_exist(dst, expected):
    one = grid({"cron": "30 2 * * *", "timezone": "Europe/Amsterdam", "dst": dst})
    position, found = mark(stamp("2026-03-28T02:30", "Europe/Amsterdam")), []
    for _ in range(2):
        window = next_window(one, position, stamp("2026-04-05"), each=True)
        found.append(tuple(local(window)))
        position = mark(window.end)
    assert found == expected


def test_the_hour_that_comes_twice_is_in_one_window_only():
    one = grid({"cron": "0 * * * *", "timezone": "Europe/Amsterdam"})
    position = mark(stamp("2026-10-25T00:00"))
    lengths = []
    for _ in range(4):
        window = next_window(one, position, stamp("2026-10-26"), each=True)
        lengths.append(window.end - window.start)
        position = mark(window.end)
    assert lengths == [3600.0] * 4


def test_several_schedules_cut_at_each_of_their_occurrences():
    one = grid({"cron": "0 6 * * *"}, {"cron": "0 18 * * *"})
    window = next_window(one, None, stamp("2026-05-01T12:00"), each=False)
    assert local(window, UTC) == ["04-30 18:00", "05-01 06:00"]


def test_a_date_that_comes_once_has_no_window_before_it():
    one = grid({"at": ("2026-05-01T06:00:00Z", "2026-06-01T06:00:00Z")})
    assert next_window(one, None, stamp("2026-05-01T06:00"), each=False) is None
    window = next_window(one, mark(stamp("2026-05-01T06:00")), stamp("2026-06-01T06:00"), each=False)
    assert local(window, UTC) == ["05-01 06:00", "06-01 06:00"]


def test_file_events_alone_make_no_windows():
    one = Grid.of(job("j", schedule(watch=True)))
    assert next_window(one, None, stamp("2026-05-01"), each=False) is None
    assert one.after(0.0) is None


def test_what_the_schedules_of_a_job_say_about_windows():
    twice = job("j", schedule(cron="0 5 * * *", timezone="Europe/Amsterdam"))
    assert zone_of(twice) == AMSTERDAM
    assert not one_by_one(twice)
    assert one_by_one(replace(twice, schedules=(*twice.schedules, schedule(cron="0 6 * * *", missed="all"))))
    assert zone_of(replace(twice, schedules=())) == ZoneInfo("UTC")


# ------------------------------------------------------------------------------ a span of the past


def steps(since, until, step, zone="UTC", **fields):
    return Steps(
        since=stamp(since, zone),
        until=stamp(until, zone),
        step=step,
        grid=grid(fields or {"every": timedelta(hours=1)}),
        zone=ZoneInfo(zone),
    )


def walk(span):
    found, done = [], span.since
    while (window := span.window_from(done)) is not None:
        found.append(window)
        done = window.end
    return found


@given(MOMENTS, st.floats(1, 2_000_000), st.sampled_from([None, 3600, 5400, 86_400, 172_800, 1000.5]))
@settings(deadline=None, max_examples=80)
def test_a_span_is_cut_without_a_gap_from_its_first_moment_to_its_last(start, length, seconds):
    begin = round(start, 3)
    until = round(begin + length, 3)
    span = Steps(
        since=begin,
        until=until,
        step=None if seconds is None else timedelta(seconds=seconds),
        grid=grid({"cron": "0 */6 * * *", "timezone": "Europe/Amsterdam"}),
        zone=AMSTERDAM,
    )
    found = walk(span)
    assert (found[0].start, found[-1].end) == (begin, until)
    assert all(left.until == right.since for left, right in pairwise(found))


def test_days_follow_the_calendar_and_not_the_hours():
    found = walk(steps("2026-03-28", "2026-03-31", timedelta(days=1), "Europe/Amsterdam"))
    assert [local(window) for window in found] == [
        ["03-28 00:00", "03-29 00:00"],
        ["03-29 00:00", "03-30 00:00"],
        ["03-30 00:00", "03-31 00:00"],
    ]
    assert [window.end - window.start for window in found] == [86_400.0, 82_800.0, 86_400.0]


def test_hours_are_hours_and_the_last_window_may_be_shorter():
    found = walk(steps("2026-01-01T00:10", "2026-01-01T04:00", timedelta(hours=1.5)))
    assert [local(window, UTC) for window in found] == [
        ["01-01 00:10", "01-01 01:40"],
        ["01-01 01:40", "01-01 03:10"],
        ["01-01 03:10", "01-01 04:00"],
    ]


def test_without_a_step_the_schedule_cuts():
    span = steps("2026-05-01T03:00", "2026-05-02T12:00", None, cron="0 5 * * *")
    assert [local(window, UTC) for window in walk(span)] == [
        ["05-01 03:00", "05-01 05:00"],
        ["05-01 05:00", "05-02 05:00"],
        ["05-02 05:00", "05-02 12:00"],
    ]


# ------------------------------------------------------------------------------ the value itself


def test_a_window_has_a_zone_a_length_and_a_text():
    window = Window.of(1_767_225_600.0, 1_767_225_600.5)
    assert str(window) == "2026-01-01T00:00:00Z/2026-01-01T00:00:00.500000Z"
    assert (window.start, window.end) == (1_767_225_600.0, 1_767_225_600.5)
    with pytest.raises(ValueError, match="must end after it begins"):
        Window.of(1.0, 1.0)
    with pytest.raises(ValueError, match="time zone"):
        Window(since=datetime(2026, 1, 1), until=datetime(2026, 1, 2, tzinfo=UTC))  # noqa: DTZ001
