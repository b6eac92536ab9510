"""Connections: who we are at a platform, its endpoints, its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agent.config.model.auth import Auth, NoAuth
from agent.config.model.place import SecretRef, Where


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """For all jobs of a connection together."""

    rate: float | None = None
    """Requests a second; None for no limit."""
    concurrency: int = 8
    """Requests in flight."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tls:
    """How the target's certificate is checked and which one is shown to it."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    verify: bool = True
    minimum: Literal["1.2", "1.3"] = "1.2"
    """The oldest version of TLS that is spoken."""
    host: str | None = None
    """The name that the target's certificate must carry, and that it is asked for; None: the URL's host."""
    where: Mapping[str, Where] = field(default_factory=dict, compare=False)
    """Of `ca`, `certificate` and `key`: for what is found out about the files later."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proxy:
    """What stands between us and the target."""

    url: str | None = None
    """None: what HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the environment say."""
    username: SecretRef | str | None = None
    password: SecretRef | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """A platform: who we are there, its endpoints, its limits."""

    name: str
    auth: Auth = field(default_factory=NoAuth)
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """Name → URL."""
    base: str | None = None
    """`url:` of the connection: what `target.path` is joined to; without a slash at its end."""
    limits: Limits = Limits()
    accepts_gzip: bool = False
    tls: Tls = Tls()
    proxy: Proxy | None = None
    """None: none, whatever the environment says."""
    where: Where = field(compare=False)
