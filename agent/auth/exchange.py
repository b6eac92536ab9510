"""One POST to an Auth API, and the only place that judges its answer.

An exchange ends in exactly one of

    Granted     a new pair
    Denied      it was heard and said no: nothing changes by asking again soon
    Failed      it was not heard, or not able: ask again later, with what we have
    Lost        it may have been heard, and its answer did not arrive whole: the pair may have been rotated
"""

from __future__ import annotations

import asyncio
import email.utils
import html
import json
import math
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar
from urllib.parse import quote, quote_plus, urlencode

import aiohttp

from agent.auth.token import BadToken, Grant, grant_of
from agent.clock import Clock
from agent.logs import BLOT
from agent.tls import refused_us

DEADLINE = 25.0
"""Seconds for a whole exchange. Below the 30 s in which a lost answer may be replayed, so that it can be."""
CONNECT = 5.0
"""Seconds to connect: a firewall that drops looks like a hang."""
MAX_ANSWER = 1_048_576
"""Bytes. A pair of tokens has a few thousand."""
MAX_WORDS = 200
"""Characters of the server's own words that are shown."""
MAX_RETRY_AFTER = 3600.0
"""Seconds."""

_BUSY = frozenset({408, 425, 429})
_JWT = re.compile(r"eyJ[\w.~+/=-]{8,}")
# A pair in an answer that is no good one: what stands behind `…_token`, in JSON or in a form.
_TOKEN = re.compile(r"""(?i)(\b\w*_token\b[\\"']*\s*[:=]\s*[\\"']*)[^\s"'\\&,}]+""")
_LEAST_ENCODED = 6
"""Characters: shorter values would be found in ordinary words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Granted:
    """A new pair."""

    grant: Grant = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Denied:
    """The Auth API said no. `credentials` is False where they were not even looked at (a redirect)."""

    status: int
    text: str
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
_Judge: TypeAlias = "Callable[[int, bytes | None, Mapping[str, str]], T]"
"""Status, body and form of a 2xx answer → what it means."""


class AuthApi:
    """Sends forms to one Auth API. Follows no redirect, reads no environment, believes no size."""

    def __init__(self, client: aiohttp.ClientSession, clock: Clock, *, deadline: float = DEADLINE) -> None:
        self._client = client
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=deadline, connect=CONNECT, sock_connect=CONNECT)

    async def post(self, url: str, form: Mapping[str, str]) -> Exchange:
        """Send the form (application/x-www-form-urlencoded). Never raises for anything a network can do."""
        return await self._heard(url, form, _judge_good)

    async def tell(self, url: str, form: Mapping[str, str]) -> Denied | Failed | Lost | None:
        """Send the form where no pair is the answer, such as a logout; None: it was taken. Never raises."""
        return await self._heard(url, form, lambda *_: None)

    async def _heard(self, url: str, form: Mapping[str, str], judge: _Judge[T]) -> T | Denied | Failed | Lost:
        try:
            return await self._post(url, form, judge)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            # Nothing was sent: no connection, no name, or a certificate that did not convince.
            return Failed(text=blot(_reason(error), form))
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            return Failed(text=f"the URL of the Auth API cannot be used ({type(error).__name__})")
        except TimeoutError:
            return Lost(text=f"no answer within {self._timeout.total:g} s")
        except (aiohttp.ClientError, OSError) as error:
            if refused_us(error):
                return Failed(text=blot(_reason(error), form))
            return Lost(text=blot(_reason(error), form))

    async def _post(self, url: str, form: Mapping[str, str], judge: _Judge[T]) -> T | Denied | Failed | Lost:
        async with self._client.post(
            url,
            data=urlencode(form).encode(),
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                # A kept connection may be closed by the server just as we write, which looks like a lost
                # answer; a call an hour is worth a connection of its own.
                "Connection": "close",
            },
            allow_redirects=False,
            timeout=self._timeout,
        ) as response:
            status, retry_after = response.status, response.headers.get("Retry-After")
            coded = response.headers.get("Content-Encoding", "identity").lower() != "identity"
            body = None if coded else await _read(response)
        if 200 <= status < 300:  # noqa: PLR2004 - HTTP
            return judge(status, body, form)
        text = f"{status} {_line(response.reason or '', form)}".strip() + _words(body or b"", form)
        if 300 <= status < 400:  # noqa: PLR2004 - HTTP
            hint = "the Auth API answered with a redirect, which is never followed"
            return Denied(status=status, text=f"{text}: {hint}", credentials=False)
        if status in _BUSY or not 400 <= status < 500:  # noqa: PLR2004 - HTTP
            return Failed(text=text, retry_after=retry_after_of(retry_after, self._clock.now()))
        return Denied(status=status, text=text)


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """The body, or None when it is larger than any answer can be."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_ANSWER:
            response.close()
            return None
    return bytes(body)


