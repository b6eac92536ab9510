"""An answer as it is read and kept: at most so many bytes of it, and only what helps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import TypeAlias

import aiohttp

from agent.target.challenge import told
from agent.target.wire import Exchange
from agent.target.words import printable

Heard: TypeAlias = Exchange | aiohttp.ClientResponse

READ_LIMIT = 65_536
"""Bytes of an answer that are read; what comes after costs the connection."""
REPLY_LIMIT = 8_000_000
"""The same of a success that says something of each record (`target.reply`)."""
KEEP_LIMIT = 4_096
"""Bytes of an answer that are kept."""

# Of a delivered message's answer only what helps to find it at the target again; receipts are many.
_KEPT_OF_GOOD = ("X-Request-Id", "X-Correlation-Id", "Location", "ETag")
_TOLD = frozenset({401, 403})  # answers that may say what is wrong with the token (RFC 6750)
_NEVER_KEPT = frozenset({"set-cookie", "www-authenticate", "proxy-authenticate"})


def at_once(response: Heard) -> tuple[bytes, bool] | None:
    """What `read` gives, where all of the answer has come already; None: read it."""
    whole = response.at_once() if isinstance(response, Exchange) else None
    return None if whole is None else (whole[:KEEP_LIMIT], True)


async def read(response: Heard) -> tuple[bytes, bool]:
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


async def read_all(response: Heard) -> tuple[bytes | None, bool]:
    """The whole answer, and True; None and False when it is longer than `REPLY_LIMIT`."""
    pieces: list[bytes] = []
    seen = 0
    while not response.content.at_eof():
        pieces.append(await response.content.read(READ_LIMIT))
        seen += len(pieces[-1])
        if seen > REPLY_LIMIT:
            return None, False
    return b"".join(pieces), True


def reason_of(status: int, response: Heard) -> str:
    """An answer in one line, for people: `200 OK`."""
    text = _line(status) or f"{status} {printable((response.reason or '')[:100])}".rstrip()
    if status == 407:  # noqa: PLR2004 - HTTP
        text += " (of a proxy on the way: it wants other credentials)"
    if 300 <= status < 400 and (to := response.headers.get("Location")):  # noqa: PLR2004
        # Not the query: it may hold what belongs to one request only.
        text += f" to {printable(to.partition('?')[0][:200])} (redirects are never followed)"
    if status in _TOLD and (said := told(response.headers.getall("WWW-Authenticate", ()))):
        text += f": {said}"
    return text


@lru_cache(maxsize=512)
def _line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def kept(headers: Mapping[str, str], *, good: bool) -> dict[str, str]:
    """The headers that are kept of an answer."""
    names: Iterable[str]
    if good:
        names = [name for name in _KEPT_OF_GOOD if name in headers]
    else:
        names = [name for name in list(headers)[:32] if name.lower() not in _NEVER_KEPT]
    return {name: printable(headers[name][:512]) for name in names}
