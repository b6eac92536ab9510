"""How a sandbox behaves; every default is what the platform is known to do."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

HOUR = 3600.0
DAY = 24 * HOUR


def _throw_away_password() -> str:
    return secrets.token_urlsafe(18)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What can be told to a sandbox before it starts."""

    username: str = "demo"
    password: str = field(default_factory=_throw_away_password, repr=False)
    client_id: str = "demo-client"
    """The only client of `/oauth/token`; its secret is the password."""
    token_life: float = HOUR
    """Seconds an access token lives; also what `expires_in` says, rounded down."""
    refresh_life: float = DAY
    """Seconds a refresh token lives."""
    dead_refresh_answer: int = 401
    """The answer to a used, expired or unknown refresh token; a plain Keycloak would say 400."""
    gzip: bool = True
    """Whether `Content-Encoding: gzip` is taken; 415 when not."""
    dedupe: bool = False
    """Whether a repeated `Idempotency-Key` is answered without being processed again."""
    lazy: bool = False
    """Whether `/ingest` answers without unpacking first: for benchmarks; damage is not noticed then."""
    max_body: int = 256_000_000
    """Bytes of one body, as sent and unpacked; 413 above."""
    keep_bytes: int = 64_000_000
    """Bytes of bodies kept in memory, as sent; the oldest go first, to a temporary file."""
    spill_bytes: int = 4_000_000_000
    """Bytes of bodies kept in that file; beyond, only their counts and hashes stay."""
    keep_requests: int = 200_000
    """Requests remembered one by one; the counters go on beyond."""
    record: Path | None = None
    """A folder where every request is appended to `requests.jsonl` before it is answered."""
    seed: int = 0
    """Of the dice behind a fault's `rate`."""
