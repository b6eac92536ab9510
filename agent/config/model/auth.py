"""`auth:` of a connection: how to sign in there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from agent.config.model.place import SecretRef


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
    logout_path: str = ""
    """Where a pair is given up; "" when the Auth API has no such thing."""
    login_again_on: frozenset[int] = frozenset({401})
    """Answers of *refresh* that allow a new login; nothing else ever does."""
    renew_before: timedelta = timedelta(seconds=60)
    login_limit: LoginLimit = LoginLimit()


Auth: TypeAlias = "NoAuth | BasicAuth | BearerAuth | HeaderAuth | PasswordAuth"
