from __future__ import annotations

import asyncio

import pytest

from agent.errors import NotSignedIn
from tests.support.auth_world import LOGIN, signed_soon
from tests.support.clock import turns
from tests.support.custody import Agent
from tests.support.scripted import Answer


async def refused(session):
    with pytest.raises(NotSignedIn) as told:
        await session.sign()
    return told.value


async def test_auth_27_refused_logins_block_the_session(world):
    world.api.password = "another one"
    session = world.start()
    for _ in range(3):
        await refused(session)
        world.clock.tick(300)
    error = await refused(session)
    assert session.status().state == "blocked"
    assert 0 < error.retry_after <= 900
    assert "401 Unauthorized: invalid_grant - Invalid user credentials" in error.message
    assert "check username and password" in error.hint
    for _ in range(50):
        await refused(session)
    assert len(world.logins) == 3


async def test_auth_27_after_the_pause_one_login_is_tried(world):
    world.api.password = "another one"
    session = world.start()
    for _ in range(3):
        await refused(session)
        world.clock.tick(300)
    await world.clock.advance(600)
    await world.server.until(4, LOGIN)
    while session.status().state == "refreshing":
        await session.changed()
    await world.clock.advance(880)
    assert len(world.logins) == 4
    world.api.password = "correct horse battery"
    await signed_soon(world, session)
    assert session.status().failures == 0


async def test_auth_28_a_hundred_restarts_send_three_passwords(world):
    world.api.password = "another one"
    for life in range(100):
        session = world.start()
        await refused(session)
        if life % 2:
            await world.kill()
        else:
            await session.close()
        world.clock.tick(5)
    assert len(world.logins) == 3


async def test_auth_28_fifty_restarts_over_the_real_spool_send_three_passwords_in_each_pause(world, tmp_path):
    world.api.password = "another one"
    state = tmp_path / "state"
    for pauses in (1, 2):
        for _ in range(50):
            async with Agent(world, state) as agent:
                error = await refused(agent.session)
                assert 0 < error.retry_after <= 900
        assert len(world.logins) == 2 + pauses  # three, then one after each pause
        assert agent.session.status().state == "blocked"
        world.clock.tick(901)
    world.secret("password", "another one")
    async with Agent(world, state) as agent:
        await agent.session.sign()
        assert (agent.session.status().failures, len(world.refreshes)) == (0, 0)


async def test_auth_28_a_kill_while_the_login_is_under_way_counts_too(world):
    world.server.script(LOGIN, Answer(hold=asyncio.Event()))
    for life in range(10):
        session = world.start()
        asking = asyncio.ensure_future(session.sign())
        if life < 3:
            await world.server.until(life + 1, LOGIN)
        else:
            await asyncio.wait({asking})
        await world.kill()
        await asyncio.wait({asking})
        assert asking.exception() is not None
    assert len(world.logins) == 3


async def test_auth_28_a_wall_clock_years_off_blocks_no_longer_than_the_pause(world):
    world.api.password = "another one"
    session = world.start()
    for _ in range(3):
        await refused(session)
        world.clock.tick(300)
    await session.close()
    world.clock.step_wall(-30 * 365 * 86_400)
    session = world.start()
    error = await refused(session)
    assert error.retry_after <= 900


async def test_auth_28_two_sessions_of_one_store_share_the_limit(world):
    world.api.password = "another one"
    session = world.start()
    sessions = session, world.start(store=world.store)
    for _ in range(5):
        for one in sessions:
            await refused(one)
        world.clock.tick(100)
    assert len(world.logins) == 3
    assert {one.status().state for one in sessions} == {"blocked"}
    assert (await world.row()).failures == 3


async def test_auth_29_a_replaced_credential_file_resets_the_count(world):
    world.api.password = "the new one"
    session = world.start()
    for _ in range(3):
        await refused(session)
        world.clock.tick(300)
    world.secret("password", "the new one")
    signing = asyncio.ensure_future(signed_soon(world, session, tries=1000))
    await signing
    assert (len(world.logins), session.status().failures) == (4, 0)


@pytest.mark.parametrize(("secret", "value"), [("password", "the new one"), ("user", "another fleet")])
async def test_auth_29_each_secret_of_a_connection_is_tried_at_once_when_it_changes(world, secret, value):
    def login(request):
        right = request.form["username" if secret == "user" else secret] == value
        return Answer(200, json=world.api.pair()) if right else Answer(401)

    world.server.script(LOGIN, login)
    session = world.start()
    for _ in range(3):
        await refused(session)
        world.clock.tick(10)
    assert (await refused(session)).retry_after > 800
    world.secret(secret, value)
    while not world.clock.sleeping:  # noqa: ASYNC110 - the keeper naps
        await asyncio.sleep(0.002)
    await world.clock.advance(12)  # of 900 seconds
    await world.server.until(4, LOGIN)
    while session.status().state != "signed in":
        await session.changed()


async def test_auth_29_a_replaced_credential_file_is_seen_without_a_request(world):
    world.api.password = "the new one"
    session = world.start()
    for _ in range(3):
        await refused(session)
        world.clock.tick(300)
    world.secret("password", "the new one")
    while len(world.logins) < 4:
        await world.clock.advance(1)
        await turns()
    while session.status().state != "signed in":
        await session.changed()
    assert session.status().failures == 0


async def test_auth_29_the_same_wrong_secret_written_again_resets_nothing(world):
    world.api.password = "another one"
    session = world.start()
    for _ in range(3):
        await refused(session)
        world.clock.tick(300)
    world.secret("password", "correct horse battery")
    await session.close()
    await refused(world.start())
    assert len(world.logins) == 3


async def test_a_login_that_was_not_judged_is_not_counted(world):
    world.server.script(LOGIN, [*[Answer(503)] * 10, world.api.login])
    session = world.start()
    await signed_soon(world, session)
    assert (len(world.logins), session.status().failures) == (11, 0)


async def test_a_missing_secret_is_told_and_found_again(world):
    path = world.folder / "secrets" / "password"
    path.unlink()
    session = world.start()
    error = await refused(session)
    assert "secret password: No such file" in error.message
    assert world.server.requests == []
    world.secret("password", "correct horse battery")
    await signed_soon(world, session)
