"""A real HTTP server on 127.0.0.1 that answers what a test wrote down, and remembers every request.

    async with ScriptedServer() as server:
        server.script("/auth/refresh", [Answer(503), Answer(200, json={…}), DROP])
        server.script("/devices", lambda request: Answer(204))
        …
        assert [request.path for request in server.requests] == [...]

The answers of a path are used in turn; the last one stays. A path without a script answers 404.
`RawServer` is its hostile sibling: it speaks no HTTP at all, only the bytes it was given.
"""

from __future__ import annotations

import asyncio
import itertools
import json as jsonlib
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeAlias
from urllib.parse import parse_qsl

from aiohttp import web


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request, as it came in."""

    order: int
    """From 0, over all paths, in the order in which requests were read."""
    method: str
    path: str
    """With the query, still percent-encoded."""
    headers: Mapping[str, str]
    """Case-insensitive."""
    body: bytes
    """Raw: not decompressed. Empty when the answer was `DROP_UNREAD`."""
    time: float
    """Monotonic seconds."""

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self) -> Any:
        return jsonlib.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What the server does with a request."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    """Instead of `body`; sets the content type."""
    delay: float = 0.0
    """Seconds between reading the request and answering."""
    hold: asyncio.Event | None = None
    """Answer only once this is set (deterministic, unlike a delay)."""
    drop: Literal["", "unread", "read", "half"] = ""
    """Break the connection: before reading the body, after reading it, or in the middle of the answer."""
    trickle: float = 0.0
    """Seconds between single bytes of the body."""
    early: bool = False
    """Answer before the body of the request is read, and close."""


DROP_UNREAD = Answer(drop="unread")
DROP = Answer(drop="read")

Handler: TypeAlias = "Callable[[Received], Answer | Awaitable[Answer]]"
Script: TypeAlias = "Sequence[Answer | Handler] | Handler | Answer"


class ScriptedServer:
    """Start and stop with `async with`."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        self.requests: list[Received] = []
        self.url = ""
        """`http://127.0.0.1:PORT`, without a slash at its end."""
        self.port = port
        self.in_flight = 0
        self.most_in_flight = 0
        self._tls = tls
        self._host = host
        self._scripts: dict[str, list[Answer | Handler]] = {}
        self._order = itertools.count()
        self._arrived = asyncio.Condition()
        server = web.Server(self._serve, auto_decompress=False, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)

    def script(self, path: str, answers: Script) -> None:
        """Answer requests to `path` (without query) so; replaces what was scripted before."""
        several = isinstance(answers, Sequence)
        self._scripts[path] = list(answers) if several else [answers]  # type: ignore[arg-type, list-item]

    def asked(self, path: str) -> list[Received]:
        """The requests to one path, in order."""
        return [request for request in self.requests if request.path.partition("?")[0] == path]

    async def until(self, count: int, path: str | None = None) -> list[Received]:
        """Wait until so many requests came in (to that path), and give them."""

        def there() -> list[Received]:
            return self.requests if path is None else self.asked(path)

        async with self._arrived:
            await self._arrived.wait_for(lambda: len(there()) >= count)
        return there()

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.url = f"{'https' if self._tls else 'http'}://{self._host}:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        step = self._next(request.path)
        unread = isinstance(step, Answer) and (step.drop == "unread" or step.early)
        body = b"" if unread else await request.content.read()  # `request.read` stops at 1 MiB
        received = Received(
            order=next(self._order),
            method=request.method,
            path=request.raw_path,
            headers=request.headers,
            body=body,
            time=time.monotonic(),
        )
        async with self._arrived:
            self.requests.append(received)
            self._arrived.notify_all()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._answer(request, await _decide(step, received))
        finally:
            self.in_flight -= 1

    def _next(self, path: str) -> Answer | Handler:
        script = self._scripts.get(path)
        if not script:
            return Answer(404, b"no script for this path")
        return script.pop(0) if len(script) > 1 else script[0]

    async def _answer(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        if answer.hold is not None:
            await answer.hold.wait()
        if answer.delay:
            await asyncio.sleep(answer.delay)
        headers = dict(answer.headers)
        body = answer.body
        if answer.json is not None:
            body = jsonlib.dumps(answer.json).encode()
            headers.setdefault("Content-Type", "application/json")
        if answer.drop in ("unread", "read"):
            return _cut(request)
        response = web.StreamResponse(status=answer.status, headers=headers)
        response.content_length = len(body)
        if answer.early:
            response.force_close()
        await response.prepare(request)
        if answer.drop == "half":
            await response.write(body[: len(body) // 2])
            return _cut(request)
        if answer.trickle:
            for at in range(len(body)):
                await response.write(body[at : at + 1])
                await asyncio.sleep(answer.trickle)
        elif body:
            await response.write(body)
        await response.write_eof()
        return response


async def _decide(step: Answer | Handler, received: Received) -> Answer:
    if isinstance(step, Answer):
        return step
    decided = step(received)
    return decided if isinstance(decided, Answer) else await decided


def _cut(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    raise asyncio.CancelledError  # nothing more may be written; the server knows this as "client gone"


class RawServer:
    """Reads until the end of the head (or what a client sends at all), then writes bytes and closes.

    With `answer=None` it says nothing and keeps the connection open until the server stops.
    """

    def __init__(self, answer: bytes | None, *, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.received: list[bytes] = []
        """What each connection sent, decrypted."""
        self.url = ""
        self.port = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        at = len(self.received)
        self.received.append(b"")
        try:
            while b"\r\n\r\n" not in self.received[at]:
                piece = await reader.read(65_536)
                if not piece:
                    break
                self.received[at] += piece
            if self.answer is None:
                await reader.read()
            else:
                writer.write(self.answer)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)
