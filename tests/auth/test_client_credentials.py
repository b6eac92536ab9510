"""`type: client_credentials`: each renewal is a new token request, and nothing is ever refreshed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.errors import NotSignedIn
from tests.support.auth_world import signed_soon
from tests.support.oauth_world import TOKEN
from tests.support.scripted import Answer


async def test_each_renewal_is_a_token_request_with_the_clients_own_credentials(oauth):
    oauth.client_credentials(scope="push", audience="urn:api")
    session = oauth.start()
    first = await session.sign()
    await session.rejected(first.generation)
    assert (await session.sign()).headers == {"Authorization": "Bearer access-2-aaaaaaaaaaaa"}
    wanted = {"grant_type": "client_credentials", "scope": "push", "audience": "urn:api"}
    assert [request.form for request in oauth.asked] == [wanted, wanted]


async def test_a_refresh_token_in_the_answer_is_ignored_and_nobody_is_warned(oauth, caplog):
    oauth.client_credentials()
    pair = {"access_token": "a" * 20, "refresh_token": "r" * 20, "token_type": "bearer", "expires_in": 600}
    oauth.server.script(TOKEN, Answer(200, json=pair))
    session = oauth.start()
    await session.rejected((await session.sign()).generation)
    assert oauth.grant_types() == ["client_credentials"] * 2
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


async def test_it_is_renewed_before_its_end_and_the_old_token_serves_until_then(oauth):
    oauth.client_credentials()
    session = oauth.start()
    await session.sign()
    oauth.server.script(TOKEN, Answer(503))
    oauth.clock.tick(3550)
    assert (await session.sign()).generation == 1
    await oauth.server.until(2, TOKEN)
    assert (await session.sign()).generation == 1


async def test_auth_28_invalid_client_counts_as_a_failed_login_over_restarts(oauth):
    oauth.endpoint.client_secret = "another one"
    oauth.client_credentials()
    for _ in range(20):
        session = oauth.start()
        with pytest.raises(NotSignedIn) as told:
            await session.sign()
        await session.close()
        oauth.clock.tick(5)
    assert len(oauth.asked) == 3
    assert "check `client.id`" in told.value.hint


async def test_auth_29_a_changed_client_secret_is_tried_at_once(oauth):
    oauth.endpoint.client_secret = "another one"
    oauth.client_credentials(client=replace(oauth.client_words, send="body"))
    session = oauth.start()
    for _ in range(3):
        with pytest.raises(NotSignedIn):
            await session.sign()
        oauth.clock.tick(300)
    oauth.secret("client_secret", "another one")
    await signed_soon(oauth, session, tries=1000)
    assert (len(oauth.asked), session.status().failures) == (4, 0)


async def test_a_token_lives_over_a_restart(oauth):
    oauth.client_credentials()
    session = oauth.start()
    await session.sign()
    await session.close()
    assert (await oauth.start().sign()).generation == 1
    assert len(oauth.asked) == 1
