"""The sandbox's token endpoint is one of RFC 6749: who is strict here finds a wrong dialect early."""

from __future__ import annotations

import pytest

from agent.auth.call import client_header

INGEST = "/ingest/things"


@pytest.fixture
async def ask(start):
    sandbox, client = await start(signed_in=False)

    async def ask(*, basic=True, method="POST", **form):
        secret = sandbox.settings.password
        headers = client_header("demo-client", secret) if basic else {}
        async with client.http.request(method, sandbox.token_url, data=form, headers=headers) as answer:
            return answer.status, await answer.json(), answer.headers

    ask.sandbox, ask.client = sandbox, client
    return ask


async def test_a_password_gives_a_pair_that_targets_take(ask):
    status, pair, headers = await ask(
        grant_type="password", username="demo", password=ask.sandbox.settings.password, scope="push"
    )
    assert (status, pair["token_type"], pair["scope"]) == (200, "Bearer", "push")
    assert headers["Cache-Control"] == "no-store"
    ask.client.pair = pair
    assert (await ask.client.send(INGEST, b"{}"))[0] == 200


async def test_client_credentials_give_no_refresh_token_and_may_stand_in_the_body(ask):
    status, answer, _ = await ask(
        basic=False,
        grant_type="client_credentials",
        client_id="demo-client",
        client_secret=ask.sandbox.settings.password,
    )
    assert status == 200
    assert "refresh_token" not in answer


async def test_a_used_refresh_token_revokes_its_family_and_no_other(ask):
    login = {"grant_type": "password", "username": "demo", "password": ask.sandbox.settings.password}
    first, other = (await ask(**login))[1], (await ask(**login))[1]
    second = (await ask(grant_type="refresh_token", refresh_token=first["refresh_token"]))[1]
    status, answer, _ = await ask(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert (status, answer["error"]) == (400, "invalid_grant")
    status, answer, _ = await ask(grant_type="refresh_token", refresh_token=second["refresh_token"])
    assert (status, answer["error"]) == (400, "invalid_grant")
    ask.client.pair = second
    assert (await ask.client.send(INGEST, b"{}"))[0] == 401
    assert (await ask(grant_type="refresh_token", refresh_token=other["refresh_token"]))[0] == 200
    assert ask.sandbox.state().refresh_reuse == 1


@pytest.mark.parametrize(
    ("form", "status", "word"),
    [
        ({"basic": False, "grant_type": "client_credentials"}, 401, "invalid_client"),
        ({"basic": False, "grant_type": "x", "client_id": "demo-client", "client_secret": "?"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials", "client_secret": "x"}, 400, "invalid_request"),
        ({"grant_type": "implicit"}, 400, "unsupported_grant_type"),
        ({"username": "demo"}, 400, "invalid_request"),
        ({"grant_type": "password", "username": "demo"}, 400, "invalid_request"),
        ({"grant_type": "password", "username": "demo", "password": "guess"}, 400, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "never seen"}, 400, "invalid_grant"),
        ({"method": "PUT", "grant_type": "client_credentials"}, 405, "invalid_request"),
    ],
)  # fmt: skip
async def test_errors_are_those_of_the_rfc(ask, form, status, word):
    told, answer, headers = await ask(**form)
    assert (told, answer["error"]) == (status, word)
    assert answer["error_description"]
    assert ("WWW-Authenticate" in headers) == (status == 401)
