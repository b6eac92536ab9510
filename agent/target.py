"""One HTTP attempt → Outcome. Here is the only table of status codes and of client errors.

Nothing is retried here, with one exception: a connection that was kept alive and that the peer closed
just when it was used again. No redirect is followed, no proxy or .netrc of the environment is used, no
cookie is kept, and no answer is read beyond 64 KiB.
"""

from __future__ import annotations

import asyncio
import io
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from functools import lru_cache
from http import HTTPStatus
from typing import TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver
from isal import igzip
from yarl import URL

from agent.message import Answer
from agent.outcome import Delivered, Misdirected, Outcome, Refused, Retry, Unauthorized
from agent.pacing import retry_after
from agent.request import Request

Now: TypeAlias = Callable[[], float]
"""Wall clock seconds."""

READ_LIMIT = 65_536
"""Bytes of an answer that are read; what comes after costs the connection."""
KEEP_LIMIT = 4_096
"""Bytes of an answer that are kept."""
_INLINE = 32_768  # gzipped bodies below this are decompressed on the event loop: well below 1 ms
_AS_BYTES = 524_288  # larger bodies are written piece by piece, so that one write cannot stall the loop
_KEEP_ALIVE = 60.0  # seconds; a job that runs every 30 s finds its connection again

_RETRY = frozenset({407, 408, 425, 429})  # 407: of a proxy on the way, which may recover
_MISDIRECTED = frozenset({403, 404, 405})

# Of a delivered message's answer only what helps to find it at the target again; receipts are many.
_KEPT_OF_GOOD = ("X-Request-Id", "X-Correlation-Id", "Location", "ETag")
_NEVER_KEPT = frozenset({"set-cookie", "www-authenticate", "proxy-authenticate"})

_opened: ContextVar[list[None]] = ContextVar("opened")
"""Of the current attempt: grows with each new socket; empty, the connection was a reused one."""


def outcome_of(
    answer: Answer, *, status: int, success: frozenset[int], generation: int = 0, after: float | None = None
) -> Outcome:
    """The table: any number an HTTP server may send as a status."""
    if status in success:
        return Delivered(answer=answer)
    if status == 401:  # noqa: PLR2004 - this table is the place of these numbers
        return Unauthorized(answer=answer, generation=generation)
    if status in _RETRY or status >= 500 or status < 200:  # noqa: PLR2004
        return Retry(answer=answer, after=after)
    # Also 2xx that the job does not call a success: to repeat or to give up could be wrong, so it waits.
    if status in _MISDIRECTED or status < 400:  # noqa: PLR2004
        return Misdirected(answer=answer)
    return Refused(answer=answer)


# The first row that fits counts: the narrow ones stand first. Reasons are for people.
_ERRORS: tuple[tuple[type[BaseException], type[Retry | Misdirected], str], ...] = (
    (aiohttp.InvalidURL, Misdirected, "not a URL that can be sent to"),
    (aiohttp.NonHttpUrlClientError, Misdirected, "not a URL that can be sent to"),
    (aiohttp.RedirectClientError, Misdirected, "redirected"),
    (aiohttp.TooManyRedirects, Misdirected, "redirected"),
    (aiohttp.ClientConnectorDNSError, Retry, "the host name cannot be resolved"),
    (aiohttp.ClientConnectorCertificateError, Retry, "TLS: the certificate is not accepted"),
    (ssl.SSLCertVerificationError, Retry, "TLS: the certificate is not accepted"),
    (aiohttp.ServerFingerprintMismatch, Retry, "TLS: the certificate is not accepted"),
    (aiohttp.ClientSSLError, Retry, "TLS: no secure connection"),
    (ssl.SSLError, Retry, "TLS: no secure connection"),
    (aiohttp.ClientProxyConnectionError, Retry, "the proxy cannot be reached"),
    (aiohttp.ClientHttpProxyError, Retry, "the proxy refused"),
    (aiohttp.ConnectionTimeoutError, Retry, "timeout while connecting"),
    (aiohttp.ServerTimeoutError, Retry, "timeout: no answer"),
    (asyncio.TimeoutError, Retry, "timeout: no complete answer"),
    (aiohttp.ServerDisconnectedError, Retry, "connection closed without an answer"),
    (aiohttp.ClientPayloadError, Retry, "the answer broke off"),
    (aiohttp.ClientResponseError, Retry, "the answer is not HTTP"),
    (ConnectionRefusedError, Retry, "connection refused"),
    (ConnectionResetError, Retry, "connection reset"),
    (BrokenPipeError, Retry, "connection reset"),
    (socket.gaierror, Retry, "the host name cannot be resolved"),
    (aiohttp.ClientConnectorError, Retry, "cannot connect"),
    (aiohttp.ClientError, Retry, "network error"),
    (OSError, Retry, "network error"),
)


