"""One request and its answer on a connection of the pool, without a client around it.

    connector ─▶ connection ─▶ one write ─▶ head of the answer ─▶ its body ─▶ back into the pool
    (names, TLS, keep-alive)                (the library's parser)

The library's client does much that no attempt needs: cookies, redirects, forms, streams, a task that writes.
That was two thirds of what a small message cost the event loop. What needs it goes through it: bodies that
are too large for one write, and proxies, which want to see another request.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD
from yarl import URL

from agent.request import Request
from agent.target.answering import Answers
from agent.target.connector import Client, Connector
from agent.target.deadlines import Deadlines

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from multidict import CIMultiDictProxy

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""What would end a header or smuggle one in (RFC 9110, 5.5). `request.build` looks too; this is the last."""
_JOINED = 8_192
"""Bytes: a smaller body is copied behind its head, a larger one goes beside it."""
_SMALL = 16_384
"""Bytes of an answer: for so few the library's reader never stops the connection."""
AS_BYTES = 524_288
"""Bytes of a body: larger ones are written piece by piece, so that one write cannot stall the loop."""
_INTERIM = range(100, 200)
_SWITCHED = 101


class Ready(NamedTuple):
    """A request as it is written, made before it is its turn."""

    origin: URL
    head: bytes
    body: bytes
    bodiless: bool
    """Its answer has no body: HEAD."""


class Exchange:
    """A request on its way and its answer. It ends with `release` or `close`, one of them."""

    __slots__ = ("_connection", "_deadlines", "content", "headers", "reason", "status")

    content: aiohttp.StreamReader
    headers: CIMultiDictProxy[str]
    reason: str | None
    status: int

    def __init__(self, connection: Connection, deadlines: Deadlines, deadline: float) -> None:
        self._connection = connection
        self._deadlines = deadlines
        deadlines.set(self, deadline, self._expire)

    async def say(self, asking: ClientRequest, ready: Ready) -> None:
        """Write the request and read the head of the answer. Raises aiohttp.ClientError and TimeoutError."""
        connection = self._connection
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None or transport.is_closing():
            raise aiohttp.ClientOSError(None, "the connection is closing")
        protocol.set_response_params(skip_payload=ready.bodiless, read_until_eof=True, auto_decompress=False)
        if len(ready.body) < _JOINED:
            transport.write(ready.head + ready.body)
        else:
            transport.writelines((ready.head, ready.body))
        try:
            while True:
                message, content = await protocol.read()
                if message.code not in _INTERIM or message.code == _SWITCHED:
                    break
        except HttpProcessingError as error:
            found = protocol.first_bodiless() if isinstance(protocol, Answers) else None
            if found is None:
                raise aiohttp.ClientResponseError(
                    asking.request_info, (), status=error.code, message=error.message, headers=error.headers
                ) from error
            message, content = found
        self.status, self.reason, self.headers = message.code, message.reason, message.headers
        self.content = content

    def at_once(self) -> bytes | None:
        """All of the answer's body, if it has come already and is small; it need not be read then.

        To take it out of the library's reader would have it look for more, and at its flow control.
        """
        content = self.content
        if content is EMPTY_PAYLOAD:
            return b""
        if not content.is_eof() or content.total_bytes > _SMALL or content.exception() is not None:
            return None
        return b"".join(content._buffer)  # noqa: SLF001 - see above

    def release(self) -> None:
        """The connection can be used again, if the answer came to its end."""
        self._deadlines.over(self)
        self._connection.release()

    def close(self) -> None:
        """The connection cannot be used again. Twice, or after `release`, is fine."""
        self._deadlines.over(self)
        self._connection.close()

    def _expire(self) -> None:
        """Whoever waits for the answer, or for the rest of it, hears of it."""
        content = getattr(self, "content", None)
        waited = self._connection.protocol if content is None else content
        if waited is not None:
            waited.set_exception(TimeoutError())


async def exchange(client: Client, ready: Ready, terms: aiohttp.ClientTimeout) -> Exchange:
    """Send it and wait for the head of the answer. `terms.connect` is at most `terms.total`.

    Raises as `ClientSession.request` does. `total` holds for the rest of the answer too.
    """
    connector = client.connector
    assert isinstance(connector, Connector)
    assert terms.total is not None
    asking = connector.asking(ready.origin, client)
    deadline = connector.deadlines.after(terms.total)
    connection = connector.kept(asking)
    if connection is None:
        try:
            connection = await connector.connect(asking, [], terms)
        except TimeoutError as error:
            if isinstance(error, aiohttp.ClientError):
                raise
            raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {ready.origin}") from error
    open_exchange = Exchange(connection, connector.deadlines, deadline)
    try:
        await open_exchange.say(asking, ready)
    except BaseException:
        open_exchange.close()
        raise
    return open_exchange


def ready_of(client: Client, request: Request, body: bytes) -> Ready | None:
    """The request as it is written; None: it needs the library's client.

    Raises ValueError for what could be read as another header.
    """
    connector = client.connector
    if len(body) > AS_BYTES or not isinstance(connector, Connector) or connector.proxies is not None:
        return None
    place = _place(request.url)
    if place is None:
        return None
    host = connector.asking(place.origin, client).headers["Host"]
    head = _head(request, place.target, host, len(body))
    return Ready(origin=place.origin, head=head, body=body, bodiless=request.method == "HEAD")


class _Place(NamedTuple):
    """A URL, taken apart once."""

    origin: URL
    target: str
    """Path and query, as they go into the first line."""


@lru_cache(maxsize=1024)
def _place(text: str) -> _Place | None:
    url = url_as_written(text)
    if url.scheme not in {"http", "https"} or not url.raw_host or url.raw_user or url.raw_password:
        return None
    return _Place(origin=url.origin(), target=url.raw_path_qs)


@lru_cache(maxsize=1024)
def url_as_written(text: str) -> URL:
    """As it stands: no second percent-encoding, so that it cannot become another URL than dry-run shows."""
    return URL(text, encoded=True)


def _head(request: Request, target: str, host: str, length: int) -> bytes:
    """Raises ValueError for what could be read as another header."""
    lines = [f"{request.method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    if _CONTROL.search("".join(lines)):
        raise ValueError("a header or the URL holds a control character")
    lines.append(f"Content-Length: {length}\r\n\r\n")
    return "\r\n".join(lines).encode()
