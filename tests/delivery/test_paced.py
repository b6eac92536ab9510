"""Delivery and its gate together: a real spool, a real server that goes away and comes back, a clock of our own."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from datetime import timedelta

import pytest

from agent.config.model import Delivery, Expire, Limits
from tests.support.clock import FakeClock
from tests.support.delivery import DeliveryWorld, sent
from tests.support.scripted import Answer, ScriptedServer

HOUR = 3600.0
DAY = 24 * HOUR


class Patience:
    """Moves the clock to the next one who sleeps, but never while a request is under way.

    So simulated days pass in real seconds, and what really happens takes no simulated time.
    """

    def __init__(self, world):
        self.world = world

    async def until(self, done):
        clock, deliverer = self.world.clock, self.world.deliverer
        while not done():
            if deliverer.snapshot().in_flight:
                await asyncio.sleep(0.0005)
                continue
            sleepers = [due for due, _, future in clock._sleepers if not future.done()]
            await clock.advance(max(0.0, min(sleepers) - clock.monotonic()) if sleepers else 0.0)
            await asyncio.sleep(0.0005 if not sleepers else 0)


def noted(connection, clock):
    """When each request of a connection starts."""
    starts = []
    sign = connection.sign

    async def noting():
        starts.append(clock.monotonic())
        return await sign()

    connection.sign = noting  # the first that is done behind the gate
    return starts


def most_in_a_second(starts):
    most = first = 0
    for last, moment in enumerate(starts):
        while starts[first] <= moment - 1.0 + 1e-6:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.fixture
async def slow(tmp_path, server):
    world = DeliveryWorld(tmp_path, server, clock=FakeClock(), random=random.Random(5).random)
    yield world
    await world.close()


async def test_del_24_a_target_that_is_away_for_four_days_while_12_jobs_collect(slow):
    async with ScriptedServer() as gone:
        port = gone.port
    url = f"http://127.0.0.1:{port}"
    slow.random = lambda: 0.999  # the longest times between probes: fewer of them
    connection = await slow.connect(url=url, limits=Limits(rate=20, concurrency=8))
    starts = noted(connection, slow.clock)
    jobs = [f"job-{number:02}" for number in range(12)]
    for job in jobs:
        slow.route(connection, name=job)
    await slow.deliverer.start()
    begin, patience, texts = slow.clock.monotonic(), Patience(slow), defaultdict(list)
    for turn in range(8):
        for job in jobs:
            new = [f"{job} {turn} {number}" for number in range(2)]
            texts[job] += new
            await slow.spooled(*new, job=job)
        then = begin + (turn + 1) * 12 * HOUR
        await patience.until(lambda then=then: slow.clock.monotonic() >= then)
    assert slow.clock.monotonic() - begin >= 4 * DAY
    tried = len(starts)
    assert tried < 2 * 4 * DAY / 300 + 200  # one probe at a time, not 12 jobs that try each for itself
    await patience.until(lambda: len(slow.deliverer.snapshot().waits) == 12)
    waits = slow.deliverer.snapshot().waits
    assert {wait.kind for wait in waits} == {"circuit"}
    assert "one request at a time tries whether http://127.0.0.1" in waits[0].reason

    async with ScriptedServer(port=port) as back:
        back.script("/in", Answer(204))
        everything = sum(len(each) for each in texts.values())
        await patience.until(lambda: len(back.requests) == everything)
        for job in jobs:
            await patience.until(lambda job=job: not any(one == job for one, _ in slow.deliverer._lanes))
        bodies = sent(back.requests)
        assert back.most_in_flight <= 8
    for job in jobs:
        assert [body for body in bodies if body.startswith(job)] == texts[job]
        assert (slow.overview(job).waiting, slow.overview(job).delivered) == (0, len(texts[job]))
    assert most_in_a_second(starts) <= 20
    assert connection.state().doors[0].openings == 1


async def test_res_04_many_jobs_due_at_one_moment_are_no_more_than_the_concurrency(slow, server):
    server.script("/in", Answer(204))
    connection = await slow.connect(limits=Limits(concurrency=3))
    jobs = [f"job-{number}" for number in range(40)]
    for job in jobs:
        slow.route(connection, name=job)
        await slow.spooled(job, job=job)
    await slow.deliverer.start()
    await server.until(len(jobs))
    assert server.most_in_flight <= 3
    assert sorted(sent(server.requests)) == sorted(jobs)


async def test_a_job_with_many_lanes_does_not_keep_another_one_waiting(still, server):
    served = []

    def answer(request):
        served.append(request.path)
        return Answer(204)

    server.script("/in", answer)
    server.script("/other", answer)
    connection = await still.connect(limits=Limits(concurrency=1))
    still.route(connection, name="huge")
    still.route(connection, name="small", endpoint="other")
    hold = asyncio.Event()
    server.script("/in", [Answer(204, hold=hold), answer])
    for lane in range(16):
        await still.spooled("1", "2", "3", job="huge", lane=lane)
    await still.deliverer.start()
    await server.until(1)
    await still.spooled("1", "2", "3", job="small")
    while connection.state().waiting < 16:  # noqa: ASYNC110 - a lane that stands at the gate has no event
        await asyncio.sleep(0.002)
    hold.set()
    await server.until(51)
    assert "/other" in served[:3]
    assert served.count("/other") == 3


async def test_del_45_a_message_that_makes_the_target_time_out_is_no_other_jobs_matter(slow, server):
    server.script("/in", Answer(504))
    server.script("/other", Answer(204))
    connection = await slow.connect()
    slow.route(connection, name="poisoned")
    slow.route(connection, name="healthy", endpoint="other")
    await slow.spooled("poison", "behind it", job="poisoned")
    await slow.deliverer.start()
    patience = Patience(slow)
    await patience.until(lambda: len(server.asked("/in")) >= 12)
    await slow.spooled("1", "2", job="healthy")
    await server.until(2, "/other")
    assert not connection.door(server.url).circuit.open
    assert set(sent(server.asked("/in"))) == {"poison"}


async def test_del_25_two_hosts_behind_one_connection_have_a_circuit_each(slow, server):
    server.script("/in", Answer(204))
    async with ScriptedServer() as gone:
        url = gone.url
    connection = await slow.connect()
    for job in "ab":
        slow.route(connection, name=job, url=f"{url}/in")
        await slow.spooled("x", job=job)
    slow.route(connection, name="healthy")
    await slow.deliverer.start()
    patience = Patience(slow)
    await patience.until(lambda: connection.door(url).circuit.open)
    await slow.spooled("1", "2", job="healthy")
    await server.until(2, "/in")
    states = {one.origin: one.open for one in connection.state().doors}
    assert states == {url: True, server.url: False}


async def test_a_wait_at_the_circuit_is_no_attempt_and_ends_with_the_probe(slow, server):
    server.script("/in", Answer(503))
    connection = await slow.connect()
    for job in "abc":
        slow.route(connection, name=job)
        await slow.spooled("x", job=job)
    await slow.deliverer.start()
    patience = Patience(slow)
    await patience.until(lambda: len(server.requests) >= 30)
    with slow.reader() as reader:
        stored = {one.job: one.waits for one in reader.overview()}
    assert {wait.kind for waits in stored.values() for wait in waits} <= {"circuit", "retry"}
    before = slow.clock.monotonic()
    server.script("/in", Answer(204))
    await patience.until(lambda: not slow.deliverer._lanes)
    assert slow.clock.monotonic() - before <= 300
    with slow.reader() as reader:
        receipts = [one.last_receipt for one in reader.overview()]
    assert sum(one.attempts for one in receipts) == len(server.requests)


async def test_what_grows_too_old_at_an_open_circuit_is_a_dead_letter_in_time(slow, server):
    async with ScriptedServer() as gone:
        url = gone.url
    connection = await slow.connect(url=url)
    for job in "abcdefgh":
        slow.route(connection, name=job, delivery=Delivery(expire=Expire(after=timedelta(hours=1))))
        await slow.spooled("x", job=job)
    await slow.deliverer.start()
    begin, patience = slow.clock.monotonic(), Patience(slow)
    await patience.until(lambda: connection.door(url).circuit.open)
    await patience.until(lambda: not slow.deliverer._lanes)
    assert slow.clock.monotonic() - begin <= HOUR + 700
    assert [slow.overview(job).expired for job in "abcdefgh"] == [1] * 8


async def test_del_21_a_quota_of_the_target_is_never_exceeded_and_always_used(slow, server):
    """10 requests a minute over all jobs, told in headers; one more would be a 429."""
    window, used, refused = [slow.clock.monotonic()], [0], []

    def answer(request):
        now = slow.clock.monotonic()
        if now >= window[0] + 60:
            window[0], used[0] = now, 0
        used[0] += 1
        if used[0] > 10:
            refused.append(now)
            return Answer(429)
        left, reset = 10 - used[0], window[0] + 60 - now
        return Answer(204, headers={"RateLimit-Remaining": str(left), "RateLimit-Reset": f"{reset:.0f}"})

    server.script("/in", answer)
    connection = await slow.connect()
    for job in "abcd":
        slow.route(connection, name=job)
        await slow.spooled(*"123456789", job=job)
    begin = slow.clock.monotonic()
    await slow.deliverer.start()
    patience = Patience(slow)
    await patience.until(lambda: len(server.requests) >= 10)
    await patience.until(lambda: slow.deliverer.snapshot().waits)
    waits, used_up = slow.deliverer.snapshot().waits, "its quota is used up (RateLimit)"
    assert {(wait.kind, wait.reason) for wait in waits} == {
        ("silence", f"the target asked for a pause: {used_up}")
    }
    await patience.until(lambda: not slow.deliverer._lanes)
    assert refused == []
    assert slow.clock.monotonic() - begin <= 4 * 61
    for job in "abcd":
        assert slow.overview(job).delivered == 9


async def test_del_21_429_halves_what_is_in_flight_and_pauses_all_lanes(slow, server):
    def answer(_):
        slow.clock.tick(0.01)
        return Answer(429, headers={"Retry-After": "5"}) if len(server.requests) == 6 else Answer(204)

    server.script("/in", answer)
    connection = await slow.connect(limits=Limits(concurrency=4))
    slow.route(connection)
    for lane in range(8):
        await slow.spooled(*"12345678", lane=lane)
    await slow.deliverer.start()
    patience = Patience(slow)
    await patience.until(lambda: connection.state().doors[0].concurrency < 4)
    state = connection.state()
    assert state.doors[0].why == "429 Too Many Requests"
    assert state.pause_reason == "429 Too Many Requests, Retry-After: 5"
    await patience.until(lambda: not slow.deliverer._lanes)
    assert slow.overview().delivered == 64
