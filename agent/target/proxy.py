"""Whether a request goes through a proxy, through which one, and as whom.

The environment counts only where the connection says `proxy: env`, and then by urllib's rules. What goes
to this machine never goes through a proxy of the environment: to the proxy, "this machine" is another one.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

import aiohttp
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from agent.auth.fixed import REREAD, basic_headers
from agent.auth.session import Secrets
from agent.auth.token import BadToken
from agent.clock import Clock
from agent.config.model import BasicAuth, Connection, Proxy
from agent.config.urls import is_loopback
from agent.errors import ConfigError, Problem, SecretError
from agent.logs import blotter

Headers: TypeAlias = "Mapping[str, str]"


class ProxyError(aiohttp.ClientProxyConnectionError):
    """No connection came about, and the proxy is the reason: nothing of the request was sent."""

    def __init__(self, key: ConnectionKey, text: str) -> None:
        super().__init__(key, OSError(None, text))
        self.text = text

    def __str__(self) -> str:
        return self.text


class NoCredentialsError(Exception):
    """Who we are to the proxy cannot be read. The text is for people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Through:
    """The proxy for one request."""

    url: URL
    """Without a user name."""
    headers: Headers = field(repr=False)
    """`Proxy-Authorization`, or nothing."""


class Proxies:
    """The proxies of one connection."""

    def __init__(
        self, proxy: Proxy, *, secrets: Secrets | None, clock: Clock, where: str, env: Mapping[str, str]
    ) -> None:
        """`env`: proxies by scheme, as `environment()` gives them. Raises ConfigError for one of no use."""
        self._clock = clock
        self._secrets = secrets
        self._account = _account(proxy)
        self._bypass = dict(env)
        self._fixed = Through(url=URL(proxy.url, encoded=True), headers={}) if proxy.url is not None else None
        self._by_scheme = {
            scheme: _of_environment(env[scheme], where) for scheme in _SCHEMES if scheme in env
        }
        self._headers: Headers = {}
        self._looked_at = -REREAD

    async def through(self, url: URL) -> Through | None:
        """The proxy that a request to this URL takes; None: none. Raises NoCredentialsError."""
        if self._fixed is None:
            return self._by_environment(url)
        if self._account is None:
            return self._fixed
        if self._clock.boottime() - self._looked_at >= REREAD:
            await self._look(self._account)
        return Through(url=self._fixed.url, headers=self._headers)

    def _by_environment(self, url: URL) -> Through | None:
        from urllib.request import proxy_bypass  # noqa: PLC0415 - 30 ms, seldom needed

        proxy, host = self._by_scheme.get(url.scheme), url.raw_host or ""
        if proxy is None or is_loopback(host):
            return None
        return None if proxy_bypass(f"{host}:{url.port}", self._bypass) else proxy

    async def _look(self, account: BasicAuth) -> None:
        assert self._secrets is not None
        try:
            headers = await asyncio.to_thread(basic_headers, account, self._secrets)
        except (SecretError, BadToken) as error:
            # A file is briefly gone while it is replaced; what was read before goes on.
            if not self._headers:
                raise NoCredentialsError(str(error)) from None
            return
        self._looked_at = self._clock.boottime()
        self._headers = _proxy_header(headers["Authorization"])


def proxies_of(connection: Connection, *, secrets: Secrets | None, clock: Clock) -> Proxies | None:
    """As the connection says; None: nothing goes by a proxy. Raises ConfigError for one of no use.

    `secrets` are needed where the proxy wants credentials.
    """
    proxy = connection.proxy
    if proxy is None:
        return None
    env = environment() if proxy.url is None else {}
    return Proxies(proxy, secrets=secrets, clock=clock, where=connection.where.file, env=env)


_SCHEMES = ("http", "https")


def environment() -> dict[str, str]:
    """What HTTP_PROXY, HTTPS_PROXY and NO_PROXY say, in small letters or capitals, as urllib reads them."""
    from urllib.request import getproxies_environment  # noqa: PLC0415 - 30 ms, seldom needed

    return getproxies_environment()


def _account(proxy: Proxy) -> BasicAuth | None:
    if proxy.username is None or proxy.password is None:
        return None
    return BasicAuth(username=proxy.username, password=proxy.password)


def _of_environment(text: str, where: str) -> Through:
    """A proxy as people write it there: with or without a scheme, with or without a user name."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        parts, host, port = urlsplit(""), None, 0
    if parts.scheme != "http" or not host:
        # Not the value: it may hold a password.
        message = "a proxy of the environment (HTTP_PROXY, HTTPS_PROXY) is no http:// proxy"
        hint = "push-agent speaks plain HTTP to a proxy, and no SOCKS"
        raise ConfigError((Problem(file=where, path="proxy", message=message, hint=hint),))
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    blotter.learn(password)
    value = f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"
    headers = _proxy_header(value) if user or password else {}
    return Through(url=URL.build(scheme="http", host=host, port=port), headers=headers)


def _proxy_header(value: str) -> Headers:
    blotter.learn(value.partition(" ")[2])  # what a proxy refuses it may repeat in its answer
    return {"Proxy-Authorization": value}
