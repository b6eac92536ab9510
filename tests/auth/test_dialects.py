"""A login that follows no RFC is configuration: how fields are written and called, where answers hold what."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from urllib.parse import parse_qsl, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.auth.call import Call, client_header
from agent.auth.pointer import pick
from agent.config.model import AnswerNames, Dialect, FieldNames, TokenHeader
from agent.errors import NotSignedIn
from tests.support.auth_world import LOGIN, PASSWORD, REFRESH
from tests.support.oauth_world import CLIENT_SECRET, TOKEN, secret
from tests.support.scripted import Answer

OWN = Dialect(
    send="json",
    fields=FieldNames(username="user", password="pass", refresh_token="renewal"),
    extra={"tenant": "acme", "device": secret("device")},
    answer=AnswerNames(
        access_token="/data/tokens/0/jwt",
        refresh_token="/data/a~1b",
        expires_in="/data/ttl",
        token_type="kind",
    ),
    header=TokenHeader(name="X-Session-Token", prefix=""),
)


def answered(number, **more):
    data = {"tokens": [{"jwt": f"jwt-{number}"}], "a/b": f"renewal-{number}", "ttl": 900}
    return Answer(200, json={"data": data, "kind": "session", "error": None, **more})


async def test_a_login_of_another_world_signs_in_and_renews(world):
    world.secret("device", "box 7")
    world.configure(dialect=OWN)
    world.server.script(LOGIN, answered(1))
    world.server.script(REFRESH, answered(2))
    session = world.start()
    first = await session.sign()
    assert first.headers == {"X-Session-Token": "jwt-1"}
    assert session.status().expires_at == world.clock.now() + 900
    await session.rejected(first.generation)
    assert (await session.sign()).headers == {"X-Session-Token": "jwt-2"}
    login, refresh = world.logins[0], world.refreshes[0]
    assert login.json == {"user": "fleet", "pass": PASSWORD, "tenant": "acme", "device": "box 7"}
    assert refresh.json == {"renewal": "renewal-1", "tenant": "acme", "device": "box 7"}
    for request in (login, refresh):
        assert request.headers["Content-Type"] == "application/json"


async def test_a_missing_part_of_the_answer_is_called_as_the_config_calls_it(world):
    world.secret("device", "box 7")
    world.configure(dialect=OWN)
    world.server.script(LOGIN, Answer(200, json={"data": {"tokens": []}}))
    with pytest.raises(NotSignedIn, match="the answer has no `/data/tokens/0/jwt`"):
        await world.start().sign()


async def test_an_answer_may_be_a_list_where_a_pointer_says_so(world):
    names = AnswerNames(access_token="/0", refresh_token="/1", expires_in="/2")
    world.configure(dialect=Dialect(answer=names))
    world.server.script(LOGIN, Answer(200, json=["access", "refresh", 60]))
    assert (await world.start().sign()).headers == {"Authorization": "Bearer access"}


async def test_auth_50_a_token_that_is_no_bearer_token_is_refused_unless_the_header_is_ours(world):
    pair = {"access_token": "abc", "token_type": "MAC"}
    world.server.script(LOGIN, Answer(200, json=pair))
    with pytest.raises(NotSignedIn, match="is not `bearer`"):
        await world.start().sign()
    world.configure(dialect=Dialect(header=TokenHeader(prefix="MAC")))
    world.clock.tick(10)
    assert (await world.start().sign()).headers == {"Authorization": "MAC abc"}


async def test_an_oauth_client_is_named_as_the_config_calls_it(oauth):
    names = FieldNames(client_id="clientId", client_secret="clientSecret")
    oauth.client_credentials(
        client=replace(oauth.client_words, send="body"), dialect=Dialect(send="json", fields=names)
    )
    oauth.server.script(TOKEN, Answer(200, json={"access_token": "abc"}))
    await oauth.start().sign()
    assert oauth.asked[0].json == {
        "grant_type": "client_credentials",
        "clientId": "agent:1",
        "clientSecret": CLIENT_SECRET,
    }


async def test_auth_52_secrets_of_extra_fields_never_come_back_in_an_error(world):
    world.secret("device", "box-7-canary")
    world.configure(dialect=OWN)

    def repeat(request):
        return Answer(400, json={"error": "no", "error_description": f"{request.json}"})

    world.server.script(LOGIN, repeat)
    with pytest.raises(NotSignedIn) as told:
        await world.start().sign()
    for hidden in ("box-7-canary", PASSWORD, "fleet"):
        assert hidden not in str(told.value)
    assert "acme" in str(told.value)


# ------------------------------------------------------------------ pure parts

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


def places(document, path=""):
    """Every place of a document as RFC 6901 writes it, and what stands there."""
    yield path, document
    pairs = []
    if isinstance(document, dict):
        pairs = document.items()
    elif isinstance(document, list):
        pairs = enumerate(document)
    for key, part in pairs:
        yield from places(part, f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}")


@given(JSON)
def test_every_place_of_a_document_is_found_by_its_pointer(document):
    for path, part in places(document):
        if path:
            assert pick(document, path) == part


@given(JSON, st.text().map("/{}".format))
def test_a_pointer_that_leads_nowhere_finds_nothing_and_breaks_nothing(document, path):
    there = dict(places(document))
    assert pick(document, path) == there.get(path)


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"a": [1]}, "/a/01"),
        ({"a": [1]}, "/a/-"),
        ({"a": [1]}, "/a/-1"),
        ({"a": [1]}, "/a/1"),
        ({"a": [1]}, "/a/0/0"),
        ({"a": "text"}, "/a/0"),
        ({"a": {"b": 1}}, "a/b"),
        ([1], "0"),
        ({"a": [1]}, "/a/" + "9" * 5000),
        ({"a": [1]}, "/a/\u0660"),
    ],
)
def test_what_is_no_place_is_nothing(document, where):
    assert pick(document, where) is None


def test_a_name_without_a_slash_is_a_name_whatever_it_holds():
    assert pick({"a~1b": 1, "": 2}, "a~1b") == 1
    assert pick({"": 2}, "/") == 2


FIELDS = st.dictionaries(st.text(min_size=1), st.text(), max_size=5)


@given(FIELDS)
def test_a_form_comes_out_as_it_went_in(fields):
    sent = Call(url="https://a", fields=fields).body.decode("ascii")
    assert dict(parse_qsl(sent, keep_blank_values=True)) == fields


@given(st.text(), st.text())
def test_a_client_comes_out_of_its_basic_header_whatever_it_is_called(identity, secret_value):
    pair = b64decode(client_header(identity, secret_value)["Authorization"].removeprefix("Basic ")).decode(
        "ascii"
    )
    first, _, second = pair.partition(":")
    assert (unquote_plus(first), unquote_plus(second)) == (identity, secret_value)


def test_the_example_of_the_rfc_is_encoded_as_the_rfc_does():
    """RFC 6749, section 2.3.1."""
    header = client_header("s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw")
    assert header == {"Authorization": "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3"}


def test_no_field_of_a_call_shows_itself():
    call = Call(
        url="https://a", fields={"a": "canary"}, headers={"A": "canary"}, hidden=frozenset({"canary"})
    )
    assert "canary" not in repr(call)
