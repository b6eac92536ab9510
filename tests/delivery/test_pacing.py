from __future__ import annotations

import pytest

from agent.pacing import backoff, probe_after, retry_after

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"
LATER = "Wed, 21 Oct 2026 07:30:00 GMT"


def top():
    return 0.999999


def test_backoff_doubles_from_one_second_to_five_minutes():
    assert [round(backoff(n, top)) for n in (1, 2, 3, 4, 9, 10, 100_000)] == [1, 2, 4, 8, 256, 300, 300]


def test_del_24_backoff_has_full_jitter():
    assert backoff(10, lambda: 0.0) == 0.0
    assert backoff(10, lambda: 0.5) == 150.0


def test_probes_of_a_misdirected_lane_are_slow_from_the_first():
    assert probe_after(1, lambda: 0.0) == 30.0
    assert probe_after(50, lambda: 0.0) == 150.0
    assert probe_after(50, top) == pytest.approx(300, abs=1)


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        (["3"], 3.0),
        ([" 3 "], 3.0),
        (["0"], 0.0),
        (["1.5"], 1.5),
        (["-1"], None),
        (["9999999999"], 3600.0),
        (["9" * 400], None),
        (["soon"], None),
        ([""], None),
        ([], None),
        (["5", "90"], 90.0),
        (["junk", "7"], 7.0),
        (["Wed, 99 Foo 2026"], None),
        (["\u0663"], None),
    ],
)
def test_del_23_retry_after_that_is_odd_is_clamped_or_ignored(values, seconds):
    assert retry_after(values, date=None, now=0.0) == seconds


def test_del_22_a_date_is_measured_by_the_clock_of_the_answer():
    an_hour_off = 1_792_567_680.0 + 3600
    assert retry_after([LATER], date=DATE, now=an_hour_off) == 120.0


def test_del_22_a_date_without_a_date_header_is_measured_by_our_clock():
    assert retry_after([LATER], date=None, now=1_792_567_680.0 + 60) == 60.0
    assert retry_after([LATER], date="junk", now=1_792_567_680.0 + 60) == 60.0


def test_del_22_a_date_in_the_past_means_at_once():
    assert retry_after([DATE], date=LATER, now=0.0) == 0.0


def test_a_date_far_away_is_an_hour():
    assert retry_after(["Fri, 31 Dec 9999 23:59:59 GMT"], date=DATE, now=0.0) == 3600.0
