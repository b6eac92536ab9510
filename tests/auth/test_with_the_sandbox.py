"""Every grant of RFC 6749 against the sandbox's token endpoint, which knows nothing of our client code."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.auth import open_session
from agent.auth.vault import open_vault
from agent.config.model import (
    Client,
    ClientCredentialsAuth,
    Connection,
    OAuthPasswordAuth,
    RefreshTokenAuth,
)
from agent.errors import NotSignedIn
from agent.sandbox import Sandbox, Settings
from tests.support.auth_world import WHERE, FileSecrets, FileStore, auth_client
from tests.support.clock import FakeClock
from tests.support.oauth_world import secret

PASSWORD = "p&ss: +wörd=%41"


@pytest.fixture
async def sandbox(tmp_path):
    for name, value in (("user", "demo"), ("password", PASSWORD)):
        (tmp_path / name).write_text(value)
    async with Sandbox(Settings(password=PASSWORD, client_id="a:b c/ü")) as sandbox:
        yield sandbox


@pytest.fixture
async def start(tmp_path, sandbox):
    store, clock = FileStore(tmp_path / "state.db"), FakeClock()
    opened = []
    async with auth_client() as http:

        def start(auth):
            connection = Connection(name="p", auth=auth, where=WHERE)
            session = open_session(
                connection, FileSecrets(tmp_path), store, open_vault(tmp_path), clock, http
            )
            opened.append(session)
            return session

        start.http, start.clock = http, clock
        yield start
        for session in opened:
            await session.close()
    store.close()


def client(send="basic"):
    return Client(id="a:b c/ü", secret=secret("password"), send=send)


async def accepted(start, sandbox, signed):
    url = f"{sandbox.url}/ingest/things"
    async with start.http.post(url, json={}, headers=signed.headers) as answer:
        return answer.status == 200


@pytest.mark.parametrize("send", ["basic", "body"])
async def test_password_and_client_credentials_sign_in_and_renew(start, sandbox, send):
    for auth in (
        OAuthPasswordAuth(
            url=sandbox.token_url,
            username=secret("user"),
            password=secret("password"),
            client=client(send),
            scope="push",
        ),
        ClientCredentialsAuth(url=sandbox.token_url, client=client(send), scope="push"),
    ):
        session = start(auth)
        signed = await session.sign()
        assert await accepted(start, sandbox, signed)
        start.clock.tick(700)
        await session.rejected(signed.generation)
        assert await accepted(start, sandbox, await session.sign())
        await session.close()
    assert (sandbox.state().logins, sandbox.state().refreshes) == (3, 1)
    assert (sandbox.state().failed_logins, sandbox.state().refresh_reuse) == (0, 0)


async def test_a_seed_is_taken_once_over_restarts_and_its_family_is_not_revoked(start, sandbox, tmp_path):
    form = {"grant_type": "password", "username": "demo", "password": PASSWORD}
    form |= {"client_id": "a:b c/ü", "client_secret": PASSWORD}
    async with start.http.post(sandbox.token_url, data=form) as answer:
        (tmp_path / "seed").write_text((await answer.json())["refresh_token"])
    auth = RefreshTokenAuth(url=sandbox.token_url, refresh_token=secret("seed"), client=client())
    for _ in range(4):
        session = start(auth)
        signed = await session.sign()
        assert await accepted(start, sandbox, signed)
        await session.close()
        start.clock.tick(4000)
    assert (sandbox.state().refreshes, sandbox.state().refresh_reuse) == (4, 0)


async def test_a_wrong_client_secret_is_told_in_the_words_of_the_rfc(start, sandbox, tmp_path):
    (tmp_path / "other").write_text("guess")
    wrong = replace(client(), secret=secret("other"))
    with pytest.raises(NotSignedIn) as told:
        await start(ClientCredentialsAuth(url=sandbox.token_url, client=wrong)).sign()
    assert "401 Unauthorized: invalid_client - there is no such client with this secret" in str(told.value)
    assert "check `client.id` and its secret" in told.value.hint
