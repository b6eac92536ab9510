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


async def test_auth_56_a_login_that_fails_stops_no_other_connection(still, server, auth):
    auth.api.password = "another one"
    server.script("/other", Answer(204))
    locked_out = await still.connect(session=auth.start("one"))
    still.route(locked_out, name="locked-out")
    still.route(await still.connect(), name="free", endpoint="other")
    await still.spooled("a", job="locked-out")
    await still.spooled("x", "y", job="free")
    await still.deliverer.start()
    await server.until(2, "/other")
    while locked_out.session.status().state != "blocked":
        await in_time(still, 1)
    wait = await still.waits("session", job="locked-out")
    assert "401 Unauthorized: invalid_grant" in wait.reason
    await still.spooled("z", job="free")
    await server.until(3, "/other")
    await still.settled("free")
    assert (still.overview("free").delivered, still.overview("locked-out").waiting) == (3, 1)
    assert (len(auth.logins), server.asked("/in")) == (3, [])
    await still.deliverer.stop(0)


async def test_auth_57_with_auth_down_deliveries_go_on_to_the_end_of_the_token_and_then_wait(
    still, server, auth
):
    server.script("/in", takes_good_tokens(auth))
    connection = await still.connect(session=auth.start())
    still.route(connection)
    await still.spooled("0")
    await still.deliverer.start()
    await server.until(1, "/in")
    await still.settled()
    server.script("/api/auth/refresh", Answer(503))
    for minute in range(1, 60):
        still.clock.tick(60)
        await still.spooled(str(minute))
        await server.until(minute + 1, "/in")
        await still.settled()
    assert still.overview().delivered == 60
    still.clock.tick(61)
    auth.api.access = set()
    await still.spooled("60", "61")
    wait = await still.waits("session")
    assert "503" in wait.reason
    await in_time(still, 600)
    assert (still.overview().waiting, len(server.asked("/in")), len(auth.logins)) == (2, 60, 1)
    server.script("/api/auth/refresh", auth.api.refresh)
    await delivered_in_time(still)
    assert sent(server.asked("/in")) == [str(number) for number in range(62)]
    assert (len(auth.logins), connection.session.status().refreshes) == (1, 1)


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
