"""Rows of `tests/faults/rows.toml` that need more than one proof: the parts that the other files leave open."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from agent.auth.exchange import MAX_ANSWER, AuthApi, Failed, Lost
from agent.config.model import Tls
from agent.errors import NotSignedIn
from agent.spool import Spool
from agent.tls import ssl_context
from tests.support.auth_world import REFRESH, auth_client, signed_soon
from tests.support.certificates import Authority
from tests.support.clock import FakeClock
from tests.support.scripted import Answer, RawServer, ScriptedServer

FORM = {"username": "fleet", "password": "correct horse battery"}


async def posted(url, tls=None, *, deadline=5.0):
    connector = aiohttp.TCPConnector(ssl=ssl_context(tls)) if tls else None
    async with auth_client(connector=connector) as client:
        return await AuthApi(client, FakeClock(), deadline=deadline).post(url, FORM)


async def test_auth_16_a_token_that_is_believed_too_long_is_healed_by_a_401(world):
    session = world.start()
    old = await session.sign()
    await session.close()
    world.clock.step_wall(-7200)
    session = world.start()
    signed = await session.sign()
    world.clock.tick(1800)
    await session.rejected(signed.generation)
    assert (await session.sign()).generation == signed.generation + 1 > old.generation
    assert len(world.logins) == 1


async def test_auth_17_after_a_suspend_no_request_leaves_with_the_dead_token(world):
    session = world.start()
    first = await session.sign()
    world.clock.suspend(7200)
    signed = await asyncio.gather(*(session.sign() for _ in range(50)))
    assert {one.generation for one in signed} == {first.generation + 1}
    assert (len(world.refreshes), len(world.logins)) == (1, 1)


async def test_auth_18_a_certificate_that_is_not_yet_valid_is_transient(tmp_path):
    authority = Authority(tmp_path)
    context = authority.server("early", days=120)  # certificates are made for 90 days
    async with RawServer(b"", tls=context) as server:
        answer = await posted(server.url, Tls(ca=authority.path))
        assert isinstance(answer, Failed)
        assert "not yet valid" in answer.text
        assert b"".join(server.received) == b""


async def test_auth_23_no_more_than_a_megabyte_of_an_answer_is_read(world):
    session = world.start()
    old = await session.sign()
    body = b'{"access_token": "' + b"x" * (64 * MAX_ANSWER)
    world.server.script(REFRESH, [Answer(200, body), world.api.refresh])
    with pytest.raises(NotSignedIn, match=f"above {MAX_ANSWER} bytes"):
        await session.rejected(old.generation)
    await signed_soon(world, session)
    assert (len(world.refreshes), len(world.logins)) == (2, 1)


async def test_auth_24_a_name_that_does_not_resolve_is_transient():
    class NoNames(aiohttp.abc.AbstractResolver):
        async def resolve(self, *_, **__):
            raise OSError(-2, "Name or service not known")

        async def close(self):
            pass

    async with auth_client(connector=aiohttp.TCPConnector(resolver=NoNames())) as client:
        answer = await AuthApi(client, FakeClock()).post("http://auth.example.com/x", FORM)
    assert isinstance(answer, Failed)
    assert "auth.example.com" in answer.text


async def test_auth_24_a_deadline_leaves_the_pair_in_doubt_and_not_dead():
    async with ScriptedServer() as server:
        server.script("/x", Answer(hold=asyncio.Event()))
        assert isinstance(await posted(f"{server.url}/x", deadline=0.2), Lost)


def test_auth_40_a_database_that_others_can_read_is_made_private(tmp_path):
    state = tmp_path / "state"
    Spool.open(state, max_bytes=1_000_000, clock=FakeClock()).close()
    (state / "state.db").chmod(0o644)
    spool = Spool.open(state, max_bytes=1_000_000, clock=FakeClock())
    try:
        modes = {path.name: path.stat().st_mode & 0o077 for path in state.iterdir()}
    finally:
        spool.close()
    assert "state.db-wal" in modes
    assert set(modes.values()) == {0}
