"""A little world to sign in to: an Auth API that rotates refresh tokens, a store in a file, lives and kills."""

from __future__ import annotations

import asyncio
import pickle
import sqlite3
from dataclasses import replace
from datetime import timedelta

import aiohttp

from agent.auth import open_session
from agent.auth.exchange import AuthApi
from agent.auth.pause import Pause
from agent.auth.vault import open_vault
from agent.config.model import Connection, LoginLimit, PasswordAuth, SecretRef, Where
from agent.errors import NotSignedIn, SecretError, StateError
from tests.support.clock import FakeClock
from tests.support.scripted import Answer

WHERE = Where(file="connections/p.yaml", line=1, column=1, path="")
LOGIN, REFRESH = "/api/auth/password", "/api/auth/refresh"
PASSWORD = "correct horse battery"


class FileSecret:
    def __init__(self, value):
        self._value = value

    def reveal(self):
        return self._value

    def __repr__(self):
        return "Secret(********)"


class FileSecrets:
    """Each secret is a file of one folder."""

    def __init__(self, folder):
        self.folder = folder

    def resolve(self, ref):
        try:
            return FileSecret((self.folder / ref.name).read_text())
        except OSError as error:
            raise SecretError(f"secret {ref.name}: {error.strerror}") from None


class FileStore:
    """One handle on an SQLite file. A dead handle never writes again and never returns: kill -9."""

    def __init__(self, path):
        self.died = asyncio.Event()
        self.failing = False
        self.unreadable = False
        self.writes = []
        self.before_write = None
        """Called with the row; may kill us."""
        self._db = sqlite3.connect(path)
        self._db.execute("CREATE TABLE IF NOT EXISTS session (connection TEXT PRIMARY KEY, row BLOB)")

    async def session(self, connection):
        await self._alive()
        if self.unreadable:
            raise StateError("disk I/O error")
        found = self._db.execute("SELECT row FROM session WHERE connection = ?", [connection]).fetchone()
        return None if found is None else pickle.loads(found[0])

    async def store_session(self, row):
        if self.before_write is not None:
            self.before_write(row)
        await self._alive()
        if self.failing:
            raise StateError("database or disk is full")
        self.writes.append(row)
        with self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO session VALUES (?, ?)", [row.connection, pickle.dumps(row)]
            )
        await self._alive()

    def die(self):
        self.died.set()

    @property
    def dead(self):
        return self.died.is_set()

    async def _alive(self):
        if self.dead:
            await asyncio.Event().wait()

    def close(self):
        self._db.close()


class AuthModel:
    """What the platform's Auth API does, with its state open to tests."""

    def __init__(self, password=PASSWORD):
        self.password = password
        self.expires_in = 3600
        self.count = 0
        self.living = set()
        """Refresh tokens that are good for one more use."""
        self.access = set()
        """Access tokens that targets take."""

    def pair(self):
        self.count += 1
        access, refresh = f"access-{self.count}-aaaaaaaaaaaa", f"refresh-{self.count}-rrrrrrrrrrrr"
        self.living.add(refresh)
        self.access = {access}
        return {
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "bearer",
            "expires_in": self.expires_in,
        }

    def login(self, request):
        if request.form.get("password") != self.password:
            return Answer(
                401, json={"error": "invalid_grant", "error_description": "Invalid user credentials"}
            )
        return Answer(200, json=self.pair())

    def refresh(self, request):
        token = request.form["refresh_token"]
        if token not in self.living:
            return Answer(401, json={"error": "invalid_token"})
        self.living.discard(token)
        return Answer(200, json=self.pair())


class World:
    """Everything that survives a kill of the agent, and the lives it had."""

    def __init__(self, folder, server, client, clock=None):
        self.folder = folder
        self.server = server
        self.client = client
        self.clock = clock or FakeClock()
        self.api = AuthModel()
        self.deadline = 5.0
        self.jitter = 1.0
        self.close_grace = 5.0
        self.stores = []
        self.sessions = []
        self.secret("user", "fleet")
        self.secret("password", PASSWORD)
        self.auth = PasswordAuth(
            url=server.url + "/api",
            username=SecretRef(kind="secret", name="user", where=WHERE),
            password=SecretRef(kind="secret", name="password", where=WHERE),
        )
        server.script(LOGIN, self.api.login)
        server.script(REFRESH, self.api.refresh)

    def secret(self, name, value):
        folder = self.folder / "secrets"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(value)

    def configure(self, *, failures=3, pause=900, **changes):
        limit = LoginLimit(failures=failures, pause=timedelta(seconds=pause))
        self.auth = replace(self.auth, login_limit=limit, **changes)

    def start(self, name="p", *, store=None):
        """A new life of the agent; its session. With `store`: a second session in the life that has it."""
        store = store or FileStore(self.folder / "state.db")
        self.stores.append(store)
        vault = open_vault(self.folder)
        connection = Connection(name=name, auth=self.auth, where=WHERE)
        secrets = FileSecrets(self.folder / "secrets")
        session = open_session(connection, secrets, store, vault, self.clock, self.client)
        session._flights._pause = Pause(lambda: self.jitter)
        session._close_grace = self.close_grace
        session._flights._renewal._grant._api = AuthApi(self.client, self.clock, deadline=self.deadline)
        self.sessions.append(session)
        return session

    @property
    def store(self):
        return self.stores[-1]

    async def row(self, name="p"):
        store = FileStore(self.folder / "state.db")
        try:
            return await store.session(name)
        finally:
            store.close()

    async def kill(self):
        """As kill -9: nothing more is written, nobody says goodbye."""
        self.store.die()
        session = self.sessions[-1]
        session._closed = True
        tasks = {task for task in (session._flights.flight, session._flights._keeper) if task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def close(self):
        for session, store in zip(self.sessions, self.stores, strict=True):
            if not store.dead:
                await session.close()
            store.close()

    @property
    def logins(self):
        return self.server.asked(LOGIN)

    @property
    def refreshes(self):
        return self.server.asked(REFRESH)

    def sent_refresh_tokens(self):
        return [request.form["refresh_token"] for request in self.refreshes]


async def signed_soon(world, session, tries=50):
    """As a lane does: try, wait as long as it is told, try again."""
    for _ in range(tries):
        try:
            return await session.sign()
        except NotSignedIn as error:
            await world.clock.advance(error.retry_after or 1)
    raise AssertionError("not signed in")


def auth_client(**more):
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), **more)
