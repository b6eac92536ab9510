"""Several lanes of one job: side by side and in turn, each in order, through faults, restarts and other layouts."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from itertools import cycle

import pytest

from agent.config.model import ByKey, Delivery, Expr, Limits
from agent.message import LANES, Layout
from agent.status import explain
from agent.survey import survey
from tests.support.clock import turns
from tests.support.delivery import WHERE, a_draft, sent
from tests.support.scripted import DROP, Answer


def layout(lanes):
    return Layout(name=f"plate over {lanes}", lanes=lanes)


async def spool_positions(world, first, count, *, plates, lanes, dealt=None):
    """Positions `plate:number` of so many plates, each in the lane of its plate."""
    dealt = dealt or (lambda plate: plate % lanes)
    run = await world.spool.start_run("gps", 0.0, "test", "sha")
    made = [(n * 7919 % plates, n) for n in range(first, first + count)]
    drafts = [a_draft(f"{plate}:{n}", lane=dealt(plate)) for plate, n in made]
    await world.spool.append(run, drafts, layout=layout(lanes))


class Receiver:
    """A target that processes what it takes; repeats (by their key) are taken once."""

    def __init__(self, fault=lambda _: None):
        self.seen = []
        self.keys = set()
        self.repeats = 0
        self._fault = fault

    def __call__(self, request):
        fault = self._fault(request)
        if fault is None or fault is DROP:
            self._process(request)
        return fault or Answer(204)

    def _process(self, request):
        key = request.headers["Idempotency-Key"]
        self.repeats += key in self.keys
        if key not in self.keys:
            self.keys.add(key)
            self.seen.append(sent([request])[0])

    def by_plate(self):
        found = defaultdict(list)
        for text in self.seen:
            plate, number = text.split(":")
            found[int(plate)].append(int(number))
        return found

    def holds(self, count, plates):
        """All of them, and those of each plate in the order of the source."""
        assert sorted(int(text.split(":")[1]) for text in self.seen) == list(range(count))
        for plate, numbers in self.by_plate().items():
            assert numbers == [n for n in range(count) if n * 7919 % plates == plate]


# ---------------------------------------------------------------------- side by side


async def test_lanes_run_side_by_side_up_to_the_limit_of_the_connection(world, server):
    full = asyncio.Event()
    receiver = Receiver()

    async def held(request):
        if server.in_flight == 5:
            full.set()
        await full.wait()
        return receiver(request)

    server.script("/in", held)
    await spool_positions(world, 0, 200, plates=40, lanes=16)
    await world.start(limits=Limits(concurrency=5))
    await world.settled()
    assert server.most_in_flight == 5
    receiver.holds(200, 40)


async def test_lanes_take_turns_when_there_is_one_place(world, server):
    receiver = Receiver()
    server.script("/in", receiver)
    await spool_positions(world, 0, 80, plates=4, lanes=4)
    await world.start(limits=Limits(concurrency=1))
    await world.settled()
    lanes = [int(text.split(":")[0]) for text in receiver.seen]
    counts = Counter()
    for lane in lanes:
        counts[lane] += 1
        assert counts[lane] - min(counts[other] for other in range(4)) <= 2
    assert server.most_in_flight == 1


async def test_a_lane_without_an_answer_holds_up_no_other(world, server):
    answer = asyncio.Event()
    receiver = Receiver()

    async def slow(request):
        if sent([request])[0] == "3:0":
            await answer.wait()
        return receiver(request)

    server.script("/in", slow)
    run = await world.spool.start_run("gps", 0.0, "test", "sha")
    drafts = [a_draft(f"{lane}:{number}", lane=lane) for number in range(10) for lane in range(4)]
    await world.spool.append(run, drafts, layout=layout(4))
    await world.start(limits=Limits(concurrency=2))
    await server.until(31)
    while len(receiver.seen) < 30:  # noqa: ASYNC110 - the server has no event for an answer
        await asyncio.sleep(0.002)
    assert receiver.by_plate() == {lane: list(range(10)) for lane in (0, 1, 2)}
    answer.set()
    await world.settled()
    assert receiver.by_plate()[3] == list(range(10))


async def test_a_lane_that_waits_holds_up_no_other_and_says_its_number(still, server):
    bad = {"2:2"}
    receiver = Receiver(lambda request: Answer(503) if sent([request])[0] in bad else None)
    server.script("/in", receiver)
    run = await still.spool.start_run("gps", 0.0, "test", "sha")
    await still.spool.append(run, [a_draft("0:old")], layout=layout(2))
    numbers = [(n % 4, n) for n in range(40)]
    drafts = [a_draft(f"{lane}:{n}", lane=lane) for lane, n in numbers]
    await still.spool.append(run, drafts, layout=layout(4))
    await still.start()
    await still.waits("retry", lane=LANES + 2)
    while len(receiver.seen) < 31:  # noqa: ASYNC110 - three lanes go on to their end
        await asyncio.sleep(0.002)
    assert "2:2" not in receiver.seen
    [lane] = (await asyncio.to_thread(survey, still.folder, still.clock.now())).jobs[0].lanes
    assert (lane.lane, lane.kind) == (2, "retry")
    assert "503 Service Unavailable, 2nd try" in explain(lane)
    bad.clear()
    await still.clock.advance(1)
    await still.settled()
    assert [text for text in receiver.seen if text.startswith("2:")] == [f"2:{n}" for n in range(2, 40, 4)]


# ---------------------------------------------------------------------- order, whatever happens


def faulty(seed):
    """5 % fail, 2 % are processed and the connection drops, 429 and 401 now and then."""
    chance = random.Random(seed)

    def fault(_):
        draw = chance.random()
        for share, answer in (
            (0.05, Answer(503)),
            (0.02, DROP),
            (0.01, Answer(429, headers={"Retry-After": "1"})),
            (0.01, Answer(401)),
        ):
            if draw < share:
                return answer
            draw -= share
        return None

    return fault


@pytest.mark.parametrize("seed", range(3))
async def test_order_holds_in_every_lane_through_faults_and_restarts(world, server, seed):
    receiver = Receiver(faulty(seed))
    server.script("/in", receiver)
    await spool_positions(world, 0, 1_000, plates=50, lanes=16)
    connection = await world.start(limits=Limits(concurrency=8))
    for life in range(1, 4):
        await server.until(250 * life)
        await world.deliverer.stop(0)
        world.new_life()
        world.route(connection)
        await world.deliverer.start()
    await world.settled()
    receiver.holds(1_000, 50)
    assert world.overview().dead == 0


# ---------------------------------------------------------------------- other lanes for the same keys


async def test_nothing_of_a_new_layout_leaves_while_something_of_the_old_one_waits(world, server):
    answer = asyncio.Event()
    receiver = Receiver()

    async def slow(request):
        if sent([request])[0] == "1:1":
            await answer.wait()
        return receiver(request)

    server.script("/in", slow)
    run = await world.spool.start_run("gps", 0.0, "test", "sha")
    old = [a_draft(f"{n % 4}:{n}", lane=n % 4) for n in range(40)]
    await world.spool.append(run, old, layout=layout(4))
    await world.start()
    await server.until(31)
    await world.spool.append(
        run, [a_draft(f"{n % 4}:{n}", lane=n % 4 + 3) for n in range(40, 80)], layout=layout(8)
    )
    while await world.spool.lanes() != [("gps", 1)]:  # noqa: ASYNC110 - all others are empty
        await asyncio.sleep(0.002)
    world.deliverer.wake("gps")
    await turns()
    assert len(server.requests) == 31
    answer.set()
    await world.settled()
    assert [int(text.split(":")[1]) for text in receiver.seen if text.startswith("1:")] == list(
        range(1, 80, 4)
    )
    assert [int(text.split(":")[1]) // 40 for text in receiver.seen] == [0] * 40 + [1] * 40


@pytest.mark.parametrize("seed", range(3))
async def test_order_holds_while_the_lanes_of_a_job_change_again_and_again(world, server, seed):
    receiver = Receiver(faulty(seed))
    server.script("/in", receiver)
    chance = random.Random(seed)
    lanes = cycle([4, 16, 1, 7])
    connection = await world.start(limits=Limits(concurrency=8))
    for part in range(10):
        number = next(lanes)
        await spool_positions(
            world, part * 50, 50, plates=20, lanes=number, dealt=lambda p, n=number: p * 31 % n
        )
        if chance.random() < 0.5:
            await server.until(part * 20)
            await world.deliverer.stop(0)
            world.new_life()
            world.route(connection)
            await world.deliverer.start()
    await world.settled()
    receiver.holds(500, 20)


async def test_a_job_with_another_order_goes_on_with_what_is_spooled(world, server):
    server.script("/in", Answer(503))
    await spool_positions(world, 0, 20, plates=4, lanes=4)
    connection = await world.start()
    await server.until(4)
    receiver = Receiver()
    server.script("/in", receiver)
    order = ByKey(expr=Expr(sql="plate", where=WHERE), lanes=3)
    world.route(connection, delivery=Delivery(order=order))
    await spool_positions(world, 20, 20, plates=4, lanes=3)
    await world.settled()
    receiver.holds(40, 4)


async def test_when_a_job_is_drained_its_lanes_are_gone_and_nobody_looks_for_more(world, server):
    server.script("/in", Answer(204))
    await spool_positions(world, 0, 40, plates=8, lanes=8)
    await world.start()
    await world.settled()
    await turns()
    assert world.deliverer.snapshot().lanes == 0
    assert not world.deliverer._lanes_of
    assert not world.deliverer._look.is_set()
