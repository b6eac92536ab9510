from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

import pytest

from agent.config.model import Limits
from agent.pacing import Gate, Quota, Verdict
from tests.support.clock import FakeClock, turns
from tests.support.scripted import Answer


def zero():
    return 0.0


async def test_a_gate_lets_in_as_many_as_its_concurrency():
    gate = Gate(Limits(concurrency=2), clock=FakeClock(), random=zero)
    assert gate.try_enter()
    await gate.enter()
    assert not gate.try_enter()
    waiting = asyncio.create_task(gate.enter())
    await turns()
    assert not waiting.done()
    gate.leave()
    await waiting
    assert gate.in_flight == 2


async def test_whoever_stops_waiting_at_a_gate_takes_no_place():
    gate = Gate(Limits(concurrency=1), clock=FakeClock(), random=zero)
    assert gate.try_enter()
    waiting = asyncio.create_task(gate.enter())
    await turns()
    waiting.cancel()
    await turns()
    gate.leave()
    assert gate.in_flight == 0
    assert gate.try_enter()


async def test_whoever_stops_waiting_for_a_pause_takes_no_place():
    clock = FakeClock()
    gate = Gate(Limits(concurrency=1), clock=clock, random=zero)
    gate.pause(10)
    waiting = asyncio.create_task(gate.enter())
    await turns()
    waiting.cancel()
    await turns()
    await clock.advance(10)
    assert gate.try_enter()


async def test_a_pause_holds_everybody_and_a_shorter_one_does_not_end_it():
    clock = FakeClock()
    gate = Gate(Limits(concurrency=9), clock=clock, random=zero)
    gate.pause(60)
    gate.pause(1)
    assert not gate.try_enter()
    tasks = [asyncio.create_task(gate.enter()) for _ in range(3)]
    await clock.advance(59)
    assert not any(task.done() for task in tasks)
    await clock.advance(1)
    assert all(task.done() for task in tasks)


async def test_a_rate_of_the_connection_holds_for_all_who_enter():
    clock = FakeClock()
    gate = Gate(Limits(rate=10, concurrency=100), clock=clock, random=zero)
    starts = []

    async def one():
        await gate.enter()
        starts.append(clock.monotonic())
        gate.leave()

    tasks = [asyncio.create_task(one()) for _ in range(30)]
    await clock.advance(10)
    await asyncio.gather(*tasks)
    assert starts[-1] - starts[0] == pytest.approx(2.9, abs=0.01)


async def test_a_connection_that_is_closed_lets_its_request_in_flight_end(still, server):
    hold = asyncio.Event()
    server.script("/in", Answer(204, hold=hold))
    await still.spooled("a")
    connection = await still.start()
    await server.until(1)
    closing = asyncio.create_task(connection.close(30))
    await turns()
    assert not closing.done()
    hold.set()
    await closing
    await still.settled()
    assert still.overview().delivered == 1


async def test_a_closed_connection_cuts_off_after_its_grace_and_the_message_stays(still, server):
    hold = asyncio.Event()
    server.script("/in", Answer(204, hold=hold))
    await still.spooled("a")
    connection = await still.start()
    await server.until(1)
    closing = asyncio.create_task(connection.close(5))
    await still.asleep(1)
    await still.clock.advance(5)
    await closing
    await still.waits("network")
    assert still.overview().waiting == 1
    hold.set()


# ---------------------------------------------------------------------- turns


async def test_a_job_with_64_lanes_leaves_every_other_turn_to_one_with_a_single_lane():
    gate = Gate(Limits(concurrency=1), clock=FakeClock(), random=zero)
    door = gate.door("https://a.example.com/in")
    assert gate.try_enter(door)
    waiting = [gate.ask(door, "huge", lane) for lane in range(64)]
    small = gate.ask(door, "small", 0)
    served = []
    for _ in range(6):
        gate.leave(door)
        [turn] = [turn for turn in (*waiting, small) if turn.granted]
        served.append(turn.job)
        if turn is small:
            small = gate.ask(door, "small", 0)
        else:
            waiting.remove(turn)
            waiting.append(gate.ask(door, "huge", turn.who))
    assert served == ["huge", "small"] * 3


async def test_whoever_comes_late_does_not_overtake_those_who_wait():
    gate = Gate(Limits(concurrency=1), clock=FakeClock(), random=zero)
    assert gate.try_enter()
    turn = gate.ask()
    gate.leave()
    assert turn.granted
    gate.leave()
    assert gate.try_enter()


