"""The harmless call as the daemon makes it, and what the control socket may ask of it."""

from __future__ import annotations

import random

import pytest

from agent.auth.fixed import NoSession
from agent.clock import SystemClock
from agent.config.model import Connection, Limits
from agent.connections import open_connection
from agent.errors import AgentError, NotSignedIn
from agent.harmless import Consultation, call_endpoint
from agent.target.probe import probe
from tests.support.auth_world import WHERE, auth_client
from tests.support.scripted import Answer, RawServer, ScriptedServer


@pytest.fixture
async def server():
    async with ScriptedServer() as one:
        one.script("/x", Answer(204))
        one.script("/base", Answer(404))
        yield one


@pytest.fixture
async def opened(server):
    connection = Connection(
        name="p",
        base=server.url + "/base",
        endpoints={"x": server.url + "/x"},
        limits=Limits(concurrency=1),
        where=WHERE,
    )
    one = await open_connection(
        connection, lambda _: NoSession("p"), clock=SystemClock(), random=random.random
    )
    yield one
    await one.close(grace=0)


async def test_only_what_the_config_names_is_called_never_a_url(opened, server):
    assert (await call_endpoint(opened, "x")).status == 204
    assert (await call_endpoint(opened, "url")).status == 404
    for name in ["y", server.url + "/x", "http://127.0.0.1:9/"]:
        with pytest.raises(AgentError, match="has no endpoint"):
            await call_endpoint(opened, name)
    assert [(each.method, each.path) for each in server.requests] == [("HEAD", "/x"), ("HEAD", "/base")]


async def test_a_target_that_asked_for_silence_is_left_in_peace(opened, server):
    opened.gate.pause(120)
    told = await call_endpoint(opened, "x")
    assert (told.status, told.reason[:47]) == (0, "not called: the target asked for silence for 12")
    assert server.requests == []


async def test_deliveries_come_first(opened, server):
    await opened.enter()
    told = await call_endpoint(opened, "x", turn=0.05)
    assert told.reason == "not called: the connection's limits are in use by deliveries"
    opened.leave()
    assert (await call_endpoint(opened, "x")).status == 204
    assert opened.gate.in_flight == 0


async def test_a_connection_that_a_reload_closed_is_no_bug(opened, server):
    await opened.close(grace=0)
    told = await call_endpoint(opened, "x")
    assert (told.status, told.reason) == (0, "the connection was closed by a reload: try again")


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nforbidden",
            403,
            "Forbidden to OPTIONS, since it does not answer HEAD in HTTP",
        ),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", 0, "the answer is not HTTP"),
    ],
)
async def test_a_server_that_sends_a_body_to_head_is_asked_by_options(answer, status, reason):
    async with RawServer(answer) as server:
        async with auth_client() as client:
            told = await probe(client, server.url + "/x", {"Authorization": "Bearer abc"}, deadline=30)
        assert [each.split()[0] for each in server.received] == [b"HEAD", b"OPTIONS"]
    assert (told.status, told.reason) == (status, reason)


async def test_what_the_socket_may_ask(opened):
    answer = Consultation(lambda: {"p": opened}).answer
    called = await answer({"connection": "p", "action": "call", "endpoint": "x"})
    assert called == {"status": 204, "reason": "No Content", "challenge": ""}
    status = await answer({"connection": "p", "action": "status"})
    assert status == await answer({"connection": "p", "action": "sign"})
    assert (status["generation"], status["expires_at"]) == (0, None)
    for wrong in [{"action": "status"}, {"connection": "q", "action": "status"}, {"connection": ["p"]}]:
        with pytest.raises(AgentError, match="the daemon has no connection"):
            await answer(wrong)
    with pytest.raises(AgentError, match="knows no action 'post'"):
        await answer({"connection": "p", "action": "post"})


async def test_who_cannot_be_signed_in_is_not_called(opened, server, monkeypatch):
    async def refuse():
        raise NotSignedIn("no token")

    monkeypatch.setattr(opened.session, "sign", refuse)
    with pytest.raises(NotSignedIn, match="no token"):
        await call_endpoint(opened, "x")
    assert server.requests == []
