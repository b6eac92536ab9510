from __future__ import annotations

import asyncio
import json
import math

import pytest

from agent.auth.token import Moment, Token
from agent.errors import NotSignedIn
from agent.pacing import retry_after
from tests.support.auth_world import LOGIN, PASSWORD, REFRESH, signed_soon
from tests.support.scripted import Answer, RawServer, ScriptedServer


async def test_auth_14_lifetime_counts_from_sending(world):
    session = world.start()

    def slow(request):
        world.clock.tick(20)
        return world.api.login(request)

    world.server.script(LOGIN, slow)
    sent = world.clock.now()
    await session.sign()
    assert session.status().expires_at == sent + 3600


async def test_auth_15_a_wall_clock_two_hours_ahead_costs_one_refresh(world):
    session = world.start()
    await session.sign()
    world.clock.step_wall(7200)
    for _ in range(100):
        await session.sign()
        world.clock.tick(10)
    assert (len(world.refreshes), len(world.logins)) == (1, 1)


async def test_auth_16_a_wall_clock_two_hours_behind_does_not_lengthen_a_life(world):
    session = world.start()
    first = await session.sign()
    world.clock.step_wall(-7200)
    world.clock.tick(3601)
    assert (await session.sign()).generation == first.generation + 1
    assert (len(world.refreshes), len(world.logins)) == (1, 1)


async def test_auth_17_after_two_hours_of_suspend_it_refreshes_before_the_first_send(world):
    session = world.start()
    first = await session.sign()
    world.clock.suspend(7200)
    assert (await session.sign()).generation == first.generation + 1


async def test_auth_18_a_boot_in_1970_makes_no_login_loop(world):
    session = world.start()
    await session.sign()
    await session.close()
    today = world.clock.now()
    world.clock.wall, world.clock.boot, world.clock.mono = 100.0, 20.0, 20.0
    session = world.start()
    await session.sign()
    world.clock.wall = today + 60
    for _ in range(50):
        await session.sign()
        world.clock.tick(1)
    assert len(world.refreshes) <= 2
    assert len(world.logins) == 1


@pytest.mark.parametrize("where", [LOGIN, REFRESH])
async def test_auth_19_no_expires_in_means_the_default(world, where):
    session = world.start()
    pair = world.api.pair()
    del pair["expires_in"]
    world.server.script(where, Answer(200, json=pair))
    signed = await session.sign()
    if where == REFRESH:
        await session.rejected(signed.generation)
    assert session.status().expires_at == world.clock.now() + 3600


@pytest.mark.parametrize(
    ("said", "believed"),
    [
        ("3600", 3600),
        (3600.5, 3600.5),
        (1e12, 86_400),
        (10**400, 3600),
        ("a day", 3600),
        (True, 3600),
        ([], 3600),
        ({}, 3600),
        (math.nan, 3600),
        (math.inf, 86_400),
        (None, 3600),
    ],
)
async def test_auth_20_odd_lifetimes_are_neither_for_ever_nor_over(world, said, believed):
    session = world.start()
    body = json.dumps({**world.api.pair(), "expires_in": said}).encode()
    world.server.script(LOGIN, Answer(200, body))
    await session.sign()
    assert session.status().expires_at == world.clock.now() + believed
    assert len(world.server.requests) == 1


@pytest.mark.parametrize("said", [0, -1, "-5", -0.0])
async def test_auth_54_a_pair_that_is_already_over_is_an_error_with_a_pause(world, said):
    world.api.expires_in = said
    session = world.start()
    for _ in range(200):
        with pytest.raises(NotSignedIn, match="already over"):
            await session.sign()
        await world.clock.advance(1)
        while session.status().state == "refreshing":
            await session.changed()
    sent = world.sent_refresh_tokens()
    assert len(sent) == len(set(sent)) <= 8
    assert len(world.logins) == 1
    world.api.expires_in = 3600
    await signed_soon(world, session)


