"""One harmless call through an open connection: its session signs, its gate counts, its TLS is used.

The token stays where it is: whoever asks, also through the control socket, sees the answer only, and the
target is one that the config names.
"""

from __future__ import annotations

import asyncio
from typing import Final

from agent.connections import OpenConnection
from agent.errors import AgentError
from agent.message import JsonValue
from agent.target.probe import Probed, probe

DEADLINE: Final = 15.0
"""Seconds for the call, once it may start."""
_TURN: Final = 15.0
"""Seconds to wait for a turn: a connection may be at its limits, or the target may have asked for silence."""

BASE: Final = "url"
"""What the connection's own `url:` is called among its endpoints."""


async def call_endpoint(opened: OpenConnection, endpoint: str) -> Probed:
    """HEAD one endpoint by its name. Raises NotSignedIn; AgentError for a name that there is not."""
    url = _url(opened, endpoint)
    signed = await opened.sign()
    try:
        async with asyncio.timeout(_TURN):
            await opened.gate.enter()
    except TimeoutError:
        left = opened.gate.paused_for()
        why = f"the target asked for silence for {left:.0f} s more" if left > 0 else "its limits are in use"
        return Probed(status=0, reason=f"not called: {why}")
    try:
        return await probe(opened.client, url, signed.headers, deadline=DEADLINE)
    finally:
        opened.leave()


def _url(opened: OpenConnection, endpoint: str) -> str:
    connection = opened.connection
    url = connection.base if endpoint == BASE else None
    url = connection.endpoints.get(endpoint, url)
    if url is None:
        hint = "if the file was changed just now: push-agent reload"
        raise AgentError(f"connection {connection.name} has no endpoint {endpoint!r}", hint=hint)
    return url


def to_json(probed: Probed) -> dict[str, JsonValue]:
    """For the control socket."""
    return {"status": probed.status, "reason": probed.reason, "challenge": probed.challenge}
