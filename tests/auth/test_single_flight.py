from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from agent.errors import NotSignedIn
from tests.support.auth_world import REFRESH
from tests.support.clock import turns
from tests.support.scripted import Answer


async def expired(world):
    """A session whose token has just run out."""
    session = world.start()
    first = await session.sign()
    world.clock.tick(3601)
    return session, first


async def test_auth_01_fifty_tasks_at_expiry_make_one_refresh(world):
    session, first = await expired(world)
    signed = await asyncio.gather(*(session.sign() for _ in range(50)))
    assert {s.generation for s in signed} == {first.generation + 1}
    assert (len(world.refreshes), len(world.logins)) == (1, 1)


async def test_auth_02_late_401_of_an_old_generation(world):
    session = world.start()
    old = await session.sign()
    await session.rejected(old.generation)
    await session.rejected(old.generation)
    assert (await session.sign()).generation == old.generation + 1
    assert len(world.refreshes) == 1


async def test_auth_03_every_renewal_sends_the_newest_refresh_token(world):
    session = world.start()
    for _ in range(5):
        signed = await session.sign()
        world.clock.tick(700)
        await asyncio.gather(*(session.rejected(signed.generation) for _ in range(10)))
    sent = world.sent_refresh_tokens()
    assert len(sent) == len(set(sent)) == 5


async def test_auth_04_a_lifetime_below_renew_before_makes_no_storm(world):
    world.api.expires_in = 30
    session = world.start()
    for _ in range(300):
        await session.sign()
        world.clock.tick(1)
    sent = world.sent_refresh_tokens()
    assert len(sent) == len(set(sent)) <= 10


async def test_auth_05_a_shrinking_expires_in_is_asked_once_in_30_seconds(world):
    times = []

    def same_again(request):
        times.append(world.clock.monotonic())
        pair = world.api.pair()
        return Answer(
            200, json={**pair, "access_token": "the-same-access", "expires_in": max(1, 9 - len(times))}
        )

    world.api.expires_in = 10
    session = world.start()
    world.server.script(REFRESH, same_again)
    for _ in range(400):
        await session.sign()
        world.clock.tick(0.5)
    assert len(times) >= 3
    assert all(later - earlier >= 30 for earlier, later in pairwise(times))


async def test_auth_06_a_new_request_waits_while_a_401_is_healed(world):
    session = world.start()
    old = await session.sign()
    hold = asyncio.Event()
    world.server.script(REFRESH, Answer(200, json=world.api.pair(), hold=hold))
    healing = asyncio.ensure_future(session.rejected(old.generation))
    await world.server.until(1, REFRESH)
    new = asyncio.ensure_future(session.sign())
    await turns()
    assert not new.done()
    assert session.status().state == "refreshing"
    hold.set()
    assert (await new).generation == old.generation + 1
    await healing


async def test_auth_07_a_cancelled_caller_does_not_cancel_the_refresh(world):
    session = world.start()
    old = await session.sign()
    hold = asyncio.Event()
    world.server.script(REFRESH, Answer(200, json=world.api.pair(), hold=hold))
    first = asyncio.ensure_future(session.rejected(old.generation))
    await world.server.until(1, REFRESH)
    second = asyncio.ensure_future(session.rejected(old.generation))
    await turns()
    first.cancel()
    await asyncio.wait({first})
    hold.set()
    await second
    assert first.cancelled()
    assert (await world.row()).generation == old.generation + 1
    assert len(world.refreshes) == 1


async def test_auth_31_new_tokens_that_are_refused_too_cost_no_storm(world):
    session = world.start()
    told = []
    for _ in range(100):
        signed = await session.sign()
        try:
            await session.rejected(signed.generation)
        except NotSignedIn as error:
            told.append(error.retry_after)
        world.clock.tick(1)
    assert len(world.refreshes) <= 6
    assert max(told) > 30
    assert (await session.sign()).headers  # other endpoints may well take the token
    assert len(world.logins) == 1


async def test_auth_44_a_refresh_that_hangs_blocks_nobody_with_a_valid_token(world):
    session = world.start()
    first = await session.sign()
    world.server.script(REFRESH, Answer(hold=asyncio.Event()))
    world.clock.tick(3560)
    assert (await session.sign()).generation == first.generation
    await world.server.until(1, REFRESH)
    signed = await asyncio.gather(*(session.sign() for _ in range(20)))
    assert {s.generation for s in signed} == {first.generation}
    world.close_grace = session._close_grace = 0.01


@pytest.mark.parametrize("trickle", [0.0, 0.05])
async def test_auth_44_a_total_deadline_ends_an_answer_that_never_comes(world, trickle):
    session, _ = await expired(world)
    session._flights._renewal._grant._api._timeout = session._flights._renewal._grant._api._timeout.__class__(
        total=0.3
    )
    slow = Answer(200, b"{" + b" " * 100_000, trickle=trickle) if trickle else Answer(hold=asyncio.Event())
    world.server.script(REFRESH, slow)
    with pytest.raises(NotSignedIn, match=r"no answer within 0\.3 s"):
        await session.sign()
    assert len(world.logins) == 1


async def test_auth_55_a_failed_renewal_in_the_background_is_tried_again(world):
    session = world.start()
    first = await session.sign()
    world.server.script(REFRESH, [Answer(503), world.api.refresh])
    world.clock.tick(3545)
    await session.sign()
    await world.server.until(1, REFRESH)
    while session.status().state == "refreshing":
        await session.changed()
    assert session.status().last_error.startswith("refresh failed: 503")
    while session.status().generation == first.generation:
        await world.clock.advance(5)
        await turns()
    assert [len(world.refreshes), len(world.logins)] == [2, 1]


async def test_auth_56_one_throttled_session_does_not_slow_another(world):
    one, other = world.start("one"), world.start("other")
    first, second = await one.sign(), await other.sign()
    world.server.script(REFRESH, [Answer(429, headers={"Retry-After": "600"}), world.api.refresh])
    with pytest.raises(NotSignedIn) as refused:
        await one.rejected(first.generation)
    assert refused.value.retry_after == 600
    await other.rejected(second.generation)
    assert (await other.sign()).generation == second.generation + 1


async def test_auth_58_ten_thousand_waiters_share_one_refresh(world):
    session = world.start()
    signed = await session.sign()
    await asyncio.gather(*(session.rejected(signed.generation) for _ in range(10_000)))
    assert len(world.refreshes) == 1


async def test_a_session_that_nobody_asks_does_nothing(world):
    session = world.start()
    await world.clock.advance(7200)
    assert world.server.requests == []
    assert session.status().state == "not signed in"


async def test_the_keeper_renews_before_the_end_and_nobody_has_to_ask(world):
    session = world.start()
    await session.sign()
    await world.clock.advance(3545)
    await world.server.until(1, REFRESH)
    while session.status().refreshes == 0:
        await session.changed()
    assert len(world.refreshes) == 1


async def test_a_closed_session_signs_only_what_it_has(world):
    session = world.start()
    signed = await session.sign()
    await session.close()
    await session.close()
    assert (await session.sign()).generation == signed.generation
    with pytest.raises(NotSignedIn, match="stopping"):
        await session.rejected(signed.generation)


async def test_neither_repr_nor_status_shows_a_token(world):
    session = world.start()
    signed = await session.sign()
    shown = repr((signed, session.status(), session._held.token, await world.row()))
    assert "access-1" not in shown
    assert "refresh-1" not in shown
    assert signed.headers["Authorization"] == "Bearer access-1-aaaaaaaaaaaa"