async def test_whoever_was_let_in_and_goes_away_gives_its_place_back():
    gate = Gate(Limits(concurrency=1), clock=FakeClock(), random=zero)
    assert gate.try_enter()
    entering = asyncio.create_task(gate.enter())
    await turns()
    gate.leave()  # its turn has come, and in the same moment nobody wants it any more
    entering.cancel()
    await asyncio.gather(entering, return_exceptions=True)
    assert gate.in_flight == 0
    assert gate.try_enter()


class Crowd:
    """Lanes that stand at a gate again as soon as they have their answer, which comes at a random moment."""

    def __init__(self, jobs, limits, seed):
        self.clock = FakeClock()
        self.gate = Gate(limits, clock=self.clock, random=zero)
        self.doors = [self.gate.door(f"https://{name}.example.com/") for name in "ab"]
        self.random = Random(seed)
        self.starts, self.served, self.most = [], Counter(), 0
        self.running = []
        self.standing = [self.ask(job, lane) for job, lanes in enumerate(jobs) for lane in range(lanes)]

    def ask(self, job, lane):
        turn = self.gate.ask(self.doors[job % 2], str(job), (job, lane))
        turn.future.add_done_callback(self.started)
        return turn

    def started(self, future):
        if not future.cancelled():
            self.starts.append(self.clock.monotonic())

    async def play(self, count):
        while len(self.starts) < count:
            for turn in [turn for turn in self.standing if turn.granted]:
                self.standing.remove(turn)
                self.running.append(turn)
                self.served[turn.job] += 1
            self.most = max(self.most, len(self.running))
            assert self.gate.in_flight == len(self.running)
            if self.running and self.random.random() < 0.8:
                turn = self.running.pop(self.random.randrange(len(self.running)))
                self.gate.leave(turn.door)
                self.standing.append(self.ask(*turn.who))
            else:
                await self.clock.advance(self.random.choice([0.01, 0.1, 0.3]))
        for turn in self.standing:
            self.gate.withdraw(turn)


@pytest.mark.parametrize("seed", range(20))
async def test_everybody_gets_its_share_and_nobody_exceeds_a_limit(seed):
    random = Random(seed)
    concurrency, rate = random.randint(1, 4), random.choice([None, 5.0, 40.0])
    jobs = [random.randint(concurrency + 1, 6) for _ in range(random.randint(2, 6))]  # one always waits
    crowd = Crowd(jobs, Limits(rate=rate, concurrency=concurrency), seed)
    await crowd.play(40 * len(jobs))
    assert crowd.most <= concurrency
    if rate is not None:
        starts = crowd.starts
        assert all(sum(begin <= start < begin + 1 - 1e-9 for start in starts) <= rate for begin in starts)
    # the first ones to come met an empty gate
    assert max(crowd.served.values()) - min(crowd.served.values()) <= concurrency + 1


async def test_res_04_ten_thousand_jobs_at_one_moment_go_in_one_after_the_other():
    gate = Gate(Limits(concurrency=8), clock=FakeClock(), random=zero)
    door = gate.door("https://a.example.com/")
    turns_of = [gate.ask(door, f"job-{number}", number) for number in range(10_000)]
    assert gate.in_flight == 8
    for number in range(10_000):
        assert turns_of[number].granted
        assert not any(turn.granted for turn in turns_of[number + 8 : number + 9])
        gate.leave(door)
    assert (gate.in_flight, gate.waiting) == (0, 0)


# ---------------------------------------------------------------------- what the target asks for


async def test_a_pause_ends_a_little_later_so_that_several_agents_do_not_come_at_one_moment():
    clock = FakeClock()
    gate = Gate(Limits(), clock=clock, random=lambda: 0.5)
    gate.pause(60, "429 Too Many Requests")
    assert (gate.paused_for(), gate.pause_reason) == (60.5, "429 Too Many Requests")
    turn = gate.ask()
    await clock.advance(60)
    assert not turn.granted
    await clock.advance(1)
    assert turn.granted


async def test_a_quota_that_is_used_up_holds_everybody_until_its_reset():
    clock = FakeClock()
    gate = Gate(Limits(concurrency=8), clock=clock, random=zero)
    gate.grant(Quota(remaining=0, seconds=30))
    door = gate.door("https://a.example.com/")
    assert not gate.try_enter(door)
    assert gate.block(door).reason == "the target asked for a pause: its quota is used up (RateLimit)"
    turn = gate.ask(door, "a")
    await clock.advance(29)
    assert not turn.granted
    await clock.advance(1)
    assert turn.granted
    gate.leave(door)
    assert [gate.try_enter(door) for _ in range(8)] == [True] * 8


