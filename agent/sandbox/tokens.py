"""Access and refresh tokens: issued, rotated, expired, and told apart.

    login ──► pair 1 ──refresh──► pair 2 ──refresh──► pair 3
                └─ its refresh token is used up: showing it again is *reuse*, refused and counted

An access token stays good until its own end, also after a refresh, as JWTs do.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from dataclasses import dataclass, field

from agent.clock import Clock
from agent.sandbox.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """What a login or a refresh gives."""

    serial: int
    """From 1, in the order of issue; names the pair where the tokens must not be shown."""
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    """Empty: there is none."""
    expires_in: int


@dataclass(slots=True)
class _Grant:
    serial: int
    ends: float  # by the monotonic clock
    family: int
    """The serial of the pair that its login gave."""
    used: bool = False


class Issuer:
    """Knows every token it gave out. Used from one event loop only."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._access: dict[str, _Grant] = {}
        self._refresh: dict[str, _Grant] = {}
        self._serial = 0
        self.reset_counts()

    def reset_counts(self) -> None:
        """Start counting anew; tokens stay as they are."""
        self.logins = 0
        self.failed_logins = 0
        self.refreshes = 0
        self.failed_refreshes = 0
        self.refresh_reuse = 0

    def login(self, username: str, password: str) -> Pair | None:
        """A new pair; None (and counted) when the credentials are wrong."""
        right = hmac.compare_digest(
            f"{username}\0{password}".encode(),
            f"{self._settings.username}\0{self._settings.password}".encode(),
        )
        if not right:
            self.failed_logins += 1
            return None
        self.logins += 1
        return self._issue()

    def admit(self) -> Pair:
        """An access token alone, for who needs no user."""
        self.logins += 1
        return self._issue(refresh=False)

    def refresh(self, token: str, *, revoke_family: bool = False) -> Pair | None:
        """A new pair, and the old refresh token is dead; None (and counted) when it was dead already.

        With `revoke_family`, a used one also ends all that came of the same login.
        """
        grant = self._refresh.get(token)
        if grant is None or grant.used or grant.ends <= self._clock.monotonic():
            self.failed_refreshes += 1
            if grant is not None and grant.used:
                self.refresh_reuse += 1
                if revoke_family:
                    self._end(grant.family)
            return None
        grant.used = True
        self.refreshes += 1
        return self._issue(grant.family)

    def serial_of(self, access: str) -> int | None:
        """The serial of a good access token; None when it is unknown or its time is over."""
        grant = self._access.get(access)
        if grant is None or grant.ends <= self._clock.monotonic():
            return None
        return grant.serial

    def expire(self) -> None:
        """All access tokens end now, whatever `expires_in` promised."""
        self._access.clear()

    def revoke(self) -> None:
        """All tokens end now: the next refresh fails too and only a login helps."""
        self._access.clear()
        for grant in self._refresh.values():
            grant.ends = 0.0

    def _end(self, family: int) -> None:
        for grant in (*self._access.values(), *self._refresh.values()):
            if grant.family == family:
                grant.ends = 0.0

    def _issue(self, family: int | None = None, *, refresh: bool = True) -> Pair:
        self._serial += 1
        family = self._serial if family is None else family
        now = self._clock.monotonic()
        pair = Pair(
            serial=self._serial,
            access=self._jwt("at+jwt", self._settings.token_life),
            refresh=self._jwt("rt+jwt", self._settings.refresh_life) if refresh else "",
            expires_in=int(self._settings.token_life),
        )
        self._access[pair.access] = _Grant(self._serial, now + self._settings.token_life, family)
        if refresh:
            self._refresh[pair.refresh] = _Grant(self._serial, now + self._settings.refresh_life, family)
        return pair

    def _jwt(self, kind: str, life: float) -> str:
        """As long as a real one and of its shape, but signed by nobody."""
        now = self._clock.now()
        claims = {
            "iss": "push-agent sandbox",
            "sub": self._settings.username,
            "jti": secrets.token_urlsafe(24),
            "iat": int(now),
            "exp": int(now + life),
        }
        parts = (json.dumps({"alg": "RS256", "typ": kind}).encode(), json.dumps(claims).encode())
        return ".".join([_base64url(part) for part in (*parts, secrets.token_bytes(256))])


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
