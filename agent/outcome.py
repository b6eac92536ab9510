"""What one attempt came to. The attempt classifies; the lane decides with a `match`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from agent.message import Answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """The answer is in `success`."""

    answer: Answer
    said: bytes | None = field(default=None, repr=False)
    """All of the answer's body, where the job asks for it and it is not too long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """Not this time: 408, 425, 429, 5xx, network, TLS, DNS, timeout."""

    answer: Answer
    after: float | None = None
    """Seconds that the target asked for (Retry-After), for the whole connection; None: our backoff."""
    late: bool = False
    """There was no answer in time."""
    ours: bool = False
    """It never left: says nothing of the target."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """The target will never take these bytes: 400, 409, 413, 415, 422, other 4xx."""

    answer: Answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Unauthorized:
    """401: the token of this generation is dead. Never counts as an attempt."""

    answer: Answer
    generation: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Misdirected:
    """The request went to the wrong place or has no permission: 403, 404, 405, every 3xx."""

    answer: Answer


Outcome: TypeAlias = "Delivered | Retry | Refused | Unauthorized | Misdirected"
