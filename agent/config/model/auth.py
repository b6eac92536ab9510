"""`auth:` of a connection: how to sign in there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Literal, TypeAlias

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
class FieldNames:
    """How the fields of a token request are called there."""

    username: str = "username"
    password: str = "password"  # noqa: S105 - a name, not a password
    refresh_token: str = "refresh_token"  # noqa: S105
    client_id: str = "client_id"
    client_secret: str = "client_secret"  # noqa: S105


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerNames:
    """Where the answer holds what: a name, or a JSON pointer (RFC 6901), which starts with a slash."""

    access_token: str = "access_token"  # noqa: S105
    refresh_token: str = "refresh_token"  # noqa: S105
    expires_in: str = "expires_in"
    token_type: str = "token_type"  # noqa: S105


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenHeader:
    """How a token is sent to the target."""

    name: str = "Authorization"
    prefix: str = "Bearer"
    """Before the token, with a space between; empty for none."""

    def of(self, token: str) -> Mapping[str, str]:
        """The header of a request."""
        return MappingProxyType({self.name: f"{self.prefix} {token}" if self.prefix else token})


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """How an Auth API is spoken to; without a word it is what RFC 6749 says."""

    send: Literal["form", "json"] = "form"
    fields: FieldNames = FieldNames()
    extra: Mapping[str, SecretRef | str] = field(default_factory=dict)
    """More fields of each token request."""
    answer: AnswerNames = AnswerNames()
    header: TokenHeader = TokenHeader()


@dataclass(frozen=True, kw_only=True, slots=True)
class Client:
    """Who the agent is for a token endpoint (RFC 6749, section 2.3)."""

    id: SecretRef | str
    secret: SecretRef | None = None
    """None: a public client, or one that is known by its certificate (RFC 8705)."""
    send: Literal["basic", "body"] = "basic"


@dataclass(frozen=True, kw_only=True, slots=True)
class PasswordAuth:
    """The platform's own dialect: form login and a rotating refresh token."""

    url: str
    """Without a slash at its end."""
    username: SecretRef | str
    password: SecretRef
    login_path: str = "/auth/password"
    refresh_path: str = "/auth/refresh"
    login_again_on: frozenset[int | str] = frozenset({401})
    """Statuses and error words of *refresh* that allow a new login; nothing else ever does."""
    renew_before: timedelta = timedelta(seconds=60)
    login_limit: LoginLimit = LoginLimit()
    dialect: Dialect = Dialect()


DEAD = frozenset[int | str]({"invalid_grant"})
"""What a token endpoint says of a refresh token that is over (RFC 6749, section 5.2)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OAuthPasswordAuth:
    """RFC 6749, section 4.3: user name and password once, then refresh tokens."""

    url: str
    """The token endpoint, whole."""
    username: SecretRef | str
    password: SecretRef
    client: Client | None = None
    scope: str = ""
    audience: str = ""
    login_again_on: frozenset[int | str] = DEAD
    renew_before: timedelta = timedelta(seconds=60)
    login_limit: LoginLimit = LoginLimit()
    dialect: Dialect = Dialect()


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientCredentialsAuth:
    """RFC 6749, section 4.4: each token is asked for with the client's own credentials."""

    url: str
    client: Client
    scope: str = ""
    audience: str = ""
    renew_before: timedelta = timedelta(seconds=60)
    login_limit: LoginLimit = LoginLimit()
    dialect: Dialect = Dialect()


@dataclass(frozen=True, kw_only=True, slots=True)
class RefreshTokenAuth:
    """RFC 6749, section 6: starts from a refresh token that somebody else obtained."""

    url: str
    refresh_token: SecretRef
    client: Client | None = None
    scope: str = ""
    login_again_on: frozenset[int | str] = DEAD
    """Statuses and error words that mean: this refresh token is dead."""
    renew_before: timedelta = timedelta(seconds=60)
    dialect: Dialect = Dialect()


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenCommandAuth:
    """A program that prints a token as JSON."""

    command: tuple[str, ...]
    timeout: timedelta = timedelta(seconds=10)
    environment: tuple[str, ...] = ("HOME", "PATH")
    """Names of the variables that it gets, and no others."""
    renew_before: timedelta = timedelta(seconds=60)
    login_limit: LoginLimit = LoginLimit()
    answer: AnswerNames = AnswerNames()
    header: TokenHeader = TokenHeader()
    where: Where | None = field(default=None, compare=False)
    """Of the program, for what is found out about it later."""


RenewedAuth: TypeAlias = (
    "PasswordAuth | OAuthPasswordAuth | ClientCredentialsAuth | RefreshTokenAuth | TokenCommandAuth"
)
Auth: TypeAlias = "NoAuth | BasicAuth | BearerAuth | HeaderAuth | RenewedAuth"


def header_of(auth: RenewedAuth) -> TokenHeader:
    """How its tokens are sent to the target."""
    return auth.header if isinstance(auth, TokenCommandAuth) else auth.dialect.header
