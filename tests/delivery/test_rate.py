from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pacing import RateLimit

RATES = st.sampled_from([0.1, 0.5, 1.0, 2.5, 7.0, 10.0, 20.0, 99.9, 1000.0, 2500.0])


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_a_rate_limit_without_sense_is_refused(rate):
    with pytest.raises(ValueError, match="above 0"):
        RateLimit(rate)


def starts_of(limit, count, *, begin=0.0, late=lambda _: 0.0):
    """When so many start whose timers end `late`."""
    now, starts = begin, []
    for number in range(count):
        wait = limit.wait(now)
        if wait > 0:
            now += wait + late(number)
            assert limit.wait(now) <= 1e-9
        limit.start(now)
        starts.append(now)
    return starts


def most_in_a_second(starts):
    most = first = 0
    for last, moment in enumerate(starts):
        while starts[first] <= moment - 1.0 + 1e-9:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_a_rate_holds_in_every_second_and_is_reached():
    starts = starts_of(RateLimit(20), 400)
    assert most_in_a_second(starts) == 20
    assert starts[-1] == pytest.approx(399 / 20, abs=0.11)


def test_an_idle_rate_limit_saves_up_no_more_than_a_tenth_of_a_second():
    starts = starts_of(RateLimit(100), 50, begin=3600.0)
    assert sum(moment == starts[0] for moment in starts) <= 10


def test_timers_that_end_late_cost_no_more_than_they_are_late():
    starts = starts_of(RateLimit(50), 500, late=lambda _: 0.002)
    assert starts[-1] <= 499 / 50 * 1.003


@given(
    rate=RATES,
    gaps=st.lists(st.floats(0, 3, allow_nan=False), max_size=40),
    late=st.lists(st.floats(0, 0.5, allow_nan=False), min_size=1, max_size=7),
)
def test_no_second_sees_more_starts_than_the_rate(rate, gaps, late):
    limit, now, starts = RateLimit(rate), 0.0, []
    for number in range(200):
        if number < len(gaps):
            now += gaps[number]
        wait = limit.wait(now)
        if wait > 0:
            now += wait + late[number % len(late)]
        limit.start(now)
        starts.append(now)
    whole = max(1, -int(-rate // 1))
    assert most_in_a_second(starts) <= whole


@given(rate=RATES, other=RATES, count=st.integers(0, 60))
def test_another_rate_is_no_fresh_start(rate, other, count):
    before, after = RateLimit(rate), RateLimit(other)
    starts = starts_of(before, count)
    after.follow(before)
    now = starts[-1] if starts else 0.0
    assert after.wait(now) >= (1 / other - 1e-9 if starts else 0)
    further = starts_of(after, 60, begin=now)
    assert most_in_a_second(further) <= max(1, -int(-other // 1))
