"""What a renewal asks of a way to sign in. One file per kind implements it; `grants` lists them.

A grant reads secrets, writes requests and sends them. It decides nothing and remembers nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from agent.auth.call import Call, client_header, client_pair
from agent.auth.exchange import AuthApi, Exchange
from agent.auth.session import Sealer, Secrets
from agent.config.model import Client, Dialect, LoginLimit, SecretRef, TokenHeader


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What may follow what."""

    renews_by: Literal["refresh", "login", "seed"]
    """refresh: with the refresh token of the pair, and a login when that is dead.
    login: each renewal is a login; a refresh token is not asked for and not kept.
    seed: as refresh; when the pair is dead, only another refresh token out of the secret helps."""
    dead_on: frozenset[int | str] = frozenset()
    """Statuses and error words of a refresh that mean: this refresh token is dead."""
    login_limit: LoginLimit = field(default_factory=LoginLimit)
    place: str = "check `auth.url`"
    """The hint where the wrong place was asked."""
    check: str = "check username and password; new ones are picked up by themselves"
    """The hint where a login was refused."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """Who signs in where: marks to compare, and the requests to send."""

    place: str
    """Mark of the Auth API's URL."""
    person: str
    """Mark of who it is; empty when that cannot be read now."""
    mark: str
    """Mark of all that a login is made of; empty when it cannot be read now."""
    login: Call | None = field(default=None, repr=False)
    """None when a secret cannot be read now, or there is no login."""
    refresh: Call | None = field(default=None, repr=False)
    """Without its refresh token. None when a secret cannot be read now, or there is no refresh."""
    seed: str = field(default="", repr=False)
    """A refresh token out of a secret; empty when it cannot be read now, or there is none."""
    problem: str = ""
    """Why a secret cannot be read."""

    @property
    def ready(self) -> bool:
        """Whether every secret could be read."""
        return not self.problem

    @property
    def identity(self) -> str:
        """What the row remembers."""
        return f"{self.place}.{self.person}"


class Grant(Protocol):
    """One way to get tokens."""

    rules: Rules

    def credentials(self) -> Credentials:
        """Who signs in, as the secrets say right now. Blocking; never raises for a missing secret."""

    async def login(self, who: Credentials, /) -> Exchange:
        """A pair out of nothing but the credentials."""

    async def refresh(self, who: Credentials, refresh_token: str, /) -> Exchange:
        """The next pair."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """The fields of a request as they are filled: what is hidden, and what broke first."""

    secrets: Secrets
    fields: dict[str, str] = field(default_factory=dict, repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    hidden: set[str] = field(default_factory=set, repr=False)

    def text(self, value: SecretRef | str) -> str:
        """A text as it is, a secret's value, which is hidden from now on. Raises SecretError."""
        if isinstance(value, str):
            return value
        found = self.secrets.resolve(value).reveal()
        self.hidden.add(found)
        return found

    def put(self, name: str, value: SecretRef | str) -> str:
        """One field. Raises SecretError."""
        self.fields[name] = text = self.text(value)
        return text

    def identify(self, client: Client | None, dialect: Dialect) -> str:
        """Add who the client is (RFC 6749, section 2.3); gives its id. Raises SecretError."""
        if client is None:
            return ""
        identity = self.text(client.id)
        if client.secret is None:
            self.fields[dialect.fields.client_id] = identity
            return identity
        secret = self.text(client.secret)
        if client.send == "body":
            self.fields[dialect.fields.client_id] = identity
            self.fields[dialect.fields.client_secret] = secret
        else:
            self.headers.update(client_header(identity, secret))
            self.hidden.add(client_pair(identity, secret))
        return identity

    def add(self, extra: Mapping[str, SecretRef | str]) -> None:
        """Add the fields that the config adds. Raises SecretError."""
        for name, value in extra.items():
            self.put(name, value)

    def ask(self, **fields: str) -> None:
        """Add what is asked for, where it is."""
        self.fields.update({name: text for name, text in fields.items() if text})

    def call(self, url: str, dialect: Dialect) -> Call:
        """The request."""
        return Call(
            url=url,
            fields=dict(self.fields),
            headers=dict(self.headers),
            hidden=frozenset(self.hidden),
            send=dialect.send,
            answer=dialect.answer,
            bearer=dialect.header == TokenHeader(),
        )


class Posting:
    """What the grants that ask an Auth API have in common."""

    def __init__(self, api: AuthApi, secrets: Secrets, sealer: Sealer, refresh_token: str) -> None:
        self._api = api
        self._secrets = secrets
        self._sealer = sealer
        self._refresh_token = refresh_token
        """How the field is called."""

    async def login(self, who: Credentials) -> Exchange:
        """Send what a login is made of."""
        assert who.login is not None
        return await self._api.call(who.login)

    async def refresh(self, who: Credentials, refresh_token: str) -> Exchange:
        """Send the refresh token."""
        assert who.refresh is not None
        return await self._api.call(who.refresh.plus(self._refresh_token, refresh_token))

    def _words(self) -> Words:
        return Words(secrets=self._secrets)

    def _marked(self, *calls: Call | None) -> str:
        """One mark of everything that the requests hold."""
        pairs = [
            pair
            for call in calls
            if call is not None
            for part in (call.fields, call.headers)
            for pair in sorted(part.items())
        ]
        return self._sealer.mark(f"login {pairs!r}")
