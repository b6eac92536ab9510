"""One POST to an Auth API, and the only place that judges its answer.

An exchange ends in exactly one of

    Granted     a new pair
    Denied      it was heard and said no: nothing changes by asking again soon
    Failed      it was not heard, or not able: ask again later, with what we have
    Lost        it may have been heard, and its answer did not arrive whole: the pair may have been rotated
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import aiohttp

from agent.auth.call import Call
from agent.auth.said import MAX_WORDS, blot, error_word, explained, line, words_of
from agent.auth.token import BadToken, Grant, grant_of
from agent.clock import Clock
from agent.pacing import retry_after
from agent.tls import refused_us

DEADLINE = 25.0
"""Seconds for a whole exchange. Below the 30 s in which a lost answer may be replayed, so that it can be."""
CONNECT = 5.0
"""Seconds to connect: a firewall that drops looks like a hang."""
MAX_ANSWER = 1_048_576
"""Bytes. A pair of tokens has a few thousand."""

_BUSY = frozenset({408, 425, 429})


@dataclass(frozen=True, kw_only=True, slots=True)
class Granted:
    """A new pair."""

    grant: Grant = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Denied:
    """The Auth API said no. `credentials` is False where they were not even looked at (a redirect)."""

    status: int
    text: str
    error: str = ""
    """The error word of the answer (RFC 6749, section 5.2), where it has one."""
    credentials: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """Not heard or not able."""

    text: str
    retry_after: float | None = None
    """Seconds, when the server asked for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """Perhaps heard."""

    text: str


Exchange: TypeAlias = "Granted | Denied | Failed | Lost"

T = TypeVar("T")
_Judge: TypeAlias = "Callable[[int, bytes | None], T]"
"""Status and body of a 2xx answer → what it means."""


class AuthApi:
    """Sends forms to one Auth API. Follows no redirect, reads no environment, believes no size."""

    def __init__(self, client: aiohttp.ClientSession, clock: Clock, *, deadline: float = DEADLINE) -> None:
        self._client = client
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=deadline, connect=CONNECT, sock_connect=CONNECT)

    async def post(self, url: str, form: Mapping[str, str]) -> Exchange:
        """Send a form whose values are all secret."""
        return await self.call(_all_secret(url, form))

    async def call(self, call: Call) -> Exchange:
        """Send the request. Never raises for anything a network can do."""
        return await self._heard(call, lambda status, body: judge_good(f"{status}", status, body, call))

    async def tell(self, call: Call) -> Denied | Failed | Lost | None:
        """As `call`, where no pair is the answer, such as a logout; None: it was taken."""
        return await self._heard(call, lambda *_: None)

    async def _heard(self, call: Call, judge: _Judge[T]) -> T | Denied | Failed | Lost:
        try:
            return await self._call(call, judge)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            # Nothing was sent: no connection, no name, or a certificate that did not convince.
            return Failed(text=blot(_reason(error), call.hidden))
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            return Failed(text=f"the URL of the Auth API cannot be used ({type(error).__name__})")
        except TimeoutError:
            return Lost(text=f"no answer within {self._timeout.total:g} s")
        except (aiohttp.ClientError, OSError) as error:
            text = blot(_reason(error), call.hidden)
            return Failed(text=text) if refused_us(error) else Lost(text=text)

    async def _call(self, call: Call, judge: _Judge[T]) -> T | Denied | Failed | Lost:
        async with self._client.post(
            call.url,
            data=call.body,
            headers={
                **call.headers,
                "Content-Type": call.content_type,
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                # A kept connection may be closed by the server just as we write, which looks like a lost
                # answer; a call an hour is worth a connection of its own.
                "Connection": "close",
            },
            allow_redirects=False,
            timeout=self._timeout,
        ) as response:
            status, headers = response.status, response.headers
            coded = response.headers.get("Content-Encoding", "identity").lower() != "identity"
            body = None if coded else await _read(response)
        if 200 <= status < 300:  # noqa: PLR2004 - HTTP
            return judge(status, body)
        error, words = words_of(body or b"", call.hidden)
        text = f"{status} {line(response.reason or '', call.hidden)}".strip() + words
        if 300 <= status < 400:  # noqa: PLR2004 - HTTP
            hint = "the Auth API answered with a redirect, which is never followed"
            return Denied(status=status, text=f"{text}: {hint}", credentials=False)
        if status in _BUSY or not 400 <= status < 500:  # noqa: PLR2004 - HTTP
            waits, date = headers.getall("Retry-After", []), headers.get("Date")
            return Failed(text=text, retry_after=retry_after(waits, date=date, now=self._clock.now()))
        return Denied(status=status, text=text, error=error)


def _all_secret(url: str, form: Mapping[str, str]) -> Call:
    return Call(url=url, fields=form, hidden=frozenset(form.values()))


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """The body, or None when it is larger than any answer can be."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_ANSWER:
            response.close()
            return None
    return bytes(body)


def judge_good(  # noqa: PLR0911 - one for each way to be no answer
    said: str, status: int, body: bytes | None, call: Call
) -> Exchange:
    """A 2xx answer. Its body is never shown, since it may hold tokens: only the fields that explain."""
    if body is None:
        return Failed(text=f"{said} with an answer that is compressed or above {MAX_ANSWER} bytes")
    try:
        answer = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        if body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            # It began like the answer, so the pair may have been rotated.
            return Lost(text=f"{said} with damaged JSON of {len(body)} bytes")
        return Failed(text=f"{said} with something that is not JSON, {len(body)} bytes")
    pointed = isinstance(answer, list) and call.answer.access_token.startswith("/")
    if not isinstance(answer, dict) and not pointed:
        return Failed(text=f"{said} with JSON that is not an object")
    if isinstance(answer, dict) and answer.get("error"):
        text = f"{said}{explained(answer, call.hidden)}"
        return Denied(status=status, text=text, error=error_word(answer))
    try:
        return Granted(grant=grant_of(answer, call.answer, bearer=call.bearer))
    except BadToken as error:
        return Denied(status=status, text=f"{said}, but {error}")


def _reason(error: Exception) -> str:
    """In words for people; the first line of what the library says."""
    if refused := refused_us(error):
        return f"TLS: the Auth API does not accept our certificate ({refused})"
    if isinstance(error, aiohttp.ClientConnectorError):
        return _no_connection(error)
    if isinstance(error, aiohttp.ServerDisconnectedError | asyncio.IncompleteReadError):
        return "the connection was closed before the answer"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the connection was closed in the middle of the answer"
    if isinstance(error, aiohttp.ClientResponseError):
        return "the answer is not HTTP"
    return (str(error).splitlines() or [""])[0][:MAX_WORDS] or type(error).__name__


def _no_connection(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"TLS: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return str(error)  # `agent.target.proxy` has put it into words
    return f"cannot connect to {error.host}:{error.port}: {error.os_error.strerror or 'connection reset'}"
