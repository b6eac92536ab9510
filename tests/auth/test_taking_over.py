"""A connection is changed or removed in the middle of a renewal: whose pair is whose, and nothing left open."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest

import agent.engine
from agent.auth import open_session
from agent.auth.fixed import RETRY, FixedSession
from agent.clock import SystemClock
from agent.config import load
from agent.config.model import Plan
from agent.custody import act
from agent.deliver.waiting import Waiting
from agent.engine import Engine
from agent.errors import NotSignedIn, StateError
from agent.logs import blotter
from agent.reload import Change
from tests.support.auth_world import PASSWORD, REFRESH
from tests.support.clock import FakeClock, turns
from tests.support.schedules import until
from tests.support.scripted import Answer, ScriptedServer

CONNECTION = """\
connection: p
type: http
auth:
  type: password
  url: {auth}/api
  username: {{secret: user}}
  password: {{secret: password}}
endpoints: {{x: {target}/x}}
{more}
"""
JOB = """\
job: j
schedule: {{every: 1h}}
source: {{type: file, path: {folder}/in/*.csv}}
body: {{format: raw, content_type: text/csv}}
target: {{connection: p, endpoint: x, method: POST}}
"""


def pair(number):
    return {"access_token": f"access-{number}", "refresh_token": f"refresh-{number}", "expires_in": 3600}


async def refused_in_mid_refresh(world, answer):
    """A session that was refused its first token and waits for `answer`; the event lets the answer go."""
    session = world.start()
    await session.sign()
    go = asyncio.Event()

    async def late(request):
        await go.wait()
        return answer(request)

    world.server.script(REFRESH, late)
    waits = asyncio.create_task(session.rejected(1))
    await world.server.until(1, REFRESH)
    return session, waits, go


async def test_auth_60_a_pair_that_comes_late_from_the_old_auth_api_is_not_taken_by_the_new_session(world):
    old, waits, go = await refused_in_mid_refresh(world, world.api.refresh)
    world.auth = replace(world.auth, url=f"{world.server.url}/other")
    world.server.script("/other/auth/password", Answer(200, json=pair("other")))
    new = world.start(store=world.store)
    old.retire()
    signing = asyncio.create_task(new.sign())
    await turns()
    go.set()
    await waits
    assert (await signing).headers["Authorization"] == "Bearer access-other"


async def test_a_pair_that_was_forgotten_is_not_written_back_by_the_session_before(world):
    old, waits, go = await refused_in_mid_refresh(world, lambda _: Answer(503))
    new = world.start(store=world.store)
    old.retire()
    forgetting = asyncio.create_task(new.forget())
    await turns()
    go.set()
    assert "erased" in await forgetting
    with pytest.raises(NotSignedIn):
        await waits
    await turns()
    assert (await world.row()).sealed is None


async def test_auth_39_a_pair_that_could_not_be_stored_gets_a_last_try_at_the_end(world):
    session = world.start()
    await session.sign()
    world.store.failing = True
    await session.rejected(1)
    world.store.failing = False
    await session.close()
    assert (await world.row()).generation == 2


async def test_auth_52_a_stored_token_is_blotted_from_the_first_moment_of_a_restart(world):
    session = world.start()
    access = (await session.sign()).headers["Authorization"].split()[1]
    await session.close()
    blotter.forget()  # as in a new process
    await world.start().sign()
    assert access not in blotter.clean(f"an answer that says {access}")


async def test_a_change_while_a_wait_is_written_down_ends_the_wait(world):
    world.secret("password", "wrong")
    session = world.start()
    with pytest.raises(NotSignedIn):
        await session.sign()

    class Spool:
        async def set_wait(self, _row):
            world.secret("password", PASSWORD)
            await session.login()

    class House:
        spool, clock = Spool(), world.clock

        def news(self):
            pass

    await Waiting("j", 0, House()).rest("session", "not signed in", 900.0, until=session.changed())
    assert session.status().state == "signed in"
    assert len(world.logins) == 2


async def test_a_fixed_secret_that_is_taken_again_is_signed_in_again():
    clock = FakeClock()
    session = FixedSession("p", lambda: {"X-Key": "value"}, clock)
    signed = await session.sign()
    with pytest.raises(NotSignedIn):
        await session.rejected(signed.generation)
    clock.tick(RETRY)
    await session.sign()
    with pytest.raises(NotSignedIn):
        await session.rejected(signed.generation)  # not yet: it stays known as refused
    assert session.status().state == "not signed in"
    clock.tick(2 * RETRY + 1)
    await session.sign()
    await session.refresh()
    assert (session.status().state, session.status().next_try) == ("signed in", None)


# ------------------------------------------------------------------ the whole engine


@contextlib.asynccontextmanager
async def running(tmp_path, server):
    """An engine with one connection and one job, both as files in `config`."""
    config, state = tmp_path / "config", tmp_path / "state"
    for folder in ("connections", "jobs", "secrets"):
        (config / folder).mkdir(parents=True)
    state.mkdir(mode=0o700)
    for name in ("user", "password"):
        (config / "secrets" / name).write_text(f"{name} of the test")
        (config / "secrets" / name).chmod(0o600)
    (config / "jobs/j.yaml").write_text(JOB.format(folder=tmp_path))
    write(config, server.url)
    loaded = load(config)
    assert loaded.errors == ()
    settings = replace(loaded.plan.settings, state=state)
    engine = await asyncio.to_thread(Engine.open, settings, config, SystemClock())
    try:
        yield engine, config
    finally:
        await engine.stop(5.0)
        await asyncio.to_thread(engine.close)


def write(config, auth, *, target="", more=""):
    text = CONNECTION.format(auth=auth, target=target or auth, more=more)
    (config / "connections/p.yaml").write_text(text)


async def take(engine, config, change):
    loaded = load(config)
    assert loaded.errors == ()
    prepared = await engine.prepare(loaded.plan, {}, change)
    engine.swap(prepared)
    return prepared


async def in_mid_refresh(engine, server, **refresh):
    """The session of the connection, in the middle of a refresh."""
    server.script("/api/auth/password", Answer(200, json=pair(1)))
    server.script("/api/auth/refresh", Answer(200, json=pair(2), **refresh))
    session = engine.connections["p"].session
    signed = await session.sign()
    waits = asyncio.create_task(session.rejected(signed.generation))
    await server.until(1, "/api/auth/refresh")
    return waits


async def test_a_connection_that_cannot_be_opened_keeps_the_whole_old_way(tmp_path):
    async with ScriptedServer() as server, running(tmp_path, server) as (engine, config):
        await take(engine, config, Change(added=("j",)))
        first = engine.connections["p"]
        write(config, "https://auth.example.com", more=f"tls: {{ca: {tmp_path}/not-there.pem}}")
        prepared = await take(engine, config, Change(connections=("p",)))
        route, _, connection = prepared.parts.routes["j"]
        assert connection is first
        assert route.url == f"{server.url}/x"


class OddError(Exception):
    """Nobody expects it."""


async def test_a_fault_of_ours_with_one_connection_rejects_its_jobs_alone(tmp_path, monkeypatch, caplog):
    def opened(connection, *words):
        if connection.name == "odd":
            raise OddError("nobody thought of it")
        return open_session(connection, *words)

    monkeypatch.setattr(agent.engine, "open_session", opened)
    async with ScriptedServer() as server, running(tmp_path, server) as (engine, config):
        for kind, template in (("connections", CONNECTION), ("jobs", JOB)):
            text = template.format(auth=server.url, target=server.url, more="", folder=tmp_path)
            names = text.replace(": p\n", ": odd\n").replace(": j\n", ": k\n").replace(": p,", ": odd,")
            (config / kind / "odd.yaml").write_text(names)
        loaded = load(config)
        assert loaded.errors == ()
        prepared = await engine.prepare(loaded.plan, {}, Change(added=("j", "k")))
        [rejected] = prepared.rejected
        assert rejected.job == "k"
        assert rejected.problem.message == "a fault of push-agent: OddError: nobody thought of it"
        assert (rejected.problem.file, rejected.problem.line) == (str(config / "connections/odd.yaml"), 1)
        assert "opening a connection failed" in caplog.text
        plan = replace(loaded.plan, jobs={"j": loaded.plan.jobs["j"]})
        engine.swap(await engine.prepare(plan, {}, Change(added=("j",))))
        assert list(engine.connections) == ["p"]


async def test_auth_08_a_stop_lets_the_refresh_of_a_replaced_connection_end_too(tmp_path):
    async with ScriptedServer() as server, running(tmp_path, server) as (engine, config):
        await take(engine, config, Change(added=("j",)))
        await engine.start()
        first, go = engine.connections["p"], asyncio.Event()
        waits = await in_mid_refresh(engine, server, hold=go)
        write(config, server.url, more="limits: {concurrency: 3}")
        await take(engine, config, Change(connections=("p",)))
        stopping = asyncio.create_task(engine.stop(5.0))
        await turns()
        go.set()
        await stopping
        await waits
        row = await engine.spool.session("p")
        assert (row.generation, row.refreshing) == (2, None)
        assert first.client.closed


async def test_a_connection_that_left_is_forgotten_behind_its_last_refresh(tmp_path):
    async with ScriptedServer() as server, running(tmp_path, server) as (engine, config):
        prepared = await take(engine, config, Change(added=("j",)))
        await engine.start()
        go = asyncio.Event()
        waits = await in_mid_refresh(engine, server, hold=go)
        nothing = Plan(settings=prepared.plan.settings, connections={}, jobs={})
        engine.swap(await engine.prepare(nothing, {}, Change(removed=("j",))))
        forgetting = asyncio.create_task(act(engine, "forget", "p"))
        await turns()
        go.set()
        await forgetting
        await waits
        row = await engine.spool.session("p")
        assert (row.generation, row.sealed) == (2, None)


async def test_a_reload_that_fails_leaves_no_connection_open(tmp_path, monkeypatch):
    async with ScriptedServer() as server, running(tmp_path, server) as (engine, config):
        opened = []
        real = engine.opened

        async def noted(connection):
            opened.append(await real(connection))
            return opened[-1]

        async def broken():
            raise StateError("disk I/O error")

        monkeypatch.setattr(engine, "opened", noted)
        monkeypatch.setattr(engine.spool, "config_texts", broken)
        with pytest.raises(StateError):
            await engine.prepare(load(config).plan, {}, Change(added=("j",)))
        assert [one.client.closed for one in opened] == [True]


async def test_a_reload_that_is_cut_off_while_it_opens_leaves_no_connection_open(tmp_path, monkeypatch):
    async with ScriptedServer() as server, running(tmp_path, server) as (engine, config):
        opened = []
        real = engine.opened
        plan = load(config).plan

        async def never_the_second(connection):
            if opened:
                await asyncio.Event().wait()
            opened.append(await real(connection))
            return opened[-1]

        monkeypatch.setattr(engine, "opened", never_the_second)
        [(name, first)] = plan.connections.items()
        plan = replace(plan, connections={name: first, "q": replace(first, name="q")})
        cut_off = asyncio.create_task(engine.prepare(plan, {}, Change(added=("j",))))
        await until(lambda: opened)
        cut_off.cancel()
        await asyncio.wait({cut_off})
        assert cut_off.cancelled()
        assert [one.client.closed for one in opened] == [True]
