"""`refresh`, `login` and `forget`: what a person asks of a session, and what stays as it was."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agent.auth import open_session
from agent.auth.exchange import MAX_WORDS
from agent.auth.vault import Vault
from agent.config.model import BearerAuth, Connection, NoAuth, SecretRef
from agent.errors import NotSignedIn, UsageError
from tests.support.auth_world import LOGIN, REFRESH, WHERE, FileSecrets, signed_soon
from tests.support.clock import FakeClock, turns
from tests.support.scripted import DROP, Answer

LOGOUT = "/api/auth/logout"


@pytest.fixture
def farewell(world):
    """An Auth API with a logout that ends the pair."""
    world.configure(logout_path="/auth/logout")
    world.server.script(LOGOUT, Answer(200))
    return world


async def wrong_login(session):
    with pytest.raises(NotSignedIn) as told:
        await session.login()
    return told.value


# ---------------------------------------------------------------------------------- refresh


async def test_refresh_renews_a_good_token(world):
    session = world.start()
    old = await session.sign()
    await session.refresh()
    assert (await session.sign()).generation == old.generation + 1
    assert (len(world.refreshes), len(world.logins)) == (1, 1)


async def test_refresh_in_a_new_life_renews_the_stored_pair(world):
    old = await world.start().sign()
    await world.sessions[-1].close()
    session = world.start()
    await session.refresh()
    assert session.status().generation == old.generation + 1
    assert (len(world.refreshes), len(world.logins)) == (1, 1)


async def test_refresh_without_a_pair_is_the_first_login(world):
    session = world.start()
    await session.refresh()
    assert session.status().state == "signed in"
    assert (len(world.refreshes), len(world.logins)) == (0, 1)


async def test_fifty_who_ask_at_once_and_a_lane_with_a_401_share_one_refresh(world):
    session = world.start()
    old = await session.sign()
    hold = asyncio.Event()
    world.server.script(REFRESH, [Answer(200, json=world.api.pair(), hold=hold)])
    asking = [asyncio.ensure_future(session.rejected(old.generation))]
    await world.server.until(1, REFRESH)
    asking += [asyncio.ensure_future(session.refresh()) for _ in range(50)]
    await turns()
    hold.set()
    await asyncio.gather(*asking)
    assert len(world.refreshes) == 1


async def test_refresh_during_the_look_into_the_store_still_renews(world):
    await world.start().sign()
    await world.sessions[-1].close()
    session = world.start()
    first, _ = await asyncio.gather(session.sign(), session.refresh())
    assert session.status().generation == first.generation + 1
    assert len(world.refreshes) == 1


async def test_refresh_is_not_held_up_by_our_own_pause(world):
    session = world.start()
    await session.sign()
    world.server.script(
        REFRESH, [Answer(503), Answer(400, json={"error": "invalid_grant"}), world.api.refresh]
    )
    with pytest.raises(NotSignedIn, match="connection p: refresh failed: 503"):
        await session.refresh()
    with pytest.raises(NotSignedIn, match="refresh was refused: 400 Bad Request: invalid_grant"):
        await session.refresh()
    assert session.status().next_try is not None
    await session.refresh()
    assert (session.status().last_error, session.status().next_try) == ("", None)
    assert (len(world.refreshes), len(world.logins)) == (3, 1)


@pytest.mark.parametrize("ask", ["refresh", "login"])
async def test_a_pause_that_the_auth_api_asked_for_is_obeyed(world, ask):
    session = world.start()
    await session.sign()
    world.server.script(REFRESH, [Answer(429, headers={"Retry-After": "120"}), world.api.refresh])
    with pytest.raises(NotSignedIn, match="429"):
        await session.refresh()
    with pytest.raises(NotSignedIn, match="429") as told:
        await getattr(session, ask)()
    assert 0 < told.value.retry_after <= 120
    assert len(world.server.requests) == 2
    world.clock.tick(121)
    await getattr(session, ask)()


async def test_refresh_that_is_answered_by_401_logs_in_as_always(world):
    session = world.start()
    await session.sign()
    world.api.living.clear()
    await session.refresh()
    assert (len(world.refreshes), len(world.logins)) == (1, 2)


async def test_who_stops_waiting_does_not_stop_the_refresh(world):
    session = world.start()
    old = await session.sign()
    hold = asyncio.Event()
    world.server.script(REFRESH, Answer(200, json=world.api.pair(), hold=hold))
    asking = asyncio.ensure_future(session.refresh())
    await world.server.until(1, REFRESH)
    asking.cancel()
    hold.set()
    while session.status().generation == old.generation:
        await session.changed()
    assert (await world.row()).generation == old.generation + 1


# ---------------------------------------------------------------------------------- login


async def test_login_signs_in_anew_beside_a_good_pair(world):
    session = world.start()
    old = await session.sign()
    await session.login()
    assert (await session.sign()).generation == old.generation + 1
    assert (len(world.refreshes), len(world.logins), session.status().logins) == (0, 2, 2)


async def test_a_login_in_vain_leaves_the_pair_and_the_lanes_alone(world):
    session = world.start()
    old = await session.sign()
    world.api.password = "another one"
    error = await wrong_login(session)
    assert "the login was refused: 401 Unauthorized: invalid_grant" in error.message
    assert await session.sign() == old
    assert (session.status().state, session.status().failures) == ("signed in", 1)
    await session.rejected(old.generation)
    assert (len(world.refreshes), session.status().generation) == (1, old.generation + 1)


async def test_auth_28_logins_by_hand_are_counted_over_restarts_and_refused_while_blocked(world):
    session = world.start()
    await session.sign()
    world.api.password = "another one"
    for _ in range(3):
        await wrong_login(session)
    for _ in range(3):
        error = await wrong_login(session)
        assert "3 logins in a row were refused" in error.message
        assert "the next one is allowed in" in error.message
        assert 0 < error.retry_after <= 900
    await session.refresh()  # the pair is good: it is renewed, and that forgives no failed login
    await wrong_login(session)
    await session.close()
    session = world.start()
    await wrong_login(session)
    await session.sign()
    assert (len(world.logins), len(world.refreshes)) == (4, 1)
    world.api.password = "correct horse battery"
    world.clock.tick(901)
    await session.login()
    assert session.status().failures == 0


async def test_auth_29_a_new_secret_opens_the_login_at_once(world):
    world.api.password = "the new one"
    session = world.start()
    for _ in range(3):
        await wrong_login(session)
    assert session.status().state == "blocked"
    await wrong_login(session)
    world.secret("password", "the new one")
    await session.login()
    assert (len(world.logins), session.status().state) == (4, "signed in")


async def test_a_lane_that_needs_a_token_during_a_login_in_vain_gets_it_by_refresh(world):
    session = world.start()
    old = await session.sign()
    hold = asyncio.Event()
    world.server.script(LOGIN, Answer(401, hold=hold))
    asking = asyncio.ensure_future(session.login())
    await world.server.until(2, LOGIN)
    healing = asyncio.ensure_future(session.rejected(old.generation))
    await turns()
    hold.set()
    await healing
    with pytest.raises(NotSignedIn):
        await asking
    assert (len(world.refreshes), len(world.logins)) == (1, 2)
    assert world.server.most_in_flight == 1


async def test_a_login_waits_for_the_refresh_under_way_and_two_logins_are_one(world):
    session = world.start()
    old = await session.sign()
    hold = asyncio.Event()
    world.server.script(REFRESH, Answer(200, json=world.api.pair(), hold=hold))
    healing = asyncio.ensure_future(session.rejected(old.generation))
    await world.server.until(1, REFRESH)
    logins = [asyncio.ensure_future(session.login()) for _ in range(2)]
    await turns()
    assert len(world.logins) == 1
    hold.set()
    await asyncio.gather(healing, *logins)
    assert (len(world.refreshes), len(world.logins), world.server.most_in_flight) == (1, 2, 1)


async def test_killed_in_a_login_by_hand_the_pair_is_still_there(world):
    session = world.start()
    old = await session.sign()
    world.server.script(LOGIN, Answer(hold=asyncio.Event()))
    asking = asyncio.ensure_future(session.login())
    await world.server.until(2, LOGIN)
    await world.kill()
    await asyncio.wait({asking})
    assert asking.exception() is not None
    session = world.start()
    assert (await session.sign()).generation == old.generation
    assert (session.status().failures, len(world.logins)) == (1, 2)


async def test_a_secret_that_is_missing_is_told_and_the_pair_stays(world):
    session = world.start()
    old = await session.sign()
    (world.folder / "secrets" / "password").unlink()
    assert "secret password: No such file" in (await wrong_login(session)).message
    assert (await session.sign(), len(world.logins)) == (old, 1)


# ---------------------------------------------------------------------------------- forget


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(200), "the tokens are erased; the Auth API was told"),
        (Answer(204), "the tokens are erased; the Auth API was told"),
        (Answer(200, b"<html>good bye"), "the tokens are erased; the Auth API was told"),
        (
            Answer(503, b"down"),
            "the tokens are erased; the Auth API could not be told: 503 Service Unavailable: down",
        ),
        (DROP, "the tokens are erased; the Auth API could not be told: the connection was closed"),
        (Answer(302, headers={"Location": "http://127.0.0.1:9/"}), "which is never followed"),
    ],
    ids=["200", "204", "HTML", "503", "dropped", "redirect"],
)
async def test_auth_59_the_local_pair_is_erased_whatever_logout_answers(farewell, answer, outcome):
    session = farewell.start()
    old = await session.sign()
    farewell.server.script(LOGOUT, answer)
    told = await session.forget()
    assert outcome in told
    assert len(told) < MAX_WORDS * 2
    row = await farewell.row()
    assert (row.sealed, row.refreshing, row.expires_at, row.generation) == (None, None, None, old.generation)
    assert session.status().state == "not signed in"
    assert [request.form for request in farewell.server.asked(LOGOUT)] == [
        {"refresh_token": "refresh-1-rrrrrrrrrrrr"}
    ]
    assert "refresh-1" not in told


async def test_auth_59_an_unreachable_logout_erases_too(farewell):
    session = farewell.start()
    await session.sign()
    session._flights._renewal._grant.auth = replace(farewell.auth, url="http://127.0.0.1:9")
    assert "could not be told: cannot connect to 127.0.0.1:9" in await session.forget()
    assert (await farewell.row()).sealed is None


async def test_auth_59_killed_while_logout_is_told_nothing_is_left(farewell):
    session = farewell.start()
    await session.sign()
    farewell.server.script(LOGOUT, Answer(hold=asyncio.Event()))
    asking = asyncio.ensure_future(session.forget())
    await farewell.server.until(1, LOGOUT)
    assert (await farewell.row()).sealed is None
    await farewell.kill()
    await asyncio.wait({asking})
    assert asking.exception() is not None
    await farewell.start().sign()
    assert (len(farewell.refreshes), len(farewell.logins)) == (0, 2)


async def test_after_forget_nobody_signs_in_before_a_token_is_needed(world):
    session = world.start()
    old = await session.sign()
    assert await session.forget() == "the tokens are erased"
    for _ in range(100):
        await world.clock.advance(60)
    assert len(world.server.requests) == 1
    assert (await session.sign()).generation == old.generation + 1
    assert (len(world.refreshes), len(world.logins)) == (0, 2)
    assert await session.forget() == "the tokens are erased"
    await session.close()
    await world.start().sign()
    assert (len(world.refreshes), len(world.logins)) == (0, 3)


async def test_forget_erases_what_an_earlier_life_stored(farewell):
    await farewell.start().sign()
    await farewell.sessions[-1].close()
    assert await farewell.start().forget() == "the tokens are erased; the Auth API was told"
    assert (await farewell.row()).sealed is None
    assert await farewell.sessions[-1].forget() == "there were no tokens"
    assert len(farewell.server.asked(LOGOUT)) == 1


async def test_forget_tells_another_auth_api_nothing_of_the_old_pair(farewell):
    await farewell.start().sign()
    await farewell.sessions[-1].close()
    farewell.configure(url=farewell.server.url.replace("127.0.0.1", "localhost") + "/api")
    assert await farewell.start().forget() == "there were no tokens"  # the log says that they were dropped
    assert (await farewell.row()).sealed is None
    assert farewell.server.asked(LOGOUT) == []


async def test_forget_waits_for_the_refresh_under_way_and_erases_what_it_brought(farewell):
    session = farewell.start()
    old = await session.sign()
    hold = asyncio.Event()
    farewell.server.script(REFRESH, Answer(200, json=farewell.api.pair(), hold=hold))
    healing = asyncio.ensure_future(session.rejected(old.generation))
    await farewell.server.until(1, REFRESH)
    forgetting = asyncio.ensure_future(session.forget())
    await turns()
    hold.set()
    await asyncio.gather(healing, forgetting)
    assert farewell.server.asked(LOGOUT)[0].form == {"refresh_token": "refresh-2-rrrrrrrrrrrr"}
    assert (await farewell.row()).sealed is None


async def test_a_lane_that_comes_during_forget_signs_in_anew(farewell):
    session = farewell.start()
    old = await session.sign()
    hold = asyncio.Event()
    farewell.server.script(LOGOUT, Answer(hold=hold))
    forgetting = asyncio.ensure_future(session.forget())
    await farewell.server.until(1, LOGOUT)
    signing = asyncio.ensure_future(session.sign())
    await turns()
    assert not signing.done()
    hold.set()
    assert (await signing).generation == old.generation + 1
    await forgetting
    assert (len(farewell.refreshes), len(farewell.logins)) == (0, 2)


async def test_forget_is_no_way_around_the_login_limit(world):
    world.api.password = "another one"
    session = world.start()
    for _ in range(10):
        with pytest.raises(NotSignedIn):
            await session.sign()
        world.clock.tick(10)
        await session.forget()
    assert len(world.logins) == 3


async def test_auth_39_forget_with_a_store_that_is_full_says_so_and_tries_again(world):
    session = world.start()
    await session.sign()
    world.store.failing = True
    assert "the state cannot be written now: it is tried again" in await session.forget()
    assert session.status().stored is False
    world.store.failing = False
    while (await world.row()).sealed is not None:
        await world.clock.advance(10)
    assert len(world.server.requests) == 1


async def test_forget_with_a_state_that_cannot_be_read_is_an_error(world):
    session = world.start()
    world.store.unreadable = True
    with pytest.raises(NotSignedIn, match="the state cannot be read: disk I/O error"):
        await session.forget()
    world.store.unreadable = False
    assert await session.forget() == "there were no tokens"


@pytest.mark.parametrize("ask", ["refresh", "login", "forget"])
async def test_a_session_that_is_closed_does_nothing_more(world, ask):
    session = world.start()
    await session.sign()
    await session.close()
    with pytest.raises(NotSignedIn, match="stopping"):
        await getattr(session, ask)()
    assert len(world.server.requests) == 1


# ---------------------------------------------------------------------------------- without renewal


@pytest.fixture
def bearer(tmp_path):
    (tmp_path / "key").write_text("first-value")
    auth = BearerAuth(token=SecretRef(kind="secret", name="key", where=WHERE))
    connection = Connection(name="p", auth=auth, where=WHERE)
    return open_session(connection, FileSecrets(tmp_path), None, Vault(b"k" * 32), FakeClock(), None)


async def test_refresh_reads_a_fixed_secret_again_at_once(bearer, tmp_path):
    await bearer.sign()
    (tmp_path / "key").write_text("second-value")
    await bearer.refresh()
    assert (await bearer.sign()).headers["Authorization"] == "Bearer second-value"
    (tmp_path / "key").unlink()
    with pytest.raises(NotSignedIn, match="secret key: No such file"):
        await bearer.refresh()


async def test_refresh_of_a_refused_secret_says_that_it_is_the_same(bearer, tmp_path):
    first = await bearer.sign()
    with pytest.raises(NotSignedIn):
        await bearer.rejected(first.generation)
    with pytest.raises(NotSignedIn, match="the secret has not changed"):
        await bearer.refresh()


async def test_a_fixed_secret_has_no_login(bearer):
    with pytest.raises(UsageError, match="p has no login") as told:
        await bearer.login()
    assert told.value.hint == "push-agent auth refresh p reads the secret again"


async def test_forget_drops_a_fixed_secret_until_it_is_read_again(bearer, tmp_path):
    first = await bearer.sign()
    assert "out of memory" in await bearer.forget()
    assert "first-value" not in repr(vars(bearer)["_signed"].headers)
    again = await bearer.sign()
    assert (again.headers, again.generation) == (first.headers, first.generation + 1)
    await bearer.forget()
    (tmp_path / "key").unlink()
    with pytest.raises(NotSignedIn):
        await bearer.sign()


@pytest.mark.parametrize("ask", ["refresh", "login", "forget"])
async def test_where_nobody_signs_in_there_is_nothing_to_ask_for(ask):
    session = open_session(
        Connection(name="p", auth=NoAuth(), where=WHERE), None, None, None, FakeClock(), None
    )
    with pytest.raises(UsageError, match="connection p has no `auth`: nobody signs in there"):
        await getattr(session, ask)()


async def test_status_says_when_the_renewal_is_due_and_whether_the_pair_is_stored(world):
    session = world.start()
    assert (session.status().renewal_at, session.status().stored) == (None, False)
    await session.sign()
    status = session.status()
    assert (status.renewal_at, status.stored) == (world.clock.now() + 3540, True)
    assert await signed_soon(world, session)
