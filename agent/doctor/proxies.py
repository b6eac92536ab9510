"""Which proxy stands on the way to an origin: asked of what deliveries ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from yarl import URL

from agent.clock import Clock
from agent.config import SecretStore
from agent.config.model import Connection
from agent.doctor.tunnel import Via
from agent.errors import AgentError, SecretError
from agent.target import Proxies, proxies_of
from agent.target.proxy import NoCredentialsError


def via_of(
    connection: Connection, config: Path, clock: Clock
) -> Callable[[str], Awaitable[Via | None]] | None:
    """From an origin to its proxy; None: the connection has none at all."""
    if connection.proxy is None:
        return None
    made: list[Proxies | None] = []

    async def via(origin: str) -> Via | None:
        """Raises AgentError for a proxy that cannot be used."""
        if not made:
            made.append(proxies_of(connection, secrets=SecretStore(config), clock=clock))
        try:
            found = await made[0].through(URL(origin)) if made[0] is not None else None
        except NoCredentialsError as error:
            raise SecretError(f"no credentials for it: {error}", hint="see `secrets` above") from None
        if found is None:
            return None
        host, port = found.url.host, found.url.port
        if host is None or port is None:
            raise AgentError("its URL has no host", hint="correct the connection's `proxy:`")
        return Via(host=host, port=port, headers=found.headers)

    return via