def _judge_good(status: int, body: bytes | None, form: Mapping[str, str]) -> Exchange:
    """A 2xx answer. Its body is never shown, since it may hold tokens: only the fields that explain."""
    if body is None:
        return Failed(text=f"{status} with an answer that is compressed or above {MAX_ANSWER} bytes")
    try:
        answer = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        if body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            # It began like the answer, so the pair may have been rotated.
            return Lost(text=f"{status} with damaged JSON of {len(body)} bytes")
        return Failed(text=f"{status} with something that is not JSON, {len(body)} bytes")
    if not isinstance(answer, dict):
        return Failed(text=f"{status} with JSON that is not an object")
    return _judge_answer(status, answer, form)


def _judge_answer(status: int, answer: Mapping[str, object], form: Mapping[str, str]) -> Exchange:
    if answer.get("error"):
        return Denied(status=status, text=f"{status}{_explained(answer, form)}")
    try:
        return Granted(grant=grant_of(answer))
    except BadToken as error:
        return Denied(status=status, text=f"{status}, but {error}")


def _words(body: bytes, form: Mapping[str, str]) -> str:
    """What the server says in an error answer, without anything secret, as `: …` or nothing."""
    try:
        answer = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict) and (explained := _explained(answer, form)):
        return explained
    return _shown(body.decode("utf-8", "replace"), form)


def _explained(answer: Mapping[str, object], form: Mapping[str, str]) -> str:
    """`error` and `error_description` (RFC 6749, section 5.2)."""
    named = (answer.get("error"), answer.get("error_description"))
    return _shown(" - ".join(str(words) for words in named if words), form)


def _shown(text: str, form: Mapping[str, str]) -> str:
    short = _line(text, form)
    return f": {short}" if short else ""


def _line(text: str, form: Mapping[str, str]) -> str:
    # Blotted before it is cut: half a secret at the end would not be found any more.
    printable = "".join(c if c.isprintable() else " " for c in blot(text, form))
    return " ".join(printable[: MAX_WORDS * 4].split())[:MAX_WORDS]


def blot(text: str, form: Mapping[str, str]) -> str:
    """The text without any value of the form, however encoded, and without what looks like a token."""
    for value in sorted(filter(None, form.values()), key=len, reverse=True):
        for way in _ways(value):
            text = text.replace(way, BLOT)
    return _JWT.sub(BLOT, _TOKEN.sub(rf"\1{BLOT}", text))


def _ways(value: str) -> set[str]:
    """How a server may write what it was sent."""
    ways = {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1]}
    ways |= {html.escape(value), html.escape(value, quote=False), value.replace("/", "\\/")}
    if len(value) >= _LEAST_ENCODED:
        ways |= {b64encode(value.encode()).decode().rstrip("="), value.encode().hex()}
    return ways


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


def retry_after_of(value: str | None, now: float) -> float | None:
    """`Retry-After` (RFC 9110, section 10.2.3) as seconds from 0 to an hour; None when absent or junk."""
    if value is None:
        return None
    text = value.strip()
    try:
        seconds = float(text) if text.isascii() and text.isdigit() else _seconds_to(text, now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _seconds_to(date: str, now: float) -> float:
    return email.utils.parsedate_to_datetime(date).timestamp() - now
