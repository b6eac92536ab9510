"""The agent's real session against a real server: config from YAML, secrets in files, the pair in SQLite.

Between the two stands a relay. It counts, and may lose an answer *after* the server has acted on the request.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass

import aiohttp

from agent.auth import open_session
from agent.auth.vault import open_vault
from agent.clock import SystemClock
from agent.config import SecretStore, load
from agent.errors import NotSignedIn
from tests.conformance.harness import CLIENTS, PERSON, SCOPE
from tests.support.auth_world import FileStore, auth_client
from tests.support.scripted import DROP, Answer, ScriptedServer


class JumpingClock(SystemClock):
    """The machine's own clocks; a test may let it sleep for a while."""

    def __init__(self):
        self.slept = 0.0

    def now(self):
        return super().now() + self.slept

    def boottime(self):
        return super().boottime() + self.slept

    def jump(self, seconds):
        self.slept += seconds


@dataclass(frozen=True, kw_only=True)
class Exchanged:
    """One request to the token endpoint and the server's answer, whether or not it arrived."""

    form: dict
    authorization: str
    status: int
    answer: dict


class Relay:
    """Passes on what the agent asks the token endpoint."""

    def __init__(self, front, server, http):
        self.exchanges = []
        self.lose = 0
        """So many of the next answers get lost."""
        self.hold = False
        """The next answer waits for ever: whoever asked is to die meanwhile."""
        self.held = asyncio.Event()
        self.url = front.url + "/token"
        self.server = server
        self._http = http
        front.script("/token", self._pass_on)

    def asked(self, grant=None):
        return [one for one in self.exchanges if grant in (None, one.form.get("grant_type"))]

    async def _pass_on(self, request):
        names = ("Content-Type", "Accept", "Authorization")
        headers = {name: request.headers[name] for name in names if name in request.headers}
        try:
            async with self._http.post(self.server.token_url, data=request.body, headers=headers) as answer:
                status, body = answer.status, await answer.read()
        except aiohttp.ClientConnectorError:
            return Answer(502)  # as the proxies of this world do
        self.exchanges.append(
            Exchanged(
                form=request.form,
                authorization=request.headers.get("Authorization", ""),
                status=status,
                answer=json.loads(body),
            )
        )
        if self.hold:
            self.hold = False
            self.held.set()
            await asyncio.Event().wait()
        if self.lose:
            self.lose -= 1
            return DROP
        return Answer(status, body, {"Content-Type": "application/json"})


class Life:
    """Everything of one connection that outlives a restart, and the sessions it had."""

    def __init__(self, folder, relay, http):
        self.relay = relay
        self.clock = JumpingClock()
        self.config = folder / "config"
        self.state = folder / "state"
        self._http = http
        self._open = []
        for one in ("connections", "secrets"):
            (self.config / one).mkdir(parents=True)
        self.config.joinpath("secrets").chmod(0o700)
        self.state.mkdir(mode=0o700)
        for name, value in PERSON.items():
            self.secret(name, value)

    @property
    def server(self):
        return self.relay.server

    def secret(self, name, value):
        path = self.config / "secrets" / name
        path.write_text(value)
        path.chmod(0o600)

    def configure(self, kind, client="basic", **more):
        """Write the connection; a key with None is left out."""
        self.secret("client_secret", CLIENTS[client].secret)
        auth = {**signing_in(kind, self.relay.url, client), **more}
        auth = {key: value for key, value in auth.items() if value is not None}
        text = {"connection": "p", "type": "http", "auth": auth}
        (self.config / "connections/p.yaml").write_text(json.dumps(text))  # JSON is YAML

    async def start(self):
        """A new life of the agent; its session."""
        loaded = load(self.config)
        assert not loaded.errors, [str(problem) for problem in loaded.errors]
        connection = loaded.plan.connections["p"]
        secrets, vault = SecretStore(self.config, {}), open_vault(self.state)
        store = FileStore(self.state / "state.db")
        session = open_session(connection, secrets, store, vault, self.clock, self._http)
        self._open.append((session, store))
        return session

    async def stop(self):
        while self._open:
            session, store = self._open.pop()
            await session.close()
            store.close()

    async def expire(self, session):
        """The machine sleeps until the token is over, and wakes; what the next request is signed with."""
        self.clock.jump(3600)
        return await session.sign()

    async def refused(self, session):
        """Why nobody can sign in: what a lane would show, while it waits."""
        try:
            await session.sign()
        except NotSignedIn as error:
            return f"{error.message}\n{error.hint}", error
        raise AssertionError("signed in")

    async def deliver(self, signed):
        """One request to the target as a lane makes it; its status."""
        async with self._http.post(
            self.server.deliveries_url, data=b"x", headers=dict(signed.headers)
        ) as answer:
            return answer.status


def signing_in(kind, url, client):
    """`auth` of a connection. JSON, since that is YAML too."""
    known = CLIENTS[client]
    auth = {"type": kind, "url": url, "scope": SCOPE, "client": {"id": known.id, "send": known.send}}
    if known.secret:
        auth["client"]["secret"] = {"secret": "client_secret"}
    else:
        del auth["client"]["send"]
    if kind == "oauth_password":
        auth |= {"username": {"secret": "username"}, "password": {"secret": "password"}}
    if kind == "refresh_token":
        auth |= {"refresh_token": {"secret": "first_refresh_token"}, "scope": None}
    return {key: value for key, value in auth.items() if value is not None}


def token_of(signed):
    return signed.headers["Authorization"].removeprefix("Bearer ")


@contextlib.asynccontextmanager
async def plumbing():
    """Where the agent asks, and what it and the relay ask with."""
    async with ScriptedServer() as front, auth_client() as http:
        yield front, http
