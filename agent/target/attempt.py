"""One HTTP attempt → Outcome.

Nothing is retried here, with one exception: a connection that was kept alive and that the peer closed
just when it was used again. No redirect is followed, no cookie is kept, and no answer is read beyond 64 KiB
(8 MB where it says something of each record).
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias, TypeVar

import aiohttp
from isal import igzip

from agent.message import Answer
from agent.outcome import Delivered, Outcome, Refused, Retry
from agent.pacing import Headers, retry_after
from agent.request import Request
from agent.target.answers import KEEP_LIMIT, Heard, at_once, kept, read, read_all, reason_of
from agent.target.connector import Client, sockets
from agent.target.table import outcome_of, outcome_of_error
from agent.target.wire import AS_BYTES, Ready, exchange, ready_of, url_as_written
from agent.target.words import blotted, printable, shown

Said = TypeVar("Said")
Now: TypeAlias = Callable[[], float]
"""Wall clock seconds."""
Heed: TypeAlias = Callable[[Headers], None]
"""Is told the headers of an answer."""

INLINE = 32_768
"""Gzipped bodies below this are decompressed on the event loop: well below 1 ms."""


def ignored(headers: Headers) -> None:
    """Implements `Heed` for who has no use for them."""
    del headers


async def attempt(
    client: Client,
    request: Request,
    *,
    terms: Terms,
    generation: int,
    now: Now,
    ready: Ready | None = None,
    plain: Awaitable[bytes] | None = None,
    heed: Heed = ignored,
) -> Outcome:
    """Send one request once and say what it came to. Never raises for anything the target or network does.

    `ready`: the request as `prepared` has made it; `plain`: its body without gzip, if somebody is at it
    already. `heed` is given the headers of any answer.
    """
    try:
        body = ready.body if ready is not None else await (plain or _body(request))
    except (igzip.BadGzipFile, EOFError, ValueError) as error:
        return Refused(answer=Answer(status=None, reason=f"the body in the spool is damaged: {error}"))
    except MemoryError:  # it may well be there later, and for smaller ones now
        answer = Answer(status=None, reason="there is not enough memory to unpack the body")
        return Retry(answer=answer, ours=True)
    once = partial(
        _once, client, request, body, ready, terms=terms, generation=generation, now=now, heed=heed
    )
    return await sent(client, once)


def prepared(client: Client, request: Request) -> Ready | None:
    """A small request as it will be written, for the moment when it is its turn; None: not this one.

    Raises what `attempt` says of the same request: OSError, EOFError, ValueError, MemoryError.
    """
    if len(request.body) >= INLINE or client.closed:
        return None
    return ready_of(client, request, request.body if request.gzip else gunzip(request.body))


async def sent(client: Client, once: Callable[[], Awaitable[Said]]) -> Said | Outcome:
    """What sending once came to, or the outcome of an error of the other side or the network."""
    opened: list[None] = []
    sockets.set(opened)
    try:
        try:
            return await once()
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if opened or isinstance(error, aiohttp.ClientConnectorError):
                raise
            # The peer closed an idle connection in the moment it was used again (RFC 9112, 9.3.1). The
            # key makes the repeat safe, and a healthy target must not look like a failing one.
            return await once()
    except ValueError as error:
        # aiohttp's last look at URL and headers. InvalidURL is one of them, and stands in the table.
        return outcome_of_error(error) or Refused(answer=Answer(status=None, reason=printable(str(error))))
    except RuntimeError:
        if client.closed:
            return Retry(answer=Answer(status=None, reason="the connection was closed by a reload"))
        raise
    except (aiohttp.ClientError, OSError) as error:
        outcome = outcome_of_error(error)
        assert outcome is not None
        return outcome


class Terms:
    """What is the same for all attempts of a route, worked out once."""

    __slots__ = ("reply", "success", "timeout")

    def __init__(self, *, success: frozenset[int], total: float, connect: float, reply: bool = False) -> None:
        """`reply`: a success says something of each record, so all of it is read."""
        self.reply = reply
        self.success = success
        self.timeout = aiohttp.ClientTimeout(total=total, connect=connect, sock_connect=connect)


async def _once(
    client: Client,
    request: Request,
    body: bytes,
    ready: Ready | None,
    *,
    terms: Terms,
    generation: int,
    now: Now,
    heed: Heed,
) -> Outcome:
    if ready is None and not client.closed:
        ready = ready_of(client, request, body)
    response: Heard
    if ready is not None and not client.closed:
        response = await exchange(client, ready, terms.timeout)
    else:
        response = await client.request(
            request.method,
            url_as_written(request.url),
            data=body if len(body) <= AS_BYTES else io.BytesIO(body),
            headers=request.headers,
            allow_redirects=False,
            timeout=terms.timeout,
        )
    status = response.status
    heed(response.headers)
    good = status in terms.success
    said = None
    try:
        if good and terms.reply:
            said, whole = await read_all(response)
            text = (said or b"")[:KEEP_LIMIT]
        else:
            text, whole = at_once(response) or await read(response)
    except (aiohttp.ClientError, OSError):
        # A success that broke off may be half a success, so it is sent again, with the same key. A refusal
        # stays one: its status line said all (a 401 sent before the upload ended arrives like this).
        response.close()
        if good:
            raise
        text, whole = b"", False
    except BaseException:
        response.close()
        raise
    # A refusal of a big body may have come before its upload ended: that connection cannot be used again.
    if whole and (good or len(body) <= INLINE):
        response.release()
    else:
        response.close()
    if good:
        return Delivered(answer=_answer_of(response, request, text, good=True), said=said)
    return _outcome_of(response, request, text, success=terms.success, generation=generation, now=now)


async def told_by(
    response: aiohttp.ClientResponse,
    request: Request,
    *,
    success: frozenset[int],
    generation: int,
    now: Now,
) -> Outcome:
    """What an answer that is no success came to. Its connection is the caller's to close."""
    try:
        text, _ = await read(response)
    except (aiohttp.ClientError, OSError):  # its status line said all
        text = b""
    return _outcome_of(response, request, text, success=success, generation=generation, now=now)


def _answer_of(response: Heard, request: Request, text: bytes, *, good: bool) -> Answer:
    """As it is kept."""
    status = response.status
    answer = Answer(
        status=status,
        reason=reason_of(status, response),
        headers=kept(response.headers, good=good),
        body=shown(text),
    )
    return blotted(answer, request)


def _outcome_of(
    response: Heard, request: Request, text: bytes, *, success: frozenset[int], generation: int, now: Now
) -> Outcome:
    """Of an answer that is no success."""
    answer = _answer_of(response, request, text, good=False)
    waits = response.headers.getall("Retry-After", ())
    after = retry_after(waits, date=response.headers.get("Date"), now=now()) if waits else None
    return outcome_of(answer, status=response.status, success=success, generation=generation, after=after)


async def _body(request: Request) -> bytes:
    if request.gzip:
        return request.body
    if len(request.body) < INLINE:
        return gunzip(request.body)
    return await asyncio.to_thread(gunzip, request.body)


def gunzip(body: bytes) -> bytes:
    """The body as it was before it was spooled. Raises BadGzipFile, EOFError, ValueError."""
    plain: bytes = igzip.decompress(body)  # type: ignore[no-untyped-call]
    return plain
