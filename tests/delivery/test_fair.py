from __future__ import annotations

import itertools
from collections import Counter, deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pacing.fair import Turns


def turns():
    return Turns(itertools.count().__next__)


def test_jobs_take_turns_and_so_do_the_lanes_of_a_job():
    row = turns()
    for waiter in ("a1", "a2", "a3", "b1", "c1", "c2"):
        row.add(waiter[0], waiter)
    assert [row.take() for _ in range(6)] == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert row.count == 0
    with pytest.raises(StopIteration):
        row.take()


def test_a_million_waiting_of_one_job_hold_up_another_ones_only_message_for_one_turn():
    row = turns()
    for number in range(100_000):
        row.add("huge", number)
    row.add("small", -1)
    assert [row.take(), row.take()] == [0, -1]


def test_who_goes_away_leaves_no_trace():
    row = turns()
    row.add("a", 1)
    row.add("a", 2)
    row.add("b", 3)
    row.remove("a", 1)
    row.remove("b", 3)
    assert (row.count, row.take(), row.count) == (1, 2, 0)
    with pytest.raises(KeyError):
        row.remove("a", 2)


@given(
    lanes=st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9), min_size=1),
    coming=st.lists(st.sampled_from("uvwxyz"), max_size=6, unique=True),
    rounds=st.integers(1, 12),
)
def test_between_two_turns_of_a_job_no_other_has_more_than_one_besides_those_who_came(lanes, coming, rounds):
    """Every lane stands in the row again as soon as it was served: nobody's share depends on its lanes."""
    row, served, jobs = turns(), [], len(lanes)
    for job, count in lanes.items():
        for lane in range(count):
            row.add(job, (job, lane))
    late = deque(coming)
    for number in range(rounds * (jobs + len(coming))):
        job, lane = row.take()
        served.append((job, lane))
        row.add(job, (job, lane))
        if number % 3 == 2 and late:
            newcomer = late.popleft()
            row.add(newcomer, (newcomer, 0))
    for job in {job for job, _ in served}:
        places = [place for place, (one, _) in enumerate(served) if one == job]
        for begin, end in itertools.pairwise(places):
            between = Counter(one for one, _ in served[begin + 1 : end])
            assert not between or max(between.values()) == 1
        own = [lane for one, lane in served if one == job]
        assert own == list(itertools.islice(itertools.cycle(range(lanes.get(job, 1))), len(own)))
