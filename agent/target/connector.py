"""How each connection of a client is made: with which TLS, to which name, through which proxy.

It stands below the client, so that the session's calls to the Auth API go the same way as the requests.

    request ─▶ TLS as it is now, name that counts ─▶ proxy? ─▶ a kept connection of the same, or a new one
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import Any, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import Connection
from yarl import URL

from agent.config.urls import is_loopback
from agent.request import USER_AGENT
from agent.target.answering import Answers
from agent.target.deadlines import Deadlines
from agent.target.proxy import NoCredentialsError, Proxies, ProxyError

Client: TypeAlias = aiohttp.ClientSession
"""What an open connection holds; nobody else needs to know the library."""

_KEEP_ALIVE = 60.0  # seconds; a job that runs every 30 s finds its connection again
_WANTS_CREDENTIALS = 407

sockets: ContextVar[list[None]] = ContextVar("sockets")
"""Of the current attempt: grows with each new socket; empty, the connection was a reused one."""


def open_client(
    tls: ssl.SSLContext,
    *,
    host: str | None = None,
    proxies: Proxies | None = None,
    resolver: AbstractResolver | None = None,
) -> Client:
    """A client with its own pool of connections. Call in the event loop; close it there.

    `host` is the name that certificates must carry, when it is not the URL's. The environment has no say.
    The pool has no limit of its own: the connection's gate counts the requests.
    """
    connector = Connector(
        limit=0,
        ssl=tls,
        keepalive_timeout=_KEEP_ALIVE,
        resolver=_Resolver(resolver or aiohttp.ThreadedResolver()),
        socket_factory=_new_socket,
    )
    connector.tls, connector.host, connector.proxies, connector.asked = tls, host, proxies, {}
    connector.deadlines = Deadlines(asyncio.get_running_loop())
    reader: Callable[..., ResponseHandler] = Answers
    connector._factory = partial(reader, loop=asyncio.get_running_loop())  # noqa: SLF001 - see `answering`
    client = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )
    client._retry_connection = False  # noqa: SLF001 - aiohttp would resend a PUT by itself, whatever was wrong
    return client


def renew_tls(client: Client, tls: ssl.SSLContext) -> None:
    """From now on each new connection is made with this.

    What is under way ends as it began. Idle connections of before are not used again and go after a minute:
    the pool knows connections by how they were made.
    """
    connector = client.connector
    if isinstance(connector, Connector):  # a closed client has none
        connector.tls = tls


class Connector(aiohttp.TCPConnector):
    """Decides below the client: with which TLS, to which name, through which proxy."""

    tls: ssl.SSLContext
    host: str | None = None
    proxies: Proxies | None = None
    asked: dict[URL, ClientRequest]
    deadlines: Deadlines

    def asking(self, origin: URL, client: Client) -> ClientRequest:
        """What asks for a connection to there; all requests to an origin share one."""
        found = self.asked.get(origin)
        if found is None:
            found = self.asked[origin] = ClientRequest("POST", origin, session=client)
        return found

    def kept(self, asking: ClientRequest) -> Connection | None:
        """The next kept connection to there, if it can be used without more ado and without a proxy.

        What `connect` would give, without its three coroutines; where it would have to look twice, None.
        """
        self._secure(asking)
        key = asking.connection_key
        waiting = self._conns.get(key)
        if not waiting:
            return None
        protocol, since = waiting[0]
        if protocol.should_close or not protocol.is_connected() or monotonic() - since > _KEEP_ALIVE:
            return None
        waiting.popleft()
        if not waiting:
            del self._conns[key]
        self._acquired.add(protocol)
        return Connection(self, key, protocol, self._loop)

    def _secure(self, asking: ClientRequest) -> None:
        """With our TLS as it is now, and the name that counts."""
        if asking.is_ssl():
            asking._ssl = self.tls  # noqa: SLF001 - part of the key under which a connection is kept
            asking.server_hostname = self.host

    async def connect(
        self,
        req: ClientRequest,
        traces: list[aiohttp.tracing.Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own name
    ) -> Connection:
        """As the library does, but with our TLS and name, and through our proxy."""
        self._secure(req)
        if self.proxies is None:
            return await super().connect(req, traces, timeout)
        try:
            through = await self.proxies.through(req.url)
        except NoCredentialsError as error:
            raise ProxyError(req.connection_key, f"no credentials for the proxy: {error}") from None
        if through is None:
            return await super().connect(req, traces, timeout)
        if req.is_ssl():
            req.update_proxy(through.url, None, {"User-Agent": USER_AGENT, **through.headers})
        else:  # no tunnel: the request itself is what the proxy reads
            req.update_proxy(through.url, None, None)
            req.headers.update(through.headers)
        with _told_of_the_proxy(req, through.url):
            return await super().connect(req, traces, timeout)

    async def _get(self, key: ConnectionKey, traces: list[aiohttp.tracing.Trace]) -> Connection | None:
        """A kept connection. Not one on which something came since its last answer was read.

        The library would take that for the answer to the next request: a message that was never answered
        would count as delivered.
        """
        while (found := await super()._get(key, traces)) is not None:
            if found.protocol is not None and not found.protocol.should_close:
                return found
            found.close()
        return None


@contextlib.contextmanager
def _told_of_the_proxy(req: ClientRequest, proxy: URL) -> Iterator[None]:
    """What goes wrong on the way to and through a proxy, in words that say so. Never the target's TLS."""
    name = f"the proxy {proxy.raw_host}:{proxy.port}"
    try:
        yield
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError):
        raise
    except aiohttp.ClientHttpProxyError as error:
        did = "wants other credentials" if error.status == _WANTS_CREDENTIALS else "refused"
        raise ProxyError(req.connection_key, f"{name} {did}: {_status(error.status)}") from error
    except aiohttp.ClientConnectorDNSError as error:
        raise ProxyError(req.connection_key, f"the name of {name} cannot be resolved") from error
    except aiohttp.ClientProxyConnectionError as error:
        why = (error.os_error.strerror or "no connection").lower()
        raise ProxyError(req.connection_key, f"{name} cannot be reached: {why}") from error
    except aiohttp.ClientResponseError as error:
        raise ProxyError(req.connection_key, f"{name} does not answer in HTTP") from error
    except (aiohttp.ClientError, ConnectionError) as error:
        raise ProxyError(req.connection_key, f"{name} broke the connection off") from error
    except TimeoutError as error:
        raise ProxyError(req.connection_key, f"no connection through {name} in time") from error


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


class _Resolver(AbstractResolver):
    """A name that means this machine leads to it, whatever a name server says: plain http may go there."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if is_loopback(host):
            found = [one for one in found if is_loopback(one["host"])]
            if not found:
                raise OSError(None, "the name leads to another machine")
        return found

    async def close(self) -> None:
        await self._inner.close()


def _new_socket(address: tuple[Any, ...] | Sequence[Any]) -> socket.socket:
    family, kind, protocol, _, _ = address
    if (opened := sockets.get(None)) is not None:
        opened.append(None)
    return socket.socket(family, kind, protocol)
