"""How the hosts behind a connection are met, as values of a snapshot (`agent.status`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class OriginStatus:
    """One scheme, host and port that requests of a connection go to."""

    origin: str
    in_flight: int = 0
    waiting: int = 0
    """Requests that wait for their turn, or for the circuit."""
    concurrency: int = 0
    """Requests that may be in flight now; 0: its circuit is open."""
    concurrency_why: str = ""
    """Why that is less than the config allows; "" when it is not."""
    circuit: str = "closed"
    """`closed`; `open`: one request at a time tries; `probing`: it does so now."""
    reason: str = ""
    """Why the circuit is open."""
    away_since_at: float | None = None
    next_probe_at: float | None = None
    openings: int = 0
    """How often its circuit opened since the start."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PacingStatus:
    """What all jobs of a connection share."""

    concurrency: int = 0
    """`limits.concurrency`; 0 without a daemon."""
    rate: float | None = None
    """`limits.rate`, a second; None: no limit."""
    waiting: int = 0
    """Requests that stand at the gate, for whatever reason."""
    pause_reason: str = ""
    """Why the target is left in peace until `paused_until_at`."""
    origins: tuple[OriginStatus, ...] = ()
