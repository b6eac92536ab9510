"""No answer moves a request to another place: neither its token nor its body, wherever it points."""

from __future__ import annotations

import pytest

from agent.auth.fixed import FixedSession, own_header
from agent.config.model import HeaderAuth, SecretRef, Tls
from agent.connections import open_connection
from agent.outcome import Delivered, Misdirected
from agent.request import build, resolve
from agent.target import Terms, attempt
from tests.support.auth_world import FileSecrets
from tests.support.certificates import Authority
from tests.support.clock import FakeClock
from tests.support.delivery import WHERE, a_connection, a_draft, a_job, half
from tests.support.on_the_way import Wire
from tests.support.scripted import Answer, ScriptedServer

KEY = "key-of-the-platform-0123456789"
STATUSES = range(300, 400)
TERMS = Terms(success=frozenset({200}), total=20, connect=20)


@pytest.fixture
async def opened(tmp_path, request):
    """A connection that sends an API key."""
    (tmp_path / "key").write_text(KEY)
    auth = HeaderAuth(name="X-Api-Key", value=SecretRef(kind="secret", name="key", where=WHERE))
    opening = []

    async def open_to(url, tls):
        clock = FakeClock()
        session = FixedSession("platform", lambda: own_header(auth, FileSecrets(tmp_path)), clock)
        connection = a_connection(url, auth=auth, tls=tls)
        one = await open_connection(connection, lambda _: session, clock=clock, random=half)
        opening.append(one)
        return one

    yield open_to
    for one in opening:
        await one.close(0)


@pytest.mark.parametrize("where", ["another port", "another scheme", "the same", "relative", "nowhere"])
async def test_auth_46_sec_08_no_3xx_takes_anything_to_another_place(opened, tmp_path, where):
    authority = Authority(tmp_path)
    async with (
        ScriptedServer(tls=authority.server("a")) as here,
        ScriptedServer(tls=authority.server("b")) as there,
        Wire(there.port) as wire,
    ):
        to = {
            "another port": f"https://127.0.0.1:{wire.port}/in",
            "another scheme": f"http://127.0.0.1:{wire.port}/in?{KEY}",
            "the same": f"{here.url}/other",
            "relative": f"//127.0.0.1:{wire.port}/in",
            "nowhere": "",
        }[where]
        headers = {"Location": to, "Refresh": f"0; url={to}"} if to else {}
        here.script("/in", [Answer(status, headers=headers) for status in STATUSES])
        one = await opened(here.url, Tls(ca=authority.path))
        signed = await one.sign()
        request = build(
            resolve(a_job(), one.connection), a_draft('{"a": 1}'), key="k", signature=signed.headers
        )
        for status in STATUSES:
            outcome = await attempt(one.client, request, terms=TERMS, generation=1, now=lambda: 0.0)
            assert isinstance(outcome, Misdirected)
            assert outcome.answer.status == status
            assert KEY not in repr(outcome)
        assert [request.path for request in here.requests] == ["/in"] * len(STATUSES)
        assert {request.headers["X-Api-Key"] for request in here.requests} == {KEY}
        assert wire.sent == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_sec_08_a_kept_connection_is_no_way_round(opened, tmp_path, status):
    """A target that redirects to a host that the agent has just talked to."""
    async with ScriptedServer() as here, ScriptedServer() as there:
        there.script("/in", Answer(200))
        here.script("/in", Answer(status, headers={"Location": f"{there.url}/in"}))
        for server, kind in ((there, Delivered), (here, Misdirected), (here, Misdirected)):
            one = await opened(server.url, Tls())
            signed = await one.sign()
            request = build(
                resolve(a_job(), one.connection), a_draft("{}"), key="k", signature=signed.headers
            )
            outcome = await attempt(one.client, request, terms=TERMS, generation=1, now=lambda: 0.0)
            assert isinstance(outcome, kind)
        assert len(there.requests) == 1
