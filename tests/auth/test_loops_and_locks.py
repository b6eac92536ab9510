"""What outlives an event loop is bound to none; who stops waiting leaves no lock behind."""

from __future__ import annotations

import asyncio

import pytest

from agent.config.model import AgentSettings
from agent.custody import rekey
from agent.engine import Engine
from tests.support.auth_world import World, auth_client
from tests.support.clock import FakeClock, turns
from tests.support.custody import Agent
from tests.support.scripted import Answer, ScriptedServer


def test_auth_42_one_session_store_and_vault_serve_a_second_event_loop(tmp_path):
    state = tmp_path / "state"
    clock = FakeClock()

    async def life(port=0):
        async with ScriptedServer(port=port) as server, auth_client() as client:
            world = World(tmp_path, server, client, clock=clock)
            world.api.living = {f"refresh-{number}-rrrrrrrrrrrr" for number in range(1, 4)}
            world.api.count = 10 * bool(port)
            async with Agent(world, state) as agent:
                signed = await agent.session.sign()
                healing = [agent.session.rejected(signed.generation) for _ in range(20)]
                await asyncio.gather(*healing, agent.session.refresh())
            return server.port, len(world.logins), len(world.refreshes)

    port, logins, refreshes = asyncio.run(life())
    assert (logins, refreshes) == (1, 1)
    clock.tick(700)
    assert asyncio.run(life(port))[1:] == (0, 1)


def test_auth_42_an_engine_that_was_made_outside_of_any_loop_works_in_two(tmp_path):
    engine = Engine.open(AgentSettings(state=tmp_path / "state"), tmp_path / "config", FakeClock())

    async def twice():
        return [answer["pairs"] for answer in await asyncio.gather(rekey(engine), rekey(engine))]

    try:
        assert asyncio.run(twice()) == [0, 0]
        key = (tmp_path / "state/key").read_bytes()
        assert asyncio.run(rekey(engine))["pairs"] == 0
        assert (tmp_path / "state/key").read_bytes() != key
    finally:
        engine.close()


async def test_auth_43_who_stops_waiting_for_the_key_leaves_no_lock(tmp_path):
    state = tmp_path / "state"
    engine = await asyncio.to_thread(
        Engine.open, AgentSettings(state=state), tmp_path / "config", FakeClock()
    )
    try:
        async with engine.changing_key:
            waiting = [asyncio.ensure_future(rekey(engine)) for _ in range(3)]
            await turns()
            waiting[0].cancel()
            waiting[2].cancel()
            await turns()
        await waiting[1]
        assert not engine.changing_key.locked()
        key = (state / "key").read_bytes()
        await rekey(engine)
        assert (state / "key").read_bytes() != key
    finally:
        await asyncio.to_thread(engine.close)


@pytest.mark.parametrize("ask", ["sign", "refresh", "login", "forget"])
async def test_auth_43_who_stops_waiting_for_a_session_leaves_it_free(world, ask):
    session = world.start()
    await session.sign()
    world.clock.tick(3601)
    hold = asyncio.Event()
    world.server.script(
        "/api/auth/refresh", [Answer(200, json=world.api.pair(), hold=hold), world.api.refresh]
    )
    first = asyncio.ensure_future(session.sign())
    await world.server.until(1, "/api/auth/refresh")
    waiting = [asyncio.ensure_future(getattr(session, ask)()) for _ in range(5)]
    await turns()
    for one in waiting:
        one.cancel()
    await asyncio.wait(waiting)
    hold.set()
    assert (await first).generation == 2
    await session.refresh()
    assert (await session.sign()).generation == 3
    assert (len(world.refreshes), len(world.logins)) == (2, 1)
