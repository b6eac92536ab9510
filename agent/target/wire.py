"""One request and its answer on a connection of the pool, without a client around it.

    connector ─▶ connection ─▶ one write ─▶ head of the answer ─▶ its body ─▶ back into the pool
    (names, TLS, keep-alive)                (the library's parser)

The library's client does much that no attempt needs: cookies, redirects, forms, streams, a task that writes.
That was two thirds of what a small message cost the event loop. What needs it goes through it: bodies that
are too large for one write, and proxies, which want to see another request.
"""

from __future__ import annotations

import asyncio
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from agent.request import Request
from agent.target.connector import Client, Connector

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from multidict import CIMultiDictProxy

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""What would end a header or smuggle one in (RFC 9110, 5.5). `request.build` looks too; this is the last."""
_JOINED = 8_192
"""Bytes: a smaller body is copied behind its head, a larger one goes beside it."""
_INTERIM = range(100, 200)
_SWITCHED = 101


class Place(NamedTuple):
    """A URL, taken apart once."""

    origin: URL
    target: str
    """Path and query, as they go into the first line."""


class Exchange:
    """An answer whose head is there. It ends with `release` or `close`, one of them."""

    __slots__ = ("_connection", "_late", "content", "headers", "reason", "status")

    content: aiohttp.StreamReader
    headers: CIMultiDictProxy[str]
    reason: str | None
    status: int

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop, deadline: float) -> None:
        self._connection = connection
        self._late = loop.call_at(deadline, self._expire)

    async def say(self, asking: ClientRequest, head: bytes, body: bytes, *, bodiless: bool) -> None:
        """Write the request and read the head of the answer. Raises aiohttp.ClientError and TimeoutError."""
        connection = self._connection
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None or transport.is_closing():
            raise aiohttp.ClientOSError(None, "the connection is closing")
        protocol.set_response_params(skip_payload=bodiless, read_until_eof=True, auto_decompress=False)
        if len(body) < _JOINED:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        try:
            while True:
                message, content = await protocol.read()
                if message.code not in _INTERIM or message.code == _SWITCHED:
                    break
        except HttpProcessingError as error:
            raise aiohttp.ClientResponseError(
                asking.request_info, (), status=error.code, message=error.message, headers=error.headers
            ) from error
        self.status, self.reason, self.headers = message.code, message.reason, message.headers
        self.content = content

    def release(self) -> None:
        """The connection can be used again, if the answer was read to its end."""
        self._late.cancel()
        self._connection.release()

    def close(self) -> None:
        """The connection cannot be used again. Twice, or after `release`, is fine."""
        self._late.cancel()
        self._connection.close()

    def _expire(self) -> None:
        """Whoever waits for the answer, or for the rest of it, hears of it."""
        content = getattr(self, "content", None)
        waited = self._connection.protocol if content is None else content
        if waited is not None:
            waited.set_exception(TimeoutError())


async def exchange(
    client: Client, place: Place, request: Request, body: bytes, terms: aiohttp.ClientTimeout
) -> Exchange:
    """Send it and wait for the head of the answer. `terms.connect` is at most `terms.total`.

    Raises as `ClientSession.request` does. `total` holds for the rest of the answer too.
    """
    assert isinstance(client.connector, Connector)
    loop = asyncio.get_running_loop()
    began = loop.time()
    asking = client.connector.asking(place.origin, client)
    head = _head(request, place.target, asking.headers["Host"], len(body))
    try:
        connection = await client.connector.connect(asking, [], terms)
    except TimeoutError as error:
        if isinstance(error, aiohttp.ClientError):
            raise
        raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {place.origin}") from error
    assert terms.total is not None
    open_exchange = Exchange(connection, loop, began + terms.total)
    try:
        await open_exchange.say(asking, head, body, bodiless=request.method == "HEAD")
    except BaseException:
        open_exchange.close()
        raise
    return open_exchange


def way_of(client: Client, url: URL) -> Place | None:
    """Where to, if a request can go there without the library's client."""
    if client.closed or not isinstance(client.connector, Connector) or client.connector.proxies is not None:
        return None
    return _place(url)


@lru_cache(maxsize=1024)
def _place(url: URL) -> Place | None:
    if url.scheme not in {"http", "https"} or not url.raw_host or url.raw_user or url.raw_password:
        return None
    return Place(origin=url.origin(), target=url.raw_path_qs)


def _head(request: Request, target: str, host: str, length: int) -> bytes:
    """Raises ValueError for what could be read as another header."""
    lines = [f"{request.method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    if _CONTROL.search("".join(lines)):
        raise ValueError("a header or the URL holds a control character")
    lines.append(f"Content-Length: {length}\r\n\r\n")
    return "\r\n".join(lines).encode()