async def test_auth_21_no_refresh_token_in_the_answer_keeps_the_old_one(world):
    session = world.start()
    old = await session.sign()
    pair = {**world.api.pair(), "refresh_token": ""}
    world.server.script(REFRESH, [Answer(200, json=pair), world.api.refresh])
    await session.rejected(old.generation)
    world.clock.tick(700)
    await session.rejected(old.generation + 1)
    assert world.sent_refresh_tokens() == ["refresh-1-rrrrrrrrrrrr"] * 2
    assert len(world.logins) == 1


BAD_BODIES = {
    "html": b"<html>Please log in to the airport</html>",
    "truncated": b'{"access_token": "access-9-aaaaaaaaaa',
    "empty": b"",
    "null": b"null",
    "deep": b"[" * 100_000,
    "huge": b'{"access_token": "' + b"x" * 10_000_000,
}


@pytest.mark.parametrize("kind", BAD_BODIES)
async def test_auth_23_something_else_with_status_200_is_transient(world, kind):
    session = world.start()
    old = await session.sign()
    damaged = kind == "truncated"
    answers = [Answer(200, BAD_BODIES[kind])] * (2 if damaged else 1)
    world.server.script(REFRESH, [*answers, world.api.refresh])
    with pytest.raises(NotSignedIn) as told:
        await session.rejected(old.generation)
    assert "access-9" not in str(told.value)
    await signed_soon(world, session)
    assert len(set(world.sent_refresh_tokens())) == 1
    assert len(world.logins) == 1


async def test_auth_23_a_byte_order_mark_is_read_over(world):
    body = b"\xef\xbb\xbf" + json.dumps(world.api.pair()).encode()
    world.server.script(LOGIN, Answer(200, body))
    assert (await world.start().sign()).generation == 1


TRANSIENT = [500, 502, 503, 504, 429, 408]
LOUD = [400, 403, 404, 405, 422]


@pytest.mark.parametrize("status", TRANSIENT)
async def test_auth_24_a_busy_refresh_never_leads_to_a_login(world, status):
    session = world.start()
    old = await session.sign()
    world.server.script(REFRESH, [*[Answer(status)] * 5, world.api.refresh])
    with pytest.raises(NotSignedIn):
        await session.rejected(old.generation)
    await signed_soon(world, session)
    assert len(set(world.sent_refresh_tokens())) == 1
    assert (len(world.refreshes), len(world.logins)) == (6, 1)


async def test_auth_24_nobody_there_is_transient_and_nothing_was_sent(world):
    session = world.start()
    old = await session.sign()
    url = world.auth.url
    async with RawServer(b"") as gone:
        closed = gone.url
    session._flights._renewal._grant.auth = type(world.auth)(
        url=closed, username=world.auth.username, password=world.auth.password
    )
    session._memory.recognise = lambda who, token: token
    with pytest.raises(NotSignedIn, match="refresh failed"):
        await session.rejected(old.generation)
    assert session._flights._renewal._replayed == -1
    session._flights._renewal._grant.auth = world.auth
    assert url == world.auth.url
    await signed_soon(world, session)
    assert (len(world.refreshes), len(world.logins)) == (1, 1)


@pytest.mark.parametrize("status", LOUD)
async def test_auth_25_other_refusals_are_loud_and_nobody_logs_in(world, status, caplog):
    session = world.start()
    old = await session.sign()
    refusal = Answer(status, json={"error": "invalid_grant", "error_description": "Token is not active"})
    world.server.script(REFRESH, refusal)
    with pytest.raises(NotSignedIn, match=f"{status}.*invalid_grant - Token is not active") as told:
        await session.rejected(old.generation)
    assert told.value.retry_after >= 150
    assert f"if {status} means" in told.value.hint
    for _ in range(5):
        with pytest.raises(NotSignedIn):
            await session.sign()
    assert (len(world.refreshes), len(world.logins)) == (1, 1)
    assert [r.levelname for r in caplog.records if r.message == "cannot sign in"] == ["ERROR"]


