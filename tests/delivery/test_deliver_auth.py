"""What a 401 leads to, with a real session that signs in to a scripted Auth API."""

from __future__ import annotations

import asyncio

import pytest

from agent.config.model import Limits
from tests.support.auth_world import World as AuthWorld
from tests.support.auth_world import auth_client
from tests.support.delivery import sent
from tests.support.scripted import Answer


@pytest.fixture
async def auth(tmp_path, server, still):
    async with auth_client() as client:
        auth = AuthWorld(tmp_path, server, client, clock=still.clock)
        yield auth
        await auth.close()


def takes_good_tokens(auth):
    """A target that lets in whoever has the newest token."""

    def answer(request):
        token = request.headers["Authorization"].removeprefix("Bearer ")
        return Answer(204 if token in auth.api.access else 401)

    return answer


async def in_time(world, seconds):
    """Let so much time pass in small steps, with room for real requests in between."""
    for _ in range(int(seconds)):
        await world.clock.advance(1)
        await asyncio.sleep(0.001)


async def delivered_in_time(world):
    while await world.deliverer.drained("gps") is not None:
        await in_time(world, 1)


def tried(server, path="/in"):
    return [one.headers["Idempotency-Key"] for one in server.asked(path)]


async def test_auth_32_after_a_401_the_same_bytes_are_sent_with_the_same_key(still, server, auth):
    server.script("/in", takes_good_tokens(auth))
    keys = await still.spooled("a", "b")
    connection = await still.connect(session=auth.start(), accepts_gzip=True)
    await connection.sign()
    auth.api.access = set()  # the token dies early
    still.route(connection)
    await still.deliverer.start()
    await still.settled()
    assert tried(server) == [keys[0], keys[0], keys[1]]
    first, second, _ = server.asked("/in")
    assert first.body == second.body
    assert (len(auth.logins), len(auth.refreshes)) == (1, 1)
    assert still.overview().last_receipt.attempts == 1
    assert still.deliverer.snapshot().attempts["gps", "unauthorized"] == 1


async def test_eight_lanes_that_meet_a_dead_token_cause_one_refresh(still, server, auth):
    server.script("/in", takes_good_tokens(auth))
    for lane in range(8):
        await still.spooled("a", "b", lane=lane)
    connection = await still.connect(session=auth.start(), limits=Limits(concurrency=8))
    await connection.sign()
    auth.api.access = set()
    still.route(connection)
    await still.deliverer.start()
    await still.settled()
    assert still.overview().delivered == 16
    assert (len(auth.logins), len(auth.refreshes)) == (1, 1)


async def test_auth_31_a_second_401_makes_the_lane_wait_and_the_others_go_on(still, server, auth):
    server.script("/in", Answer(401))
    server.script("/other", Answer(204))
    connection = await still.connect(session=auth.start())
    still.route(connection, name="locked-out")
    still.route(connection, name="free", endpoint="other")
    await still.spooled("a", job="locked-out")
    await still.deliverer.start()
    wait = await still.waits("unauthorized", job="locked-out")
    assert wait.attempts == 0
    assert len(server.asked("/in")) == 2
    assert len(auth.refreshes) == 1
    await still.spooled("x", "y", job="free")
    await server.until(2, "/other")
    await still.settled("free")
    assert still.overview("locked-out").waiting == 1


async def test_auth_31_a_target_that_refuses_every_token_is_no_storm_of_refreshes(still, server, auth):
    answers = [Answer(401)] * 10 + [Answer(204)]
    server.script("/in", answers)
    connection = await still.connect(session=auth.start())
    still.route(connection)
    await still.spooled("a")
    await still.deliverer.start()
    await delivered_in_time(still)
    assert len(server.asked("/in")) == 11
    assert len(auth.refreshes) <= 2
    assert len(auth.logins) == 1


async def test_auth_30_a_403_leads_to_no_refresh(still, server, auth):
    server.script("/in", [Answer(403), Answer(403), Answer(204)])
    connection = await still.connect(session=auth.start())
    still.route(connection)
    await still.spooled("a")
    await still.deliverer.start()
    await delivered_in_time(still)
    assert (len(auth.logins), len(auth.refreshes)) == (1, 0)


async def test_nothing_is_sent_before_the_login_and_the_lane_says_why_it_waits(still, server, auth):
    server.script("/in", takes_good_tokens(auth))
    server.script("/api/auth/password", [Answer(503), auth.api.login])
    connection = await still.connect(session=auth.start())
    still.route(connection)
    await still.spooled("a")
    await still.deliverer.start()
    wait = await still.waits("session")
    assert "503" in wait.reason
    assert server.asked("/in") == []
    await delivered_in_time(still)
    assert sent(server.asked("/in")) == ["a"]


async def test_a_401_without_any_auth_is_a_wait_that_says_so(still, server):
    server.script("/in", Answer(401))
    await still.spooled("a")
    await still.start()
    wait = await still.waits("session")
    assert "there is no `auth`" in wait.reason
    assert still.overview().waiting == 1


async def test_what_the_session_added_is_in_no_dead_letter(still, server, auth):
    server.script("/in", Answer(422))
    connection = await still.connect(session=auth.start())
    still.route(connection)
    await still.spooled("a")
    await still.deliverer.start()
    await still.settled()
    letter = still.reader().dead_letter(still.reader().dead("gps")[0].id)
    assert "Authorization" not in letter.headers
    assert "access-" not in repr(letter)


async def test_a_scope_that_is_missing_is_named_in_the_reason_of_the_wait(still, server, auth):
    challenge = 'Bearer error="insufficient_scope", scope="trips:write", error_description="Not for you"'
    server.script("/in", Answer(403, headers={"WWW-Authenticate": challenge}))
    connection = await still.connect(session=auth.start())
    still.route(connection)
    await still.spooled("a")
    await still.deliverer.start()
    wait = await still.waits("misdirected")
    assert (
        wait.reason
        == '403 Forbidden: insufficient_scope (scope "trips:write" is needed: see `auth.scope`) - Not for you'
    )
    assert (len(auth.logins), len(auth.refreshes)) == (1, 0)


async def test_what_the_target_said_stands_beside_what_the_session_says(still, server, auth):
    def refuse(request):
        token = request.headers["Authorization"].removeprefix("Bearer ")
        challenge = f'Bearer error="invalid_token", error_description="revoked: {token}"'
        return Answer(401, headers={"WWW-Authenticate": challenge})

    server.script("/in", refuse)
    server.script("/api/auth/refresh", Answer(503))
    connection = await still.connect(session=auth.start())
    still.route(connection)
    await still.spooled("a")
    await still.deliverer.start()
    wait = await still.waits("session")
    assert wait.reason.startswith("connection p: not signed in: refresh failed: 503")
    assert wait.reason.endswith("(the target: 401 Unauthorized: invalid_token - revoked: ********)")
