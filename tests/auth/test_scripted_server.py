from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests.support.clock import FakeClock
from tests.support.scripted import DROP, DROP_UNREAD, Answer, RawServer, ScriptedServer


async def test_answers_are_used_in_turn_and_the_last_one_stays():
    async with ScriptedServer() as server, aiohttp.ClientSession() as client:
        server.script("/a", [Answer(503), Answer(200, json={"x": 1})])
        statuses = []
        for _ in range(3):
            async with client.post(server.url + "/a?q=%20", data=b"body") as response:
                statuses.append(response.status)
        assert statuses == [503, 200, 200]
        assert [(r.order, r.method, r.path, r.body) for r in server.requests] == [
            (n, "POST", "/a?q=%20", b"body") for n in range(3)
        ]


@pytest.mark.parametrize("answer", [DROP, DROP_UNREAD, Answer(200, b"0123456789", drop="half")])
async def test_a_dropped_connection_is_seen_by_the_client_and_recorded(answer):
    async with ScriptedServer() as server, aiohttp.ClientSession() as client:
        server.script("/a", answer)
        with pytest.raises(aiohttp.ClientError):
            async with client.post(server.url + "/a", data=b"x" * 1000) as response:
                await response.read()
        assert len(server.requests) == 1


async def test_a_held_answer_waits_for_its_event_and_a_handler_may_decide():
    async with ScriptedServer() as server, aiohttp.ClientSession() as client:
        hold = asyncio.Event()
        server.script("/a", lambda request: Answer(201, request.body, hold=hold))
        asking = asyncio.ensure_future(client.post(server.url + "/a", data=b"me"))
        await server.until(1, "/a")
        assert not asking.done()
        hold.set()
        async with await asking as response:
            assert (response.status, await response.read()) == (201, b"me")


async def test_a_raw_server_sends_garbage_and_remembers_what_it_got():
    async with RawServer(b"\x00\xffnot http") as server, aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientError):
            await client.get(server.url + "/x")
        assert server.received[0].startswith(b"GET /x ")


async def test_a_fake_clock_wakes_sleepers_in_order_and_can_move_by_itself():
    clock, woken = FakeClock(), []

    async def sleeper(seconds):
        await clock.sleep(seconds)
        woken.append((seconds, clock.monotonic()))

    tasks = [asyncio.ensure_future(sleeper(s)) for s in (30, 10, 50)]
    await clock.advance(40)
    assert woken == [(10, 1010.0), (30, 1030.0)]
    clock.suspend(100)
    assert (clock.boottime(), clock.monotonic()) == (1140.0, 1040.0)
    await clock.advance(10)
    await asyncio.gather(*tasks)
    auto = FakeClock(auto=True)
    await auto.sleep(3600)
    assert auto.monotonic() == 4600.0
