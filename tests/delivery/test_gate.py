from __future__ import annotations

import asyncio

import pytest

from agent.config.model import Limits
from agent.pacing import Gate
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
