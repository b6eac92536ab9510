"""A token is an immutable value: what the Auth API gave, checked, with the moments that count."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

from agent.auth.pointer import pick
from agent.config.model import AnswerNames

DEFAULT_LIFETIME = 3600.0
"""Seconds, when the answer does not say: neither for ever nor already over; a 401 heals a wrong guess."""
MAX_LIFETIME = 24 * 3600.0
"""Seconds; whatever an answer claims, no token is believed longer."""
MAX_TOKEN = 16_384
"""Characters. Servers refuse headers far shorter than this."""
MAX_JITTER = 60.0
"""Seconds that the wall clock may lie behind the moment of sending before a stored token is distrusted."""


class BadToken(Exception):
    """An answer holds no usable token. The text never holds its value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """One moment on the two clocks that count the life of a token."""

    wall: float
    boot: float
    """CLOCK_BOOTTIME: goes on in suspend, starts anew with the machine."""

    def until(self, later: Moment) -> float:
        """Seconds from here to `later`: by the clock that says more."""
        return max(later.wall - self.wall, later.boot - self.boot)


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """What one answer of the Auth API gave."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    """Empty: the answer held none, so the old one stays."""
    lifetime: float
    note: str = ""
    """What was odd about the answer, for the log."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A pair in use. Compare generations, never values."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    generation: int
    obtained: Moment
    """When the request for it was *sent*."""
    lifetime: float
    """Seconds from `obtained`."""

    @property
    def expires_at(self) -> float:
        """Wall clock seconds."""
        return self.obtained.wall + self.lifetime

    def remaining(self, now: Moment) -> float:
        """Seconds left; 0 or less when either clock says it is over, or both say it is not yet begun.

        Both can lie before `obtained` only when the machine was started anew with a wrong clock: then
        nothing is known about its age.
        """
        age = self.obtained.until(now)
        return 0.0 if age < -MAX_JITTER else self.lifetime - max(age, 0.0)

    def valid(self, now: Moment) -> bool:
        """Whether neither clock says that it is over."""
        return self.remaining(now) > 0

    def renew_in(self, now: Moment, renew_before: float) -> float:
        """Seconds until it should be renewed early; a short life keeps three quarters of itself."""
        return self.remaining(now) - min(renew_before, self.lifetime / 4)

    def pack(self) -> bytes:
        """For the vault."""
        return json.dumps(
            {
                "access": self.access,
                "refresh": self.refresh,
                "wall": self.obtained.wall,
                "boot": self.obtained.boot,
                "lifetime": self.lifetime,
            }
        ).encode()


def unpack(packed: bytes, generation: int) -> Token:
    """The reverse of `Token.pack`. Raises BadToken."""
    try:
        data = json.loads(packed)
        return Token(
            access=str(data["access"]),
            refresh=str(data["refresh"]),
            generation=generation,
            obtained=Moment(wall=float(data["wall"]), boot=float(data["boot"])),
            lifetime=float(data["lifetime"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BadToken("what was stored is not a token") from error


def grant_of(answer: object, names: AnswerNames | None = None, *, bearer: bool = True) -> Grant:
    """From the JSON of a good answer (RFC 6749, section 5.1). Raises BadToken."""
    names = names or AnswerNames()
    kind = pick(answer, names.token_type)
    if bearer and kind is not None and (not isinstance(kind, str) or kind.lower() != "bearer"):
        raise BadToken(f"`{names.token_type}` of the answer is not `bearer`")
    refresh = pick(answer, names.refresh_token)
    lifetime, note = _lifetime(pick(answer, names.expires_in), names.expires_in)
    return Grant(
        access=checked(names.access_token, pick(answer, names.access_token)),
        refresh="" if refresh is None or refresh == "" else checked(names.refresh_token, refresh),
        lifetime=lifetime,
        note=note,
    )


def checked(name: str, value: object) -> str:
    """A value that is safe in a header (RFC 9110, section 5.5). Raises BadToken, without the value."""
    if not isinstance(value, str) or not value:
        raise BadToken(f"the answer has no `{name}`")
    if len(value) > MAX_TOKEN:
        raise BadToken(f"`{name}` has {len(value)} characters, more than {MAX_TOKEN}")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise BadToken(f"`{name}` holds characters that no token may have")
    return value


def _lifetime(value: object, name: str) -> tuple[float, str]:
    """`expires_in` as seconds from 0 to MAX_LIFETIME; never an error, since the pair is already ours."""
    if value is None:
        return DEFAULT_LIFETIME, f"the answer has no `{name}`"
    seconds = math.nan
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            seconds = float(value)
        except (ValueError, OverflowError):
            seconds = math.nan
    if math.isnan(seconds):
        return DEFAULT_LIFETIME, f"`{name}` of the answer is no number"
    if seconds <= 0:
        return 0.0, f"`{name}` of the answer is not above 0"
    if seconds > MAX_LIFETIME:
        return MAX_LIFETIME, f"`{name}` of the answer is above one day"
    return seconds, ""
