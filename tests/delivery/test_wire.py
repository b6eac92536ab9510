"""The short way of an attempt beside the library's client: the same bytes, the same outcomes."""

from __future__ import annotations

import asyncio
import re

import aiohttp
import pytest

from agent.config.model import Tls
from agent.outcome import Delivered, Refused, Retry
from agent.request import Request
from agent.target import Terms, attempt, open_client
from agent.target.connector import Connector
from agent.tls import ssl_context
from tests.support.schedules import until
from tests.support.scripted import Answer, RawServer

SUCCESS = frozenset(range(200, 300))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
async def client():
    async with open_client(ssl_context(Tls())) as client:
        yield client


def a_request(url, *, method="POST", body=b"zipped", **headers):
    return Request(
        method=method,
        url=f"{url}/in?a=%2F",
        headers={"Idempotency-Key": "k", **headers},
        body=body,
        gzip=True,
    )


async def send(client, request, *, total=10.0):
    terms = Terms(success=SUCCESS, total=total, connect=5.0)
    return await attempt(client, request, terms=terms, generation=0, now=lambda: 0.0)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET"])
async def test_the_request_is_the_one_that_the_library_sends(client, method):
    headers = {
        "User-Agent": "push-agent",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Content-Type": "a/b",
        "X-Name": "Zoë",
    }
    async with RawServer(OK) as server:
        request = a_request(server.url, method=method, **headers)
        assert isinstance(await send(client, request), Delivered)
        async with aiohttp.ClientSession() as library:  # not one of ours: the long way
            assert isinstance(await send(library, request), Delivered)
        ours, theirs = (re.split(rb"\r\n", one) for one in server.received)
    assert ours[0] == theirs[0]
    assert sorted(ours) == sorted(theirs)


async def test_the_next_request_finds_the_same_connection(client, server):
    server.script("/in", Answer(200, b"one"))
    for _ in range(3):
        assert isinstance(await send(client, a_request(server.url)), Delivered)
    assert isinstance(client.connector, Connector)
    assert sum(map(len, client.connector._conns.values())) == 1


async def test_interim_answers_are_passed_over(client):
    async with RawServer(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK) as server:
        outcome = await send(client, a_request(server.url))
    assert outcome.answer.status == 200


async def test_an_answer_to_head_has_no_body(client):
    async with RawServer(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n") as server:
        assert isinstance(await send(client, a_request(server.url, method="HEAD", body=b"")), Delivered)


async def test_a_refusal_whose_text_never_ends_is_one_all_the_same(client, server):
    server.script("/in", Answer(422, b"x" * 1000, trickle=0.05))
    outcome = await send(client, a_request(server.url), total=0.3)
    assert isinstance(outcome, Refused)
    assert outcome.answer.status == 422


async def test_a_header_that_would_become_two_is_never_sent(client):
    async with RawServer(OK) as server:
        for bad in ("a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\0", "a\x7f"):
            outcome = await send(client, a_request(server.url, X=bad))
            assert isinstance(outcome, Refused)
            assert "control character" in outcome.answer.reason
        assert server.received == []


async def test_connections_are_let_go_when_the_answer_was_too_long(client):
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 200_000
    async with RawServer(body) as server:
        assert isinstance(await send(client, a_request(server.url)), Delivered)
    assert isinstance(client.connector, Connector)
    assert not client.connector._conns
    assert not client.connector._acquired


@pytest.mark.parametrize("way", ["short", "long"])
async def test_del_35_an_answer_that_comes_twice_is_not_taken_for_that_of_the_next_message(client, way):
    """Between two messages: what then lies on the connection was never asked for."""
    again = asyncio.Event()
    seen: list[bytes] = []

    async def talk(reader, writer):
        first = not seen
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        if first:
            writer.write(OK)
            await again.wait()
            writer.write(OK)
            await reader.read()
        else:
            writer.write(b"HTTP/1.1 422 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        bodies = (b"zipped", b"x" * 600_000 if way == "long" else b"zipped")
        assert isinstance(await send(client, a_request(url, body=bodies[0])), Delivered)
        [[(idle, _)]] = client.connector._conns.values()
        again.set()
        await until(lambda: idle.should_close)
        outcome = await send(client, a_request(url, body=bodies[1]))
        assert isinstance(outcome, Refused)
        assert len(seen) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 204 No Content\r\n\r\nok",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\0",
    ],
)
async def test_del_32_a_body_after_204_does_not_undo_the_answer(client, answer):
    async with RawServer(answer) as server:
        for _ in range(2):
            outcome = await send(client, a_request(server.url))
            assert isinstance(outcome, Delivered)
            assert (outcome.answer.status, outcome.answer.body) == (204, "")
        assert len(server.received) == 2  # each on a connection of its own
    assert not client.connector._conns


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        b"204 No Content\r\n\r\nok",
        b"HTTP/1.1 204 No Content\r\nno header\r\n\r\nok",
        b"HTTP/1.1 100 Continue\r\n\r\nok",
    ],
)
async def test_what_is_no_answer_is_none_whatever_stands_in_it(client, answer):
    async with RawServer(answer) as server:
        assert isinstance(await send(client, a_request(server.url)), Retry)
