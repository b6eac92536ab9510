"""One request that changes nothing, to see whether a target can be reached and what it thinks of the token.

HEAD is safe by definition (RFC 9110, section 9.2.1), has no body, and most servers look at the token before
they look at what is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import aiohttp

from agent.message import Answer
from agent.request import USER_AGENT, Request
from agent.target.challenge import told as challenge_words
from agent.target.connector import Client
from agent.target.table import outcome_of_error
from agent.target.wire import url_as_written
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
    """HEAD `url`, signed. Never raises for anything a network or server can do; follows no redirect.

    Some servers send a body to HEAD, which they must not (RFC 9110, section 9.3.2) and which looks like
    nonsense: they are asked once more, by OPTIONS, which is as safe.
    """
    try:
        return await _ask("HEAD", client, url, signature, deadline)
    except aiohttp.ClientResponseError:
        pass
    try:
        told = await _ask("OPTIONS", client, url, signature, deadline)
    except aiohttp.ClientResponseError:
        return Probed(status=0, reason="the answer is not HTTP")
    return replace(told, reason=f"{told.reason} to OPTIONS, since it does not answer HEAD in HTTP")


async def _ask(
    method: str, client: Client, url: str, signature: Mapping[str, str], deadline: float
) -> Probed:
    """Raises ClientResponseError for what is no HTTP; a proxy's refusal is none of these."""
    request = Request(
        method=method,
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
            said = challenge_words(response.headers.getall("WWW-Authenticate", ()))
    except aiohttp.ClientResponseError:
        raise
    except (aiohttp.ClientError, OSError, ValueError) as error:
        outcome = outcome_of_error(error)
        if outcome is None:
            raise
        return Probed(status=0, reason=blotted(outcome.answer, request).reason)
    except RuntimeError:
        if client.closed:
            return Probed(status=0, reason="the connection was closed by a reload: try again")
        raise
    answer = blotted(Answer(status=status, reason=reason, body=said), request)
    return Probed(status=status, reason=answer.reason, challenge=answer.body)
