"""What is kept of a session over restarts: the spool stores it, the session reads it. A plain value."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionRow:
    """The memory of one connection's session; the spool cannot read what is `sealed`."""

    connection: str
    identity: str = ""
    """A fingerprint of who signs in where (auth URL and username): another one drops the tokens."""
    generation: int = 0
    """Of the sealed pair. Never goes down."""
    sealed: bytes | None = field(default=None, repr=False)
    """The pair, encrypted by the vault; None: there is none."""
    refreshing: int | None = None
    """The generation whose refresh token was sent, or was about to be, and whose answer is not stored."""
    failures: int = 0
    """Failed logins in a row."""
    blocked_until: float | None = None
    """Wall clock; no login before it. None: logins are allowed."""
    secret_mark: str = field(default="", repr=False)
    """A keyed fingerprint of the secrets, to see that they changed."""
    logins: int = 0
    """Logins that succeeded, ever."""
    refreshes: int = 0
    """Refreshes that succeeded, ever."""
    last_error: str = ""
    updated_at: float = 0.0
    """Wall clock."""
    expires_at: float | None = None
    """Wall clock; when the sealed access token ends, for people."""
    spent: str = field(default="", repr=False)
    """Keyed fingerprints of refresh tokens out of secrets that must not be sent again, the last ones."""
