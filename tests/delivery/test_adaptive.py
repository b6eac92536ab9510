from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pacing.adaptive import QUIET, Window


def rounds(window, count, *, now=0.0, seconds=0.02):
    """So many rounds in which as many are in flight as may be; the sizes after each."""
    sizes = []
    for _ in range(count):
        now += seconds
        for _ in range(window.size):
            window.answered(seconds, window.size, now)
        sizes.append(window.size)
    return sizes


def test_it_begins_with_all_that_the_config_allows():
    window = Window(8)
    assert (window.size, window.why) == (8, "")
    rounds(window, 5)
    assert window.size == 8


def test_a_refusal_halves_it_down_to_one_and_good_answers_bring_it_back():
    window = Window(8)
    sizes = []
    for moment in range(1, 6):
        assert window.cut(moment - 0.5, moment, "429 Too Many Requests")
        sizes.append(window.size)
    assert sizes == [4, 2, 1, 1, 1]
    assert window.why == "429 Too Many Requests"
    assert rounds(window, 7, now=5.0) == [2, 3, 4, 5, 6, 7, 8]
    assert window.why == ""


def test_refusals_of_one_wave_are_one_cut():
    window = Window(16)
    assert [window.cut(1.0, 2.0, "503") for _ in range(16)] == [True, *[False] * 15]
    assert window.size == 8


def test_after_an_absence_it_doubles_up_to_the_half_and_then_grows_by_one():
    window = Window(16)
    window.restart(0.0, "it was away")
    assert window.size == 1
    assert rounds(window, 9) == [2, 4, 8, 9, 10, 11, 12, 13, 14]


def test_it_does_not_grow_while_answers_take_longer_than_they_did():
    window = Window(8)
    rounds(window, 3)
    window.cut(0.1, 1.0, "504 Gateway Timeout")
    assert rounds(window, 20, now=1.0, seconds=0.5) == [4] * 20
    assert rounds(window, 20, now=20.0)[-1] == 8


def test_what_was_not_used_up_says_nothing_about_one_more_until_it_was_quiet_for_long():
    window = Window(8)
    window.cut(0.5, 1.0, "429")
    for moment in range(2, 50):
        window.answered(0.02, 1, float(moment))
    assert window.size == 4
    for moment in range(100):
        window.answered(0.02, 1, 1.0 + QUIET + moment)
    assert window.size == 8


def test_another_limit_of_the_config_keeps_what_was_learned():
    window = Window(8)
    window.allow(20)
    assert window.size == 20
    window.cut(0.5, 1.0, "429")
    window.allow(40)
    assert (window.size, window.why) == (10, "429")
    window.allow(4)
    assert (window.size, window.why) == (4, "")


@pytest.mark.parametrize("ceiling", [1, 2, 1000])
@given(events=st.lists(st.sampled_from(["good", "slow", "cut", "restart"]), max_size=200))
def test_it_always_stays_between_one_and_the_ceiling(ceiling, events):
    window, now = Window(ceiling), 0.0
    for event in events:
        now += 1.0
        match event:
            case "good":
                window.answered(0.01, window.size, now)
            case "slow":
                window.answered(5.0, window.size, now)
            case "cut":
                window.cut(now - 0.5, now, "429")
            case _:
                window.restart(now, "it was away")
        assert 1 <= window.size <= ceiling
        assert bool(window.why) == (window.size < ceiling)
