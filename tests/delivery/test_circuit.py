from __future__ import annotations

import asyncio
import itertools

import pytest

from agent.config.model import Limits
from agent.message import Answer as Kept
from agent.outcome import Delivered, Misdirected, Refused, Retry, Unauthorized
from agent.pacing import Change, Gate, Verdict, verdict_of
from agent.pacing.circuit import FAILURES, Circuit
from tests.support.clock import FakeClock, turns

AWAY = "connection refused"
HERE = "https://here.example.com/in"


def top():
    return 0.999999


def retry(status=None, **more):
    return Retry(answer=Kept(status=status, reason=""), **more)


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (Delivered(answer=Kept(status=204, reason="")), Verdict.ANSWERED),
        (Refused(answer=Kept(status=422, reason="")), Verdict.ANSWERED),
        (Misdirected(answer=Kept(status=404, reason="")), Verdict.ANSWERED),
        (Unauthorized(answer=Kept(status=401, reason=""), generation=1), Verdict.ANSWERED),
        (Refused(answer=Kept(status=None, reason="")), Verdict.UNCLEAR),
        (Misdirected(answer=Kept(status=None, reason="")), Verdict.UNCLEAR),
        (retry(500), Verdict.UNCLEAR),
        (retry(407), Verdict.UNCLEAR),
        (retry(408), Verdict.UNCLEAR),
        (retry(425), Verdict.UNCLEAR),
        (retry(429), Verdict.BUSY),
        (retry(429, after=3.0), Verdict.BUSY),
        (retry(503, after=3.0), Verdict.BUSY),
        (retry(529), Verdict.BUSY),
        (retry(503), Verdict.STRAINED),
        (retry(503, after=0.0), Verdict.STRAINED),
        (retry(504), Verdict.STRAINED),
        (retry(late=True), Verdict.STRAINED),
        (retry(502), Verdict.AWAY),
        (retry(521), Verdict.AWAY),
        (retry(), Verdict.AWAY),
        (retry(ours=True), Verdict.UNCLEAR),
    ],
)
def test_what_an_outcome_says_about_the_host(outcome, verdict):
    assert verdict_of(outcome) is verdict


def test_it_opens_when_nobody_gets_an_answer_any_more():
    circuit = Circuit(top)
    opened = [circuit.failed(number % 2, AWAY, float(number)) for number in range(FAILURES)]
    assert opened == [False] * (FAILURES - 1) + [True]
    assert (circuit.open, circuit.reason, circuit.since) == (True, AWAY, 0.0)


def test_del_45_one_lane_alone_never_opens_it():
    circuit = Circuit(top)
    assert not any(circuit.failed("poison", "timeout: no answer", float(number)) for number in range(1000))


def test_del_45_an_answer_to_anybody_begins_the_count_anew():
    circuit = Circuit(top)
    for number in range(100):
        assert not circuit.failed(number % 7, AWAY, float(number))
        if number % (FAILURES - 1) == 0:
            assert not circuit.answered()


def opened(random=top):
    circuit = Circuit(random)
    for who in range(FAILURES):
        circuit.failed(who, AWAY, 0.0)
    return circuit


def test_del_24_probes_come_more_slowly_the_longer_it_lasts_but_at_least_every_five_minutes():
    circuit, now, gaps = opened(), 0.0, []
    while now < 4 * 86_400:
        gap = circuit.probe_at - now
        now = circuit.probe_at
        assert circuit.may_probe(now)
        circuit.prober = "a"
        assert not circuit.may_probe(now)
        circuit.failed("a", AWAY, now)
        gaps.append(gap)
    assert gaps[0] == pytest.approx(1, abs=0.01)
    assert max(gaps) == pytest.approx(300, abs=0.01)
    assert sum(gap < 299 for gap in gaps) < 150
    assert all(later > before - 0.01 for before, later in itertools.pairwise(gaps))


def test_who_was_under_way_already_does_not_make_it_wait_longer():
    circuit = opened()
    due = circuit.probe_at
    assert not circuit.failed("straggler", AWAY, 0.5)
    assert circuit.probe_at == due
    assert circuit.answered()
    assert not circuit.open


# ---------------------------------------------------------------------- at the gate


class Place:
    """A gate, and requests that a test lets fail."""

    def __init__(self, **limits):
        self.clock = FakeClock()
        self.gate = Gate(Limits(**limits), clock=self.clock, random=top)
        self.door = self.gate.door(HERE)

    def judge(self, verdict, who, door=None):
        now = self.clock.monotonic()
        return (door or self.door).judge(verdict, who=who, began=now - 0.01, now=now, why=AWAY)

    def break_down(self):
        for who in range(FAILURES):
            assert self.gate.try_enter(self.door, who)
            self.judge(Verdict.AWAY, who)
            self.gate.leave(self.door)
        assert self.door.circuit.open