def outcome_of_error(error: BaseException) -> Outcome | None:
    """The table for what the HTTP client raises; None for what is not in it: a bug, to be seen as one."""
    verdict = next(((kind, text) for each, kind, text in _ERRORS if isinstance(error, each)), None)
    if verdict is None:
        return None
    kind, reason = verdict
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if reason in {"cannot connect", "network error"} and isinstance(cause, OSError):
        narrow = next(text for each, _, text in _ERRORS if isinstance(cause, each))
        if narrow != "network error":
            reason = narrow
        elif cause.strerror:
            reason = printable(cause.strerror.lower())
    return kind(answer=Answer(status=None, reason=reason + _detail(cause)))


def open_client(tls: ssl.SSLContext, *, resolver: AbstractResolver | None = None) -> aiohttp.ClientSession:
    """A client with its own pool of connections. Call in the event loop; close it there.

    The pool has no limit of its own: the connection's gate counts the requests.
    """
    connector = aiohttp.TCPConnector(
        limit=0,
        ssl=tls,
        keepalive_timeout=_KEEP_ALIVE,
        resolver=resolver or aiohttp.ThreadedResolver(),
        socket_factory=_new_socket,
    )
    client = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )
    client._retry_connection = False  # noqa: SLF001 - aiohttp would resend a PUT by itself, whatever was wrong
    return client


async def attempt(
    client: aiohttp.ClientSession, request: Request, *, terms: Terms, generation: int, now: Now
) -> Outcome:
    """Send one request once and say what it came to. Never raises for anything the target or network does."""
    try:
        body = await _body(request)
    except (igzip.BadGzipFile, EOFError, ValueError) as error:
        return Refused(answer=Answer(status=None, reason=f"the body in the spool is damaged: {error}"))
    opened: list[None] = []
    _opened.set(opened)
    try:
        try:
            return await _once(client, request, body, terms=terms, generation=generation, now=now)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if opened or isinstance(error, aiohttp.ClientConnectorError):
                raise
            # The peer closed an idle connection in the moment it was used again (RFC 9112, 9.3.1). The
            # key makes the repeat safe, and a healthy target must not look like a failing one.
            return await _once(client, request, body, terms=terms, generation=generation, now=now)
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

    __slots__ = ("success", "timeout")

    def __init__(self, *, success: frozenset[int], total: float, connect: float) -> None:
        self.success = success
        self.timeout = aiohttp.ClientTimeout(total=total, connect=connect, sock_connect=connect)


async def _once(
    client: aiohttp.ClientSession, request: Request, body: bytes, *, terms: Terms, generation: int, now: Now
) -> Outcome:
    response = await client.request(
        request.method,
        _url(request.url),
        data=body if len(body) <= _AS_BYTES else io.BytesIO(body),
        headers=request.headers,
        allow_redirects=False,
        timeout=terms.timeout,
    )
    status = response.status
    good = status in terms.success
    try:
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
    if whole and (good or len(body) <= _INLINE):
        response.release()
    else:
        response.close()
    headers = response.headers
    answer = Answer(
        status=status, reason=_reason(status, response), headers=_kept(headers, good=good), body=shown(text)
    )
    if good:
        return Delivered(answer=answer)
    waits = headers.getall("Retry-After", ())
    after = retry_after(waits, date=headers.get("Date"), now=now()) if waits else None
    return outcome_of(answer, status=status, success=terms.success, generation=generation, after=after)


async def _read(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
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


async def _body(request: Request) -> bytes:
    if request.gzip:
        return request.body
    if len(request.body) < _INLINE:
        return _gunzip(request.body)
    return await asyncio.to_thread(_gunzip, request.body)


def _gunzip(body: bytes) -> bytes:
    plain: bytes = igzip.decompress(body)  # type: ignore[no-untyped-call]
    return plain


def printable(text: str) -> str:
    """Control characters, line separators and lone surrogates as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shown(body: bytes) -> str:
    """An answer's body for people: UTF-8 where it is, lines kept, everything else that controls escaped."""
    if not body:
        return ""
    lines = body.decode("utf-8", "backslashreplace").replace("\r\n", "\n").split("\n")
    return "\n".join(printable(line) for line in lines)


def _reason(status: int, response: aiohttp.ClientResponse) -> str:
    phrase = _phrase(status) or printable((response.reason or "")[:100])
    text = f"{status} {phrase}".rstrip()
    if 300 <= status < 400 and (to := response.headers.get("Location")):  # noqa: PLR2004
        # Not the query: it may hold what belongs to one request only.
        text += f" to {printable(to.partition('?')[0][:200])} (redirects are never followed)"
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


def _detail(cause: BaseException) -> str:
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        cause = cause.certificate_error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f" ({printable(cause.verify_message)})"
    if isinstance(cause, ssl.SSLError) and (word := getattr(cause, "reason", None)):
        return f" ({printable(str(word).replace('_', ' ').lower())})"
    return ""


@lru_cache(maxsize=1024)
def _url(text: str) -> URL:
    """As it stands: no second percent-encoding, so that it cannot become another URL than dry-run shows."""
    return URL(text, encoded=True)


def _new_socket(address: tuple[int, int, int, str, object]) -> socket.socket:
    family, kind, protocol, _, _ = address
    if (opened := _opened.get(None)) is not None:
        opened.append(None)
    return socket.socket(family, kind, protocol)
