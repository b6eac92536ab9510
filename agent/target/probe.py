"""One request that changes nothing, to see whether a target can be reached and what it thinks of the token.

HEAD is safe by definition (RFC 9110, section 9.2.1), has no body, and most servers look at the token before
they look at what is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from agent.message import Answer
from agent.request import USER_AGENT, Request
from agent.target.attempt import url_as_written
from agent.target.challenge import told
from agent.target.connector import Client
from agent.target.table import outcome_of_error
from agent.target.words import blotted, printable


@dataclass(frozen=True, kw_only=True, slots=True)
class Probed:
    """What came of it; status 0: no answer."""

    status: int
    reason: str
    """The server's phrase, or why there is no answer."""
    challenge: str = ""
    """What `WWW-Authenticate` says in words (RFC 6750, section 3), without anything that was sent."""


async def probe(client: Client, url: str, signature: Mapping[str, str], *, deadline: float) -> Probed:
    """HEAD `url`, signed. Never raises for anything a network or server can do; follows no redirect."""
    request = Request(
        method="HEAD",
        url=url,
        headers={"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity", **signature},
        secret_headers=frozenset(signature),
        body=b"",
        gzip=False,
    )
    try:
        async with client.request(
            request.method,
            url_as_written(url),
            headers=request.headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=deadline),
        ) as response:
            status, reason = response.status, printable((response.reason or "")[:100])
            said = told(response.headers.getall("WWW-Authenticate", ()))
    except (aiohttp.ClientError, OSError, ValueError) as error:
        outcome = outcome_of_error(error)
        if outcome is None:
            raise
        return Probed(status=0, reason=blotted(outcome.answer, request).reason)
    answer = blotted(Answer(status=status, reason=reason, body=said), request)
    return Probed(status=status, reason=answer.reason, challenge=answer.body)