async def test_one_at_a_time_tries_and_each_job_in_its_turn():
    place = Place()
    place.break_down()
    asked = [place.gate.ask(place.door, job, (job, lane)) for job in "abc" for lane in range(100)]
    assert not any(turn.granted for turn in asked)
    tried = []
    for _ in range(6):
        await place.clock.advance(300)
        [turn] = [turn for turn in asked if turn.granted]
        tried.append(turn.who)
        place.judge(Verdict.AWAY, turn.who)
        place.gate.leave(place.door)
        asked.remove(turn)
    assert tried == [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("b", 1), ("c", 1)]


async def test_what_is_blocked_says_why_and_since_when():
    place = Place()
    assert place.gate.block(place.door) is None
    place.break_down()
    block = place.gate.block(place.door)
    assert (block.kind, block.since) == ("circuit", place.clock.monotonic())
    assert (
        block.reason
        == "connection refused; one request at a time tries whether https://here.example.com is back"
    )
    assert block.until == pytest.approx(place.clock.monotonic() + 1, abs=0.01)
    place.gate.ask(place.door, "a", "a")
    await place.clock.advance(1)
    assert place.gate.block(place.door).until is None


async def test_del_24_who_comes_back_is_met_gently():
    place = Place(concurrency=8)
    place.break_down()
    asked = [place.gate.ask(place.door, "a", lane) for lane in range(64)]
    await place.clock.advance(1)
    seen = []
    while asked:
        running = [turn for turn in asked if turn.granted]
        seen.append(len(running))
        for turn in running:
            place.clock.tick(0.02)
            change = place.judge(Verdict.ANSWERED, turn.who)
            assert (change is Change.CLOSED) == (len(seen) == 1)
            asked.remove(turn)
            place.gate.leave(place.door)
    assert seen[:8] == [1, 1, 2, 4, 5, 6, 7, 8]


async def test_a_probe_that_sent_nothing_leaves_its_place_to_the_next():
    place = Place()
    place.break_down()
    first, second = place.gate.ask(place.door, "a", 1), place.gate.ask(place.door, "b", 2)
    await place.clock.advance(1)
    assert (first.granted, second.granted) == (True, False)
    place.gate.withdraw(first)
    assert second.granted


async def test_who_comes_when_it_is_time_tries_without_a_timer():
    place = Place()
    place.break_down()
    assert not place.gate.try_enter(place.door, "a")
    place.clock.tick(2)
    assert place.gate.try_enter(place.door, "a")
    assert not place.gate.try_enter(place.door, "b")


async def test_del_25_the_other_hosts_of_a_connection_notice_nothing():
    place = Place()
    place.break_down()
    other = place.gate.door("https://there.example.com:8443/x?y=1")
    assert other.origin == "https://there.example.com:8443"
    place.gate.ask(place.door, "a", "a")
    assert place.gate.try_enter(other, "b")
    assert place.judge(Verdict.BUSY, "c", place.door) is Change.CLOSED
    assert (place.door.room, other.room) == (1, 8)


async def test_del_45_five_hundred_to_a_message_is_nobody_elses_matter():
    place = Place()
    for who in range(1000):
        assert place.judge(Verdict.UNCLEAR, who) is None
    assert place.gate.try_enter(place.door, "another")


async def test_a_fault_of_its_own_shows_that_the_host_is_back():
    place = Place()
    place.break_down()
    place.clock.tick(2)
    assert place.gate.try_enter(place.door, "a")
    assert place.judge(Verdict.UNCLEAR, "b") is None
    assert place.judge(Verdict.UNCLEAR, "a") is Change.CLOSED
    assert place.door.room == 1


async def test_whoever_waits_hears_when_it_opens_and_when_it_closes():
    place = Place()
    hearing = asyncio.create_task(place.door.moved())
    await turns()
    place.break_down()
    await hearing
    hearing = asyncio.create_task(place.door.moved())
    await turns()
    assert not hearing.done()
    place.judge(Verdict.ANSWERED, "a")
    await hearing


def test_a_success_is_judged_quickly_and_to_the_same_end():
    place = Place(concurrency=4)
    place.judge(Verdict.AWAY, "a")
    assert not place.door.good(0.01, place.clock.monotonic())
    assert place.door.circuit.failures == 0
    place.break_down()
    assert place.door.good(0.01, place.clock.monotonic())
    assert place.door.room == 1
