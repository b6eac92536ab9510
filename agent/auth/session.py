"""What a session is to the rest of the agent, and what it asks of the rest: words and protocols only."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from agent.config.model import SecretRef
from agent.session_row import SessionRow

State: TypeAlias = Literal["signed in", "refreshing", "not signed in", "blocked"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Signed:
    """What makes a request ours, and which generation of the token it is."""

    generation: int
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionStatus:
    """How a session is, for people; never holds a token. Times are wall clock seconds."""

    generation: int
    expires_at: float | None
    """None: never, or there is no token."""
    refreshes: int
    logins: int
    failures: int
    """Failed logins in a row."""
    state: State
    last_error: str
    """Empty while all is well."""
    next_try: float | None
    """None: nothing is planned."""
    hint: str = ""
    """What to do about the last error."""
    renewal_at: float | None = None
    """When the token is renewed by itself; None: it is not."""
    stored: bool = False
    """Whether a pair rests in the state, for the next start."""


class Session(Protocol):
    """One per connection, shared by every job of it."""

    async def sign(self) -> Signed:
        """Headers for one request. Waits for a refresh under way; raises NotSignedIn."""

    async def rejected(self, generation: int) -> None:
        """The target answered 401 to `generation`: returns once a newer one is there; raises NotSignedIn."""

    async def changed(self) -> None:
        """Wait until the state changes."""

    def status(self) -> SessionStatus:
        """How it is now."""

    async def refresh(self) -> None:
        """Renew now, even a good token; joins a renewal under way. A fixed secret is read again.

        Raises NotSignedIn, and UsageError where nobody signs in.
        """

    async def login(self) -> None:
        """Sign in anew with the credentials, whatever the pair. Counts against the limit of failed logins.

        Raises NotSignedIn, and UsageError where there is no login.
        """

    async def forget(self) -> str:
        """Erase the pair in memory and state, then tell the Auth API where it can be told; what came of it.

        The next need for a token is the very first start again. Raises NotSignedIn when the state cannot
        be read, and UsageError where nobody signs in.
        """

    def retire(self) -> None:
        """Another session of the same connection takes over: begin no more renewals."""

    async def close(self, grace: float | None = None) -> None:
        """Let a renewal under way finish, `grace` seconds at most, then stop. Twice is fine."""


class Secret(Protocol):
    """A secret's value, which shows itself only when asked by name."""

    def reveal(self) -> str:
        """The value."""


class Secrets(Protocol):
    """Where secrets are looked up; reads anew at every call. Blocking."""

    def resolve(self, ref: SecretRef, /) -> Secret:
        """Raises SecretError."""


class SessionStore(Protocol):
    """The part of the spool that a session needs."""

    def session(self, connection: str, /) -> Awaitable[SessionRow | None]:
        """The row last stored."""

    def store_session(self, row: SessionRow, /) -> Awaitable[None]:
        """Durable once awaited; cancelling the wait does not stop the work."""


class Sealer(Protocol):
    """What a session needs of the vault."""

    def seal(self, text: bytes, context: str) -> bytes:
        """Encrypt; only the same context opens it again."""

    def open(self, sealed: bytes, context: str) -> bytes:
        """Raises VaultError when this was not sealed with this key and context."""

    def reseal(self, sealed: bytes, context: str) -> bytes:
        """The same under the newest key; unchanged when it is so already, or opens with no key."""

    def mark(self, secret: str) -> str:
        """A keyed fingerprint: tells a change, tells nothing else."""


class VaultError(Exception):
    """Sealed bytes cannot be opened: another key, or damaged."""
