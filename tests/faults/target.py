"""The platform that the campaign pushes to: an Auth API with short tokens and rotation, and a target.

What it is told to do wrong it does by seeded dice (`Weather`). Everything that it read whole stands in the
history before anybody is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import json
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl

from aiohttp import web

from tests.faults.record import Asked, History, Record, Row

TOKEN_LIFE = 20
REFUSED = 400


@dataclass(frozen=True, kw_only=True)
class Weather:
    """How often what goes wrong, from 0 to 1, for each request."""

    busy: float = 0.0
    """503, not processed."""
    slow_down: float = 0.0
    """429, not processed."""
    fails_after: float = 0.0
    """500, although it was processed."""
    drops_after: float = 0.0
    """Processed, and the connection broken without an answer."""
    delay: float = 0.0
    """Seconds before an answer, at most."""


CALM = Weather()


@dataclass(kw_only=True)
class Strike:
    """What the harness does when a request has come so far: `arrived`, `half`, `processed`."""

    when: str
    requests: int
    """How many more may pass before."""
    act: Callable[[], None]
    left: bool = True


class Target:
    """Use with `async with`; `url` is for the proxy only."""

    def __init__(self, history: History, dice: random.Random, life_of: Callable[[int], int]) -> None:
        self.history = history
        self.weather = CALM
        self.strike: Strike | None = None
        self.arrived: set[tuple[str, int]] = set()
        """(path, number) of all records that are through, delivered or refused."""
        self.news = asyncio.Event()
        self.port = 0
        self._dice = dice
        self._life_of = life_of
        self._access: dict[str, int] = {}
        self._refresh: dict[str, int] = {}
        self._serial = 0
        self._now = asyncio.get_running_loop().time
        self._ends: dict[int, float] = {}
        self._runner = web.ServerRunner(
            web.Server(self._serve, access_log=None, auto_decompress=False), shutdown_timeout=0.1
        )

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def heard(self, seconds: float) -> None:
        """Until the next request has come; so long at most."""
        self.news.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.news.wait(), seconds)

    def expire(self) -> None:
        """All access tokens die early."""
        self._access.clear()

    def revoke(self) -> None:
        """The refresh tokens too."""
        self._access.clear()
        self._refresh.clear()

    # ------------------------------------------------------------------ both

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        port = request.transport.get_extra_info("peername")[1]
        life = self._life_of(port)
        await self._struck("arrived", request)
        body = b""
        try:
            if self.strike is not None and self.strike.when == "half":
                body = await request.content.readany()
                await self._struck("half", request)
            body += await request.content.read()
        except (ConnectionError, web.RequestPayloadError):
            raise asyncio.CancelledError from None  # cut off: nothing was asked
        if len(body) != request.content_length:
            _cut(request)  # the same, as aiohttp has it when the end comes at an odd moment
        if request.path.startswith("/auth/"):
            return await self._auth(request, body, life)
        return await self._data(request, body, life, port)

    async def _struck(self, when: str, request: web.BaseRequest) -> None:
        strike = self.strike
        if strike is None or not strike.left or strike.when != when:
            return
        strike.requests -= 1
        if strike.requests < 0:
            strike.left = False
            strike.act()
            _cut(request)

    # ------------------------------------------------------------------ Auth API

    async def _auth(self, request: web.BaseRequest, body: bytes, life: int) -> web.StreamResponse:
        form = dict(parse_qsl(body.decode()))
        what, shown = "login", 0
        if request.path == "/auth/refresh":
            what, shown = "refresh", int(form["refresh_token"].rpartition("-")[2])
            good = self._refresh.pop(form["refresh_token"], None) is not None
        else:
            good = (form["username"], form["password"]) == ("demo", "password-of-the-world")
        given = self._issue() if good else 0
        status = 200 if good else 401
        self.history.asked.append(
            Asked(tick=self.history.tick(), life=life, what=what, status=status, shown=shown, given=given)
        )
        await self._struck("processed", request)
        document = {"error": "invalid_grant"}
        if good:
            document = {"access_token": f"access-{given}", "refresh_token": f"refresh-{given}", "token_type": "bearer", "expires_in": TOKEN_LIFE}  # fmt: skip
        return web.json_response(document, status=status)

    def _issue(self) -> int:
        self._serial += 1
        self._access[f"access-{self._serial}"] = self._serial
        self._refresh[f"refresh-{self._serial}"] = self._serial
        self._ends[self._serial] = self._now() + TOKEN_LIFE
        return self._serial

    def _token(self, request: web.BaseRequest) -> int:
        serial = self._access.get(request.headers.get("Authorization", "").removeprefix("Bearer "), 0)
        return serial if self._ends.get(serial, 0.0) > self._now() else 0

    # ------------------------------------------------------------------ target

    async def _data(self, request: web.BaseRequest, wire: bytes, life: int, port: int) -> web.StreamResponse:
        row = self._row(request, wire, life, port)
        self.history.rows.append(row)
        self.news.set()
        row.status, headers = self._verdict(row)
        good = row.status in {200, 500, 0}
        row.processed = good
        if good or row.status == REFUSED:
            self.arrived.update((row.path, number) for _, number in row.records)
            await self._struck("processed", request)
        if row.status == 0:
            _cut(request)
        if self.weather.delay:
            await asyncio.sleep(self._dice.random() * self.weather.delay)
        response = web.StreamResponse(status=row.status, headers=headers)
        response.content_length = 2
        try:
            await response.prepare(request)
            await response.write(b"ok")
            await response.write_eof()
        except ConnectionError:
            raise asyncio.CancelledError from None  # nobody hears it
        row.clean = row.status in {200, REFUSED}
        return response

    def _verdict(self, row: Row) -> tuple[int, dict[str, str]]:
        """The status (0: none at all) and headers."""
        if not row.token:
            return 401, {}
        weather, dice = self.weather, self._dice.random()
        for chance, status in (
            (weather.busy, 503),
            (weather.slow_down, 429),
            (weather.fails_after, 500),
            (weather.drops_after, 0),
        ):
            if dice < chance:
                if status in {500, 0} and self._bad(row):
                    break
                return status, {"Retry-After": "0"} if status == 429 else {}
            dice -= chance
        return (REFUSED if self._bad(row) else 200), {}

    def _bad(self, row: Row) -> bool:
        return any((row.path, number) in self.history.bad for _, number in row.records)

    def _row(self, request: web.BaseRequest, wire: bytes, life: int, port: int) -> Row:
        body = gzip.decompress(wire) if request.headers.get("Content-Encoding") == "gzip" else wire
        return Row(
            tick=self.history.tick(),
            path=request.path,
            key=request.headers.get("Idempotency-Key", ""),
            body_sha=hashlib.sha256(body).hexdigest(),
            records=records_of(request.path, body),
            life=life,
            port=port,
            token=self._token(request),
        )


def records_of(path: str, body: bytes) -> tuple[Record, ...]:
    """What is in a body. A whole file says it in its first line: `plan,NUMBER,CRC of the rest`."""
    if path == "/plans":
        head, _, rest = body.partition(b"\n")
        _, number, crc = head.decode().split(",")
        return (("", int(number) if int(crc) == zlib.crc32(rest) else -1),)
    document = json.loads(body)
    records = document if isinstance(document, list) else [document]
    return tuple((str(each.get("k") or ""), int(each["n"])) for each in records)


def _cut(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()
    raise asyncio.CancelledError  # the server knows this as "client gone"
