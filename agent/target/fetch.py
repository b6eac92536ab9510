"""One GET → the answer's bytes, piece by piece, or what it came to otherwise.

As an attempt: no redirect is followed, no cookie kept, nothing retried but a connection that the peer closed
just when it was used again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import aiohttp

from agent.outcome import Outcome
from agent.request import Request
from agent.target.attempt import Heed, Now, ignored, sent, told_by
from agent.target.connector import Client
from agent.target.wire import url_as_written

_PIECE = 262_144
"""Bytes that go to a thread at once: to inflate and write them takes a few milliseconds."""
_GOOD = frozenset({200, 204})
_UNCHANGED = 304


@dataclass(frozen=True, kw_only=True, slots=True)
class Got:
    """An answer whose bytes were taken, to the last one."""

    status: int
    """200, 204, or 304 where that was asked for."""
    encoding: str = ""
    """Content-Encoding, lower case; "": none."""
    links: tuple[str, ...] = ()
    """The headers Link, as they came."""
    etag: str = ""
    modified: str = ""
    """Last-Modified."""


async def fetch(
    client: Client,
    request: Request,
    *,
    total: float,
    connect: float,
    generation: int,
    now: Now,
    take: Callable[[str, bytes], None],
    heed: Heed = ignored,
) -> Got | Outcome:
    """Send it once. `take` is called in a thread with Content-Encoding and a piece; what it raises ends it.

    Never raises for anything the other side or the network does.
    """
    timeout = aiohttp.ClientTimeout(total=total, connect=connect, sock_connect=connect)
    try:
        return await sent(client, partial(_once, client, request, timeout, generation, now, take, heed))
    except _TakenError as error:
        raise error.why from None


class _TakenError(Exception):
    """What `take` raised: none of the network's."""

    def __init__(self, why: Exception) -> None:
        super().__init__(str(why))
        self.why = why


async def _once(  # noqa: PLR0917 - what `fetch` was given, passed on
    client: Client,
    request: Request,
    timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - a value of the library
    generation: int,
    now: Now,
    take: Callable[[str, bytes], None],
    heed: Heed,
) -> Got | Outcome:
    response = await client.request(
        request.method,
        url_as_written(request.url),
        headers=request.headers,
        allow_redirects=False,
        timeout=timeout,
    )
    headers = response.headers
    heed(headers)
    asked = any(name.lower() in {"if-none-match", "if-modified-since"} for name in request.headers)
    try:
        if response.status not in _GOOD and not (response.status == _UNCHANGED and asked):
            return await told_by(response, request, success=frozenset(), generation=generation, now=now)
        encoding = headers.get("Content-Encoding", "").strip().lower()
        if response.status in _GOOD:
            await _pass_on(response.content, encoding, take)
        response.release()
        return Got(
            status=response.status,
            encoding=encoding,
            links=tuple(headers.getall("Link", ())),
            etag=headers.get("ETag", ""),
            modified=headers.get("Last-Modified", ""),
        )
    finally:
        response.close()


async def _pass_on(content: aiohttp.StreamReader, encoding: str, take: Callable[[str, bytes], None]) -> None:
    gathered = bytearray()
    while not content.at_eof():
        gathered += await content.readany()
        if len(gathered) >= _PIECE or content.at_eof():
            piece, gathered = bytes(gathered), bytearray()
            try:
                await asyncio.to_thread(take, encoding, piece)
            except Exception as error:
                raise _TakenError(error) from error