async def test_a_quota_that_nears_its_end_is_never_exceeded_however_many_are_in_flight():
    clock = FakeClock()
    gate = Gate(Limits(concurrency=8), clock=clock, random=zero)
    left, asked, running = 20, [gate.ask() for _ in range(30)], []
    while True:
        running += [turn for turn in asked if turn.granted]
        asked = [turn for turn in asked if not turn.granted]
        if not running:
            break
        running.pop()
        left -= 1
        assert left >= 0
        gate.grant(Quota(remaining=left, seconds=60))
        gate.leave()
    assert left == 0
    assert len(asked) == 10
    await clock.advance(60)
    assert sum(turn.granted for turn in asked) == 8


async def test_an_answer_without_a_word_of_the_quota_may_have_cost_one():
    clock = FakeClock()
    gate = Gate(Limits(concurrency=8), clock=clock, random=zero)
    gate.grant(Quota(remaining=2, seconds=60))
    for _ in range(2):
        assert gate.try_enter()
        gate.spent()
        gate.leave()
    assert not gate.try_enter()
    await clock.advance(60)
    assert gate.try_enter()


async def test_answers_that_overtake_each_other_do_not_raise_a_quota_but_a_new_window_does():
    clock = FakeClock()
    gate = Gate(Limits(concurrency=8), clock=clock, random=zero)
    gate.grant(Quota(remaining=1, seconds=60))
    gate.grant(Quota(remaining=5, seconds=60))
    assert [gate.try_enter() for _ in range(2)] == [True, False]
    gate.leave()
    await clock.advance(59)
    gate.grant(Quota(remaining=5, seconds=60))
    assert [gate.try_enter() for _ in range(6)] == [True] * 5 + [False]


async def test_a_quota_far_from_its_end_costs_nothing():
    gate = Gate(Limits(concurrency=8), clock=FakeClock(), random=zero)
    gate.grant(Quota(remaining=1000, seconds=60))
    assert gate._calm
    gate.grant(Quota(remaining=0, seconds=0))
    assert gate.try_enter()


# ---------------------------------------------------------------------- a reload


async def test_other_limits_count_what_is_in_flight_and_what_has_just_started():
    clock = FakeClock()
    gate = Gate(Limits(concurrency=4, rate=2), clock=clock, random=zero)
    assert gate.try_enter()
    await clock.advance(0.5)
    assert gate.try_enter()
    turn = gate.ask()
    gate.set_limits(Limits(concurrency=2, rate=100))
    await clock.advance(1)
    assert not turn.granted
    gate.leave()
    assert turn.granted
    gate.set_limits(Limits(concurrency=8))
    assert [gate.try_enter() for _ in range(7)] == [True] * 6 + [False]


async def test_a_reload_that_raises_the_limit_lets_in_at_once_who_waits():
    gate = Gate(Limits(concurrency=1), clock=FakeClock(), random=zero)
    assert gate.try_enter()
    turn = gate.ask()
    gate.set_limits(Limits(concurrency=2))
    assert turn.granted


async def test_a_reload_forgets_hosts_that_nobody_goes_to_any_more_and_no_others():
    gate = Gate(Limits(), clock=FakeClock(), random=zero)
    used, away, strained, idle = (gate.door(f"https://{name}.example.com") for name in "abcd")
    assert gate.try_enter(used)
    away.judge(Verdict.AWAY, who=1, began=0.0, now=1.0, why="")
    strained.judge(Verdict.BUSY, who=1, began=0.0, now=1.0, why="429")
    gate.set_limits(Limits(concurrency=6))
    assert gate.door("https://a.example.com/x") is used
    assert gate.door("https://b.example.com") is away
    assert gate.door("https://c.example.com") is strained
    assert gate.door("https://d.example.com") is not idle
    assert (used.room, strained.room) == (6, 4)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://A.example.com/x?y=1", "https://a.example.com"),
        ("https://me:secret@a.example.com:8443/x", "https://a.example.com:8443"),
        ("http://[::1]:8080/x", "http://[::1]:8080"),
        ("https://a.example.com:99999/x", "https://a.example.com:99999"),
        ("https://[::1/x", ""),
        ("", ""),
    ],
)
def test_a_door_is_named_after_its_origin_and_nothing_more_of_the_url(url, origin):
    gate = Gate(Limits(), clock=FakeClock(), random=zero)
    assert gate.door(url).origin == origin
    assert gate.door(url) is gate.door(url)