async def test_auth_22_status_200_with_an_error_is_a_refusal(world):
    session = world.start()
    old = await session.sign()
    world.server.script(REFRESH, Answer(200, json={**world.api.pair(), "error": "server_busy"}))
    with pytest.raises(NotSignedIn, match="200: server_busy") as told:
        await session.rejected(old.generation)
    assert told.value.hint.startswith("if server_busy means here that a refresh token is dead")
    assert len(world.logins) == 1


async def test_a_good_status_is_never_named_as_one_that_means_login_again(world):
    session = world.start()
    old = await session.sign()
    world.server.script(REFRESH, Answer(200, json={"answer": 42}))
    with pytest.raises(NotSignedIn, match="200, but") as told:
        await session.rejected(old.generation)
    assert "login_again_on" not in told.value.hint
    assert told.value.hint


async def test_auth_25_a_status_in_login_again_on_permits_one_login(world):
    world.configure(login_again_on=frozenset({400, 401}))
    session = world.start()
    old = await session.sign()
    world.server.script(REFRESH, Answer(400, json={"error": "invalid_grant"}))
    await session.rejected(old.generation)
    assert (len(world.refreshes), len(world.logins)) == (1, 2)


async def test_auth_26_a_dead_refresh_token_costs_exactly_one_login(world):
    session = world.start()
    old = await session.sign()
    world.api.living.clear()
    await asyncio.gather(*(session.rejected(old.generation) for _ in range(20)))
    world.clock.tick(3601)
    await session.sign()
    assert (len(world.refreshes), len(world.logins)) == (2, 2)


async def test_a_login_that_fails_in_a_renewal_leaves_the_valid_access_token_in_use(world):
    session = world.start()
    first = await session.sign()
    world.api.living.clear()
    world.server.script(LOGIN, [Answer(503), world.api.login])
    world.clock.tick(3545)
    await session.sign()
    await world.server.until(2, LOGIN)
    while session.status().state == "refreshing":
        await session.changed()
    assert (await session.sign()).generation == first.generation
    world.clock.tick(60)
    assert (await signed_soon(world, session)).generation == first.generation + 1
    assert (len(world.refreshes), len(world.logins)) == (1, 3)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", [LOGIN, REFRESH])
async def test_auth_45_a_redirect_is_an_error_and_the_other_host_hears_nothing(world, status, where):
    session = world.start()
    async with ScriptedServer() as other:
        redirect = Answer(status, headers={"Location": other.url + "/steal"})
        if where == REFRESH:
            old = await session.sign()
        world.server.script(where, redirect)
        with pytest.raises(NotSignedIn, match=f"{status}.*redirect"):
            await (session.rejected(old.generation) if where == REFRESH else session.sign())
        assert other.requests == []
        assert session.status().failures == 0


@pytest.mark.parametrize(
    ("kind", "taken"), [("bearer", True), ("Bearer", True), (None, True), ("MAC", False), (7, False)]
)
async def test_auth_50_only_bearer_tokens_are_taken(world, kind, taken):
    pair = {**world.api.pair(), "token_type": kind}
    world.server.script(LOGIN, Answer(200, json={k: v for k, v in pair.items() if v is not None}))
    session = world.start()
    if taken:
        assert (await session.sign()).headers["Authorization"].startswith("Bearer ")
    else:
        with pytest.raises(NotSignedIn, match="token_type"):
            await session.sign()


@pytest.mark.parametrize("field", ["access_token", "refresh_token"])
@pytest.mark.parametrize(
    "value", ["SECRETa\r\nX-Evil: 1", "SECRET\x00", "SECRET" * 20_000, "SECRETé", "SECRET b", 7, ["SECRET"]]
)
async def test_auth_51_a_token_that_no_header_can_hold_is_refused(world, field, value, caplog):
    world.server.script(LOGIN, Answer(200, json={**world.api.pair(), field: value}))
    session = world.start()
    with pytest.raises(NotSignedIn, match=field) as told:
        await session.sign()
    assert "SECRET" not in repr(told.value) + caplog.text


