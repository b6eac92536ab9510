"""What an Auth API says in an error answer is shown to people and stored: never with a secret in it."""

from __future__ import annotations

import json
from base64 import b64encode
from html import escape

import aiohttp
import pytest

from agent.auth import said as saying
from agent.auth.exchange import AuthApi
from agent.clock import SystemClock
from tests.support.scripted import RawServer

PASSWORD = 'CanaryPw9&/=x"\\Q'
PAIR = {"access_token": "opaqueCanaryAccess", "refresh_token": "opaque/CanaryRefresh+", "expires_in": 3600}


async def said(status, body="", reason="No"):
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    async with RawServer((head + body).encode()) as server, aiohttp.ClientSession() as client:
        answer = await AuthApi(client, SystemClock()).post(
            server.url, {"username": "u", "password": PASSWORD}
        )
    return answer.text


async def test_auth_52_a_secret_in_the_reason_phrase_is_blotted():
    assert await said(400, reason=f"no {PASSWORD}\x1b[31m") == "400 no ******** [31m"


@pytest.mark.parametrize("status", [302, 400, 401, 500])
@pytest.mark.parametrize(
    "body",
    [
        json.dumps(PAIR),
        json.dumps({"data": PAIR}),
        json.dumps({"error": json.dumps(PAIR)}),
        "&".join(f"{key}={value}" for key, value in PAIR.items()),
        json.dumps(PAIR)[:35],
    ],
)
async def test_auth_52_a_pair_in_an_answer_that_is_no_good_one_is_blotted(status, body):
    text = await said(status, body)
    assert "_token" in text
    assert "anary" not in text
    assert "opaque" not in text


@pytest.mark.parametrize(
    "echo",
    [
        escape(PASSWORD),
        escape(PASSWORD, quote=False),
        PASSWORD.replace("/", "\\/"),
        b64encode(PASSWORD.encode()).decode(),
        PASSWORD.encode().hex(),
    ],
)
async def test_auth_52_a_secret_is_known_however_it_is_written(echo):
    assert (await said(400, f"<p>{echo}</p>")).replace("=", "") == "400 No: <p>********</p>"


def test_of_a_huge_page_only_its_beginning_is_searched_and_no_half_secret_is_shown(monkeypatch):
    looked, real = [], saying.blot
    monkeypatch.setattr(saying, "blot", lambda text, hidden: looked.append(len(text)) or real(text, hidden))
    secret = "canary" + "x" * 994
    assert saying.words_of((secret * 1000).encode(), {secret}) == ("", "")
    assert "anary" not in saying.words_of((" " * 7 + secret + " ").encode() * 1000, {secret})[1]
    assert max(looked) < 20_000
