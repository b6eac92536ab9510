"""Quotas that targets tell of, as they really come: through an HTTP client, in all the forms that there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from agent.pacing import quota_of

NOW = 1_792_567_680.0
DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


def told(*fields):
    found = quota_of(CIMultiDictProxy(CIMultiDict(fields)), now=NOW)
    return None if found is None else (found.remaining, found.seconds)


@pytest.mark.parametrize(
    ("fields", "quota"),
    [
        ([], None),
        ([("RateLimit-Remaining", "0"), ("RateLimit-Reset", "30")], (0, 30)),
        ([("ratelimit-limit", "100"), ("ratelimit-remaining", "7"), ("ratelimit-reset", "30")], (7, 30)),
        ([("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "12")], (0, 12)),
        ([("X-Rate-Limit-Remaining", "3"), ("X-Rate-Limit-Reset", "12")], (3, 12)),
        # a moment: seconds, milliseconds, and by the target's own clock
        ([("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1792567700")], (0, 20)),
        ([("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1792567700000")], (0, 20)),
        ([("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "Wed, 21 Oct 2026 07:28:20 GMT")], (0, 20)),
        ([("RateLimit-Remaining", "0"), ("RateLimit-Reset", "1792567000")], (0, 0)),
        # drafts 7 and later, and the ones before
        ([("RateLimit", '"default";r=0;t=30'), ("RateLimit-Policy", '"default";q=100;w=60')], (0, 30)),
        ([("RateLimit", '"default";r=50'), ("RateLimit-Policy", '"default";q=100;w=60')], (50, 60)),
        ([("RateLimit", '"hour";r=500;t=1800, "second";r=0;t=1')], (0, 1)),
        ([("RateLimit", '"a";r=0;t=1'), ("RateLimit", '"b";r=0;t=9')], (0, 9)),
        ([("RateLimit", 'default;r=1;t=2;pk=":abc:"')], (1, 2)),
        ([("RateLimit", "limit=100, remaining=0, reset=30")], (0, 30)),
        ([("RateLimit", "remaining=4,reset=3")], (4, 3)),
        # the narrowest of several counts
        ([("RateLimit", '"x";r=9;t=5'), ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "4")], (0, 4)),
    ],
)
def test_a_quota_is_read_in_each_form(fields, quota):
    assert told(*fields) == quota


def test_a_reset_that_is_a_moment_is_measured_by_the_clock_of_the_answer():
    theirs = ("Date", "Wed, 21 Oct 2026 06:28:00 GMT")
    assert told(theirs, ("RateLimit-Remaining", "0"), ("RateLimit-Reset", str(int(NOW) - 3590))) == (0, 10)


@pytest.mark.parametrize(
    ("remaining", "reset"),
    [
        ("0", None),
        (None, "30"),
        ("0", "-30"),
        ("-1", "30"),
        ("0", "soon"),
        ("many", "30"),
        ("0.5", "30"),
        ("\u0663", "3"),
        ("3", "\u0663"),
        ("0", "9" * 400),
        ("0", "1e9"),
        ("", ""),
    ],
)
def test_del_23_a_quota_that_is_junk_is_as_if_it_were_not_there(remaining, reset):
    pairs = [("RateLimit-Remaining", remaining), ("RateLimit-Reset", reset)]
    assert told(*[(name, value) for name, value in pairs if value is not None]) is None


@pytest.mark.parametrize("reset", ["86400", "899999999", "999999999999999"])
def test_del_23_nobody_is_silent_for_more_than_an_hour(reset):
    assert told(("RateLimit-Remaining", "0"), ("RateLimit-Reset", reset)) == (0, 3600)


@pytest.mark.parametrize(
    "text", ['"a";r=;t=', '"a";r=x;t=9', ";r=0;t=9", '"a;r=0;t=9', "remaining=0", "r=0;t=9,,", "=" * 9_999]
)
def test_del_23_a_structured_field_that_is_none_is_not_obeyed(text):
    assert told(("RateLimit", text)) is None


ANY = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=40)
SHAPES = st.text(st.sampled_from('";=,rtwq0123456789 ab'), max_size=60)


@given(one=ANY | SHAPES, two=ANY | SHAPES, three=ANY | SHAPES)
def test_del_23_whatever_stands_there_raises_nothing_and_is_no_more_than_an_hour(one, two, three):
    fields = [
        ("RateLimit", one),
        ("RateLimit-Policy", two),
        ("RateLimit-Remaining", two),
        ("RateLimit-Reset", three),
    ]
    found = quota_of(CIMultiDictProxy(CIMultiDict(fields)), now=NOW)
    assert found is None or (found.remaining >= 0 and 0 <= found.seconds <= 3600)