@pytest.mark.parametrize("status", [400, 401, 403, 500])
@pytest.mark.parametrize("echo", ["json", "text", "form", "jwt"])
async def test_auth_52_an_answer_that_echoes_a_secret_is_blotted(world, status, echo, caplog):
    caplog.set_level("DEBUG")
    jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJmbGVldCJ9.c2lnbmF0dXJl"
    bodies = {
        "json": json.dumps({"error": f"no such {PASSWORD}", "error_description": f"x{PASSWORD}"}).encode(),
        "text": b"a" * 190 + PASSWORD.encode() + b"\x00\x1b[31m",
        "form": b"got username=fleet&password=" + PASSWORD.replace(" ", "+").encode(),
        "jwt": jwt.encode(),
    }
    world.server.script(LOGIN, Answer(status, bodies[echo]))
    session = world.start()
    with pytest.raises(NotSignedIn) as told:
        await session.sign()
    shown = repr((told.value, told.value.hint, session.status(), await world.row())) + caplog.text
    for secret in (PASSWORD, PASSWORD.replace(" ", "+"), PASSWORD[:10], jwt[:20]):
        assert secret not in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("5", 5),
        ("-5", None),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("9999999999", 3600),
        ("9" * 5000, None),
        ("Fri, 01 Jan 99999 00:00:00 GMT", None),
        ("soon", None),
        ("", None),
        ("²", None),
        (None, None),
    ],
)
def test_auth_53_retry_after_is_clamped_or_ignored(header, seconds):
    values = [] if header is None else [header]
    assert retry_after(values, date=None, now=1_800_000_000.0) == seconds


async def test_auth_53_a_date_to_wait_for_is_measured_against_the_clock_of_the_server(world):
    headers = {"Retry-After": "Fri, 15 Jan 2027 09:20:00 GMT", "Date": "Fri, 15 Jan 2027 09:00:00 GMT"}
    world.server.script(LOGIN, [Answer(503, headers=headers), world.api.login])
    with pytest.raises(NotSignedIn) as told:
        await world.start().sign()
    assert told.value.retry_after == 1200


async def test_auth_53_the_pause_obeys_retry_after(world):
    world.server.script(LOGIN, [Answer(503, headers={"Retry-After": "1200"}), world.api.login])
    session = world.start()
    with pytest.raises(NotSignedIn) as told:
        await session.sign()
    assert told.value.retry_after == 1200
    await world.clock.advance(1199)
    assert len(world.logins) == 1
    await world.clock.advance(2)
    await world.server.until(2, LOGIN)


async def test_garbage_instead_of_http_is_survived(world):
    async with RawServer(b"\x16\x03\x01garbage\r\n\r\n") as raw:
        world.configure(url=raw.url)
        with pytest.raises(NotSignedIn):
            await world.start().sign()


async def test_the_dialect_of_the_platform_to_the_letter(world):
    world.secret("password", "p&ss=w örd+%")
    world.api.password = "p&ss=w örd+%"
    session = world.start()
    signed = await session.sign()
    await session.rejected(signed.generation)
    login, refresh = world.server.requests
    assert (login.method, login.path) == ("POST", "/api/auth/password")
    assert login.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert login.headers["Accept-Encoding"] == "identity"
    assert login.form == {"username": "fleet", "password": "p&ss=w örd+%"}
    assert (refresh.method, refresh.path, refresh.body) == (
        "POST",
        "/api/auth/refresh",
        b"refresh_token=refresh-1-rrrrrrrrrrrr",
    )


def test_a_token_of_a_machine_that_was_started_anew_counts_by_the_wall_clock():
    token = Token(access="a", refresh="r", generation=1, obtained=Moment(wall=1000, boot=9000), lifetime=100)
    assert token.remaining(Moment(wall=1030, boot=5)) == 70
    assert token.remaining(Moment(wall=500, boot=5)) == 0
