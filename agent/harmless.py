"""One harmless call through an open connection: its session signs, its gate counts, its TLS is used.

The token stays where it is: whoever asks, also through the control socket, sees the answer only, and the
target is one that the config names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from agent.auth import SessionStatus
from agent.connections import OpenConnection
from agent.errors import AgentError
from agent.message import JsonValue
from agent.target.probe import Probed, probe

JsonObject: TypeAlias = "dict[str, JsonValue]"

DEADLINE: Final = 15.0
"""Seconds for the call, once it may start."""
TURN: Final = 15.0
"""Seconds to wait for a turn: a connection may be at its limits, or the target may have asked for silence."""

BASE: Final = "url"
"""What the connection's own `url:` is called among its endpoints."""


async def call_endpoint(opened: OpenConnection, endpoint: str, *, turn: float = TURN) -> Probed:
    """HEAD one endpoint by its name. Raises NotSignedIn; AgentError for a name that there is not."""
    url = _url(opened, endpoint)
    signed = await opened.sign()
    if (left := opened.gate.paused_for()) > turn:
        return Probed(status=0, reason=f"not called: the target asked for silence for {left:.0f} s more")
    try:
        async with asyncio.timeout(turn):
            await opened.enter()
    except TimeoutError:
        return Probed(status=0, reason="not called: the connection's limits are in use by deliveries")
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


class Consultation:
    """What the daemon answers to `push-agent auth check`: the control socket's `auth-check`.

    {"connection": NAME, "action": "status"}                      how its session is
    {"connection": NAME, "action": "sign" | "refresh"}            the same, with a token, or a new one
    {"connection": NAME, "action": "call", "endpoint": NAME}      the answer of one harmless call
    """

    def __init__(self, connections: Callable[[], Mapping[str, OpenConnection]]) -> None:
        self._connections = connections

    async def answer(self, arguments: JsonObject) -> JsonObject:
        """Raises AgentError for what there is not, NotSignedIn."""
        name, action = arguments.get("connection"), arguments.get("action")
        opened = self._connections().get(name) if isinstance(name, str) else None
        if opened is None:
            hint = "if its file was changed just now: push-agent reload; else push-agent status tells why"
            raise AgentError(f"the daemon has no connection {name!r}", hint=hint)
        match action:
            case "call":
                probed = await call_endpoint(opened, str(arguments.get("endpoint")))
                return {"status": probed.status, "reason": probed.reason, "challenge": probed.challenge}
            case "sign":
                await opened.sign()
            case "refresh":
                await opened.session.refresh()
            case "status":
                pass
            case _:
                raise AgentError(f"auth-check knows no action {action!r}")
        return _as_json(opened.session.status())


def _as_json(status: SessionStatus) -> JsonObject:
    return {
        "generation": status.generation,
        "expires_at": status.expires_at,
        "logins": status.logins,
        "refreshes": status.refreshes,
        "failures": status.failures,
        "next_try": status.next_try,
    }
