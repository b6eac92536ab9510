"""`type: oauth_password` against a token endpoint that rotates and detects reuse."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.auth.said import HINTS
from agent.config.model import Client, Dialect
from agent.errors import NotSignedIn
from tests.support.auth_world import PASSWORD, signed_soon
from tests.support.oauth_world import CLIENT_SECRET, TOKEN, secret
from tests.support.scripted import Answer


async def test_a_password_is_sent_once_and_refresh_tokens_from_then_on(oauth):
    oauth.oauth_password(scope="read write", audience="https://api.example.com")
    session = oauth.start()
    first = await session.sign()
    assert first.headers == {"Authorization": "Bearer access-1-aaaaaaaaaaaa"}
    await session.rejected(first.generation)
    second = await session.sign()
    oauth.clock.tick(700)
    await session.rejected(second.generation)
    assert oauth.grant_types() == ["password", "refresh_token", "refresh_token"]
    login, refresh = oauth.asked[0].form, oauth.asked[1].form
    assert login == {
        "grant_type": "password",
        "username": "fleet",
        "password": PASSWORD,
        "scope": "read write",
        "audience": "https://api.example.com",
    }
    assert refresh == {"grant_type": "refresh_token", "refresh_token": "refresh-1-rrrrrrrrrrrr"}
    assert session.status().logins == 1


async def test_the_client_is_named_in_a_basic_header_urlencoded_before_it_is_encoded(oauth):
    oauth.oauth_password()
    await oauth.start().sign()
    assert oauth.asked[0].headers["Authorization"].startswith("Basic ")
    assert "client_id" not in oauth.asked[0].form


async def test_the_client_is_named_in_the_body_of_login_and_refresh(oauth):
    oauth.oauth_password(client=replace(oauth.client_words, send="body"))
    session = oauth.start()
    await session.rejected((await session.sign()).generation)
    for request in oauth.asked:
        assert (request.form["client_id"], request.form["client_secret"]) == ("agent:1", CLIENT_SECRET)
        assert "Authorization" not in request.headers


async def test_a_public_client_is_named_in_the_body_without_a_secret(oauth):
    oauth.endpoint.client_secret = None
    oauth.oauth_password(client=Client(id="agent:1"))
    session = oauth.start()
    await session.rejected((await session.sign()).generation)
    for request in oauth.asked:
        assert request.form["client_id"] == "agent:1"
        assert "client_secret" not in request.form
        assert "Authorization" not in request.headers


async def test_extra_fields_go_with_login_and_refresh_and_may_be_secrets(oauth):
    oauth.secret("vault", "hidden value")
    oauth.oauth_password(dialect=Dialect(extra={"resource": "urn:x", "otp": secret("vault")}))
    session = oauth.start()
    await session.rejected((await session.sign()).generation)
    for request in oauth.asked:
        assert (request.form["resource"], request.form["otp"]) == ("urn:x", "hidden value")


async def test_auth_25_invalid_grant_of_a_refresh_leads_to_one_login(oauth):
    oauth.oauth_password()
    session = oauth.start()
    first = await session.sign()
    oauth.endpoint.good.clear()
    await session.rejected(first.generation)
    assert oauth.grant_types() == ["password", "refresh_token", "password"]


@pytest.mark.parametrize(
    "word",
    ["invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_request"],
)
async def test_auth_25_other_error_words_of_a_refresh_are_shown_with_a_hint_and_nobody_logs_in(oauth, word):
    oauth.oauth_password()
    session = oauth.start()
    first = await session.sign()
    oauth.server.script(TOKEN, Answer(401 if word == "invalid_client" else 400, json={"error": word}))
    with pytest.raises(NotSignedIn, match=word) as told:
        await session.rejected(first.generation)
    assert told.value.hint == HINTS[word]
    assert oauth.grant_types() == ["password", "refresh_token"]


async def test_a_status_in_login_again_on_counts_beside_the_words(oauth):
    oauth.oauth_password(login_again_on=frozenset({403, "gone_for_good"}))
    session = oauth.start()
    for answer in (Answer(403), Answer(400, json={"error": "gone_for_good"})):
        signed = await session.sign()
        oauth.server.script(TOKEN, [answer, oauth.endpoint.answer])
        await session.rejected(signed.generation)
        oauth.clock.tick(700)
    assert oauth.grant_types() == ["password", *["refresh_token", "password"] * 2]


async def test_an_error_word_in_an_answer_of_a_sick_server_is_no_word_of_the_grant(oauth):
    oauth.oauth_password()
    session = oauth.start()
    first = await session.sign()
    oauth.server.script(TOKEN, Answer(503, json={"error": "invalid_grant"}))
    with pytest.raises(NotSignedIn, match="503"):
        await session.rejected(first.generation)
    assert oauth.grant_types() == ["password", "refresh_token"]


async def test_the_description_and_the_page_of_an_error_are_shown_without_what_was_sent(oauth):
    oauth.oauth_password()
    told = {
        "error": "invalid_client",
        "error_description": f"no {CLIENT_SECRET} for {PASSWORD}",
        "error_uri": "https://docs.example.com/errors#7",
    }
    oauth.server.script(TOKEN, Answer(401, json=told))
    with pytest.raises(NotSignedIn) as refused:
        await oauth.start().sign()
    assert "invalid_client - no ******** for ******** (see https://docs.example.com/errors#7)" in str(
        refused.value
    )


async def test_the_basic_header_is_hidden_where_a_server_repeats_it(oauth):
    oauth.oauth_password()

    def repeat(request):
        return Answer(
            400, json={"error": "invalid_request", "error_description": request.headers["Authorization"]}
        )

    oauth.server.script(TOKEN, repeat)
    with pytest.raises(NotSignedIn, match=r"invalid_request - Basic \*{8}$"):
        await oauth.start().sign()


async def test_auth_29_a_changed_client_secret_resets_the_count_of_failed_logins(oauth):
    oauth.endpoint.client_secret = "another one"
    oauth.oauth_password()
    session = oauth.start()
    for _ in range(3):
        with pytest.raises(NotSignedIn):
            await session.sign()
        oauth.clock.tick(300)
    assert session.status().state == "blocked"
    oauth.secret("client_secret", "another one")
    await signed_soon(oauth, session, tries=1000)
    assert (len(oauth.asked), session.status().failures) == (4, 0)


async def test_a_changed_client_secret_is_tried_at_once_when_a_refresh_was_refused(oauth):
    oauth.oauth_password()
    session = oauth.start()
    first = await session.sign()
    oauth.endpoint.client_secret = "another one"
    with pytest.raises(NotSignedIn, match="invalid_client") as told:
        await session.rejected(first.generation)
    assert told.value.retry_after >= 150
    oauth.secret("client_secret", "another one")
    while session.status().state != "signed in":
        await oauth.clock.advance(2)
        if session.status().state == "refreshing":
            await session.changed()
    assert oauth.grant_types() == ["password", "refresh_token", "refresh_token"]


async def test_another_scope_is_another_token_and_the_old_pair_is_dropped(oauth):
    oauth.oauth_password(scope="read")
    session = oauth.start()
    await session.sign()
    await session.close()
    oauth.oauth_password(scope="read write")
    assert (await oauth.start().sign()).generation == 2
    assert oauth.grant_types() == ["password", "password"]


async def test_an_unreadable_client_secret_stops_a_refresh_and_sends_nothing(oauth):
    oauth.oauth_password()
    session = oauth.start()
    first = await session.sign()
    (oauth.folder / "secrets" / "client_secret").unlink()
    with pytest.raises(NotSignedIn, match="secret client_secret"):
        await session.rejected(first.generation)
    assert oauth.grant_types() == ["password"]
    oauth.secret("client_secret", CLIENT_SECRET)
    await signed_soon(oauth, session)
    assert oauth.grant_types() == ["password", "refresh_token"]
