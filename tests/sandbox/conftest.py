from __future__ import annotations

import aiohttp
import pytest

from agent.sandbox import Sandbox, Settings

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Clock:
    """Time that moves when a test says so; waiting costs none."""

    def __init__(self):
        self.time = 1_800_000_000.0
        self.waited = []

    def now(self):
        return self.time

    def boottime(self):
        return self.time

    def monotonic(self):
        return self.time

    async def sleep(self, seconds):
        self.waited.append(seconds)
        self.time += seconds


class Client:
    """A user of one sandbox, as a platform's own samples would write it."""

    def __init__(self, sandbox, http):
        self.sandbox = sandbox
        self.http = http
        self.pair = {}

    async def login(self, username="demo", password=None):
        password = self.sandbox.settings.password if password is None else password
        return await self._sign("password", {"username": username, "password": password})

    async def refresh(self, token=None):
        return await self._sign("refresh", {"refresh_token": token or self.pair["refresh_token"]})

    async def _sign(self, call, form):
        async with self.http.post(f"{self.sandbox.auth_url}/auth/{call}", data=form) as answer:
            document = await answer.json(content_type=None)
        if answer.status == 200:
            self.pair = document
        return answer.status, document

    async def send(self, path, body=b"", content_type="application/json", method="POST", key="", **headers):
        if "access_token" in self.pair:
            headers.setdefault("Authorization", f"Bearer {self.pair['access_token']}")
        if key:
            headers["Idempotency-Key"] = key
        if content_type:
            headers["Content-Type"] = content_type
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        url = self.sandbox.url + path
        async with self.http.request(
            method, url, data=body, headers=headers, allow_redirects=False
        ) as answer:
            return answer.status, await answer.text(), answer.headers

    async def admin(self, method, path, document=None, **headers):
        url = f"{self.sandbox.url}/_sandbox/{path}"
        async with self.http.request(method, url, json=document, headers=headers) as answer:
            return answer.status, await answer.json()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def start(clock):
    """Starts sandboxes with the settings a test asks for, a signed-in client with each."""
    open_ones = []

    async def start(*, signed_in=True, **settings):
        sandbox = Sandbox(Settings(**settings), clock=clock)
        await sandbox.start()
        open_ones.append(sandbox)
        http = aiohttp.ClientSession()
        open_ones.append(http)
        client = Client(sandbox, http)
        if signed_in:
            assert (await client.login())[0] == 200
        return sandbox, client

    yield start
    for one in reversed(open_ones):
        await (one.stop() if isinstance(one, Sandbox) else one.close())
