from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config.cron import cron_trouble

PART = st.one_of(
    st.sampled_from(
        [
            "*",
            "*/5",
            "1-5",
            "1,2",
            "mon",
            "jan-mar",
            "sun",
            "0",
            "7",
            "31",
            "59",
            "5-1",
            "1-10/3",
            "60",
            "*/0",
        ]
    ),
    st.integers(0, 70).map(str),
    st.text("0123456789*/-,#Lmonjau", min_size=1, max_size=6),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(PART, min_size=4, max_size=6).map(" ".join))
def test_what_the_check_accepts_the_scheduler_can_run(text):
    if cron_trouble(text) is None:
        moment = next(CronSim(text, datetime(2026, 1, 1, tzinfo=UTC)))
        assert moment


@pytest.mark.parametrize(
    "text",
    ["0 5 * * 1-5", "*/5 * * * *", "0 0 29 2 *", "30 4 1,15 * fri", "0 22 * * 1-5", "5 4 * * sun", "0 0,12 1 */2 *",
     "0 0 31 1,2 *", "59 23 31 12 7", "0 0 1 jan-mar *", "0-59/15 8-18 * * mon-fri", "0 0 31 2 mon"],
)  # fmt: skip
def test_cron_texts_of_everyday_life_are_accepted(text):
    assert cron_trouble(text) is None


@pytest.mark.parametrize("text", ["0 0 31 2 *", "0 0 30 feb *", "0 0 31 4,6 *"])
def test_a_day_that_no_month_has_is_refused_as_the_scheduler_does(text):
    assert cron_trouble(text)
    with pytest.raises((CronSimError, StopIteration)):
        next(CronSim(text, datetime(2026, 1, 1, tzinfo=UTC)))


def test_whatever_the_text_there_is_an_answer():
    for text in [
        "",
        "@reboot",
        "é * * * *",
        "* * * * * *",
        ",,, * * * *",
        "1/2 * * * *",
        "*-3 * * * *",
        "* * * 13 *",
    ]:
        assert cron_trouble(text)
