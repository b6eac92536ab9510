"""One HTTP attempt → Outcome.

Nothing is retried here, with one exception: a connection that was kept alive and that the peer closed
just when it was used again. No redirect is followed, no cookie is kept, and no answer is read beyond 64 KiB
(8 MB where it says something of each record).
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import lru_cache, partial
from http import HTTPStatus
from typing import TypeAlias, TypeVar

import aiohttp
from isal import igzip
from yarl import URL

from agent.message import Answer
from agent.outcome import Delivered, Outcome, Refused, Retry
from agent.pacing import Headers, retry_after
from agent.request import Request
from agent.target.challenge import told
from agent.target.connector import Client, sockets
from agent.target.table import outcome_of, outcome_of_error
from agent.target.wire import Exchange, exchange, way_of
from agent.target.words import blotted, printable, shown

Said = TypeVar("Said")
Heard: TypeAlias = Exchange | aiohttp.ClientResponse
Now: TypeAlias = Callable[[], float]
"""Wall clock seconds."""
Heed: TypeAlias = Callable[[Headers], None]
"""Is told the headers of an answer."""

READ_LIMIT = 65_536
"""Bytes of an answer that are read; what comes after costs the connection."""
REPLY_LIMIT = 8_000_000
"""The same of a success that says something of each record (`target.reply`)."""
KEEP_LIMIT = 4_096
"""Bytes of an answer that are kept."""
INLINE = 32_768
"""Gzipped bodies below this are decompressed on the event loop: well below 1 ms."""
_AS_BYTES = 524_288  # larger bodies are written piece by piece, so that one write cannot stall the loop

# Of a delivered message's answer only what helps to find it at the target again; receipts are many.
_KEPT_OF_GOOD = ("X-Request-Id", "X-Correlation-Id", "Location", "ETag")
_TOLD = frozenset({401, 403})  # answers that may say what is wrong with the token (RFC 6750)
_NEVER_KEPT = frozenset({"set-cookie", "www-authenticate", "proxy-authenticate"})


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
    plain: Awaitable[bytes] | None = None,
    heed: Heed = ignored,
) -> Outcome:
    """Send one request once and say what it came to. Never raises for anything the target or network does.

    `plain`: its body without gzip, if somebody is at it already. `heed` is given the headers of any answer.
    """
    try:
        body = await (plain or _body(request))
    except (igzip.BadGzipFile, EOFError, ValueError) as error:
        return Refused(answer=Answer(status=None, reason=f"the body in the spool is damaged: {error}"))
    except MemoryError:  # it may well be there later, and for smaller ones now
        answer = Answer(status=None, reason="there is not enough memory to unpack the body")
        return Retry(answer=answer, ours=True)
    once = partial(_once, client, request, body, terms=terms, generation=generation, now=now, heed=heed)
    return await sent(client, once)


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
    *,
    terms: Terms,
    generation: int,
    now: Now,
    heed: Heed,
) -> Outcome:
    response = await _asked(client, request, body, terms)
    status = response.status
    heed(response.headers)
    good = status in terms.success
    said = None
    try:
        if good and terms.reply:
            said, whole = await _read_all(response)
            text = (said or b"")[:KEEP_LIMIT]
        else:
            text, whole = await _read(response)
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
    headers = response.headers
    answer = blotted(
        Answer(
            status=status,
            reason=_reason(status, response),
            headers=_kept(headers, good=good),
            body=shown(text),
        ),
        request,
    )
    if good:
        return Delivered(answer=answer, said=said)
    waits = headers.getall("Retry-After", ())
    after = retry_after(waits, date=headers.get("Date"), now=now()) if waits else None
    return outcome_of(answer, status=status, success=terms.success, generation=generation, after=after)


async def _asked(client: Client, request: Request, body: bytes, terms: Terms) -> Heard:
    url = url_as_written(request.url)
    place = way_of(client, url) if len(body) <= _AS_BYTES else None
    if place is not None:
        return await exchange(client, place, request, body, terms.timeout)
    return await client.request(
        request.method,
        url,
        data=body if len(body) <= _AS_BYTES else io.BytesIO(body),
        headers=request.headers,
        allow_redirects=False,
        timeout=terms.timeout,
    )


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
        text, _ = await _read(response)
    except (aiohttp.ClientError, OSError):  # its status line said all
        text = b""
    headers = response.headers
    answer = Answer(
        status=response.status,
        reason=_reason(response.status, response),
        headers=_kept(headers, good=False),
        body=shown(text),
    )
    waits = headers.getall("Retry-After", ())
    after = retry_after(waits, date=headers.get("Date"), now=now()) if waits else None
    return outcome_of(
        blotted(answer, request), status=response.status, success=success, generation=generation, after=after
    )


async def _read(response: Heard) -> tuple[bytes, bool]:
    """The first 4 KiB of the answer, and whether it ended within the limit."""
    content = response.content
    kept = b""
    seen = 0
    while not content.at_eof():
        piece = await content.read(READ_LIMIT)
        seen += len(piece)
        if len(kept) < KEEP_LIMIT:
            kept = (kept + piece)[:KEEP_LIMIT]
        if seen > READ_LIMIT:
            return kept, False
    return kept, True


async def _read_all(response: Heard) -> tuple[bytes | None, bool]:
    """The whole answer, and True; None and False when it is longer than `REPLY_LIMIT`."""
    pieces: list[bytes] = []
    seen = 0
    while not response.content.at_eof():
        pieces.append(await response.content.read(READ_LIMIT))
        seen += len(pieces[-1])
        if seen > REPLY_LIMIT:
            return None, False
    return b"".join(pieces), True


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


def _reason(status: int, response: Heard) -> str:
    phrase = _phrase(status) or printable((response.reason or "")[:100])
    text = f"{status} {phrase}".rstrip()
    if status == 407:  # noqa: PLR2004 - HTTP
        text += " (of a proxy on the way: it wants other credentials)"
    if 300 <= status < 400 and (to := response.headers.get("Location")):  # noqa: PLR2004
        # Not the query: it may hold what belongs to one request only.
        text += f" to {printable(to.partition('?')[0][:200])} (redirects are never followed)"
    if status in _TOLD and (said := told(response.headers.getall("WWW-Authenticate", ()))):
        text += f": {said}"
    return text


@lru_cache(maxsize=512)
def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _kept(headers: Mapping[str, str], *, good: bool) -> dict[str, str]:
    names: Iterable[str]
    if good:
        names = [name for name in _KEPT_OF_GOOD if name in headers]
    else:
        names = [name for name in list(headers)[:32] if name.lower() not in _NEVER_KEPT]
    return {name: printable(headers[name][:512]) for name in names}


@lru_cache(maxsize=1024)
def url_as_written(text: str) -> URL:
    """As it stands: no second percent-encoding, so that it cannot become another URL than dry-run shows."""
    return URL(text, encoded=True)
