"""Smaller values that a snapshot is made of; see `agent.status`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from agent.errors import Problem
from agent.limit import Limit


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillStatus:
    """Windows of the past that somebody asked for; the last one of a job, or one that is not done."""

    id: int
    since_at: float
    until_at: float
    step: str
    """"": the schedule's own."""
    state: str
    """`running`, `stopped`, `failed`, `done`."""
    reason: str
    done_at: float
    """All before it is done."""
    windows: int
    records: int
    messages: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitStatus:
    """How much of a job, or of all, may wait in the spool, and how much does."""

    max_bytes: int | None
    max_messages: int | None
    used_ratio: float
    """1.0 and above: it is full, and collecting waits."""
    said: str
    """`850,000 of 1,000,000 messages`: the part that is taken most."""

    @classmethod
    def of(cls, limit: Limit, messages: int, size: int) -> Self:
        """With so much in it."""
        return cls(
            max_bytes=limit.max_bytes,
            max_messages=limit.max_messages,
            used_ratio=round(limit.share(messages, size), 4),
            said=limit.told(messages, size),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PauseStatus:
    """What a person has paused (`push-agent pause`)."""

    part: str
    """`collecting` or `delivering`."""
    connection: str
    """Over which nothing goes; "": the job itself is paused."""
    reason: str
    since_at: float
    until_at: float | None
    """None: until it is resumed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedFile:
    """A file of the config that is not used as it stands."""

    file: str
    kept: bool
    """Whether its last good version runs instead."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigStatus:
    """What of the config is in use."""

    folder: str = ""
    loaded_at: float | None = None
    jobs: int = 0
    connections: int = 0
    rejected: tuple[RejectedFile, ...] = ()
