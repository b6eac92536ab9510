"""Connections: who we are at a platform, its endpoints, its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

from agent.config.model.place import SecretRef, Where


@dataclass(frozen=True, kw_only=True, slots=True)
class NoAuth:
    """`auth: {type: none}`, and the default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BasicAuth:
    """RFC 7617."""

    username: SecretRef | str
    password: SecretRef


@dataclass(frozen=True, kw_only=True, slots=True)
class BearerAuth:
    """RFC 6750 with a token that never changes by itself."""

    token: SecretRef


@dataclass(frozen=True, kw_only=True, slots=True)
class HeaderAuth:
    """Any header, such as `X-Api-Key`."""

    name: str
    value: SecretRef


@dataclass(frozen=True, kw_only=True, slots=True)
class LoginLimit:
    """At most so many failed logins, then a pause; counted on disk, over restarts."""

    failures: int = 3
    pause: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, kw_only=True, slots=True)
class PasswordAuth:
    """The platform's own dialect: form login and a rotating refresh token."""

    url: str
    """Without a slash at its end."""
    username: SecretRef | str
    password: SecretRef
    login_path: str = "/auth/password"
    refresh_path: str = "/auth/refresh"
    login_again_on: frozenset[int] = frozenset({401})
    """Answers of *refresh* that allow a new login; nothing else ever does."""
    renew_before: timedelta = timedelta(seconds=60)
    login_limit: LoginLimit = LoginLimit()


Auth: TypeAlias = "NoAuth | BasicAuth | BearerAuth | HeaderAuth | PasswordAuth"


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
    auth: Auth = NoAuth()
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """Name → URL."""
    base: str | None = None
    """`url:` of the connection: what `target.path` is joined to; without a slash at its end."""
    limits: Limits = Limits()
    accepts_gzip: bool = False
    tls: Tls = Tls()
    where: Where = field(compare=False)
