"""Connections: who we are at a platform, its endpoints, its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.config.model.auth import Auth, NoAuth
from agent.config.model.place import Where


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
    where: Where = field(compare=False)
