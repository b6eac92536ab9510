"""What became of one message: the spool finds it, the daemon tells it, `push-agent find` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from agent.message import Answer, JsonValue

Fate: TypeAlias = Literal["waiting", "held", "dead", "delivered", "superseded"]


MOST_TOLD = 200
"""Traces in one answer of the daemon: some MB at most. Who wants more reads the state."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneWait:
    """Why a lane does not send now."""

    job: str
    lane: int
    kind: str
    """One word: `retry`, `misdirected`, `not signed in`, `paused`, …"""
    reason: str
    since: float
    until: float | None
    """When it will try again; None when only a change helps."""
    attempts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """One message, and where it is now. Times are seconds since 1970."""

    fate: Fate
    """`held`: its file, page or window is not read to its end yet, and nothing of it is sent before."""
    job: str
    lane: int
    key: str
    run: int
    records: int
    size: int
    origin: str
    spooled_at: float
    attempts: int
    settled_at: float | None = None
    """When it was delivered, superseded, or became a dead letter; None: it waits."""
    method: str = ""
    url: str = ""
    answer: Answer | None = None
    letter: int | None = None
    """The number of the dead letter."""
    reason: str = ""
    """Of the dead letter: `refused`, `expired`, …"""
    ahead: int = 0
    """Messages in front of it in its lane."""
    earlier: bool = False
    """Messages of the job's order of before are still in front of all of its lane."""
    wait: LaneWait | None = None
    """Why its lane waits; None: for its turn."""


def to_json(trace: Trace) -> dict[str, JsonValue]:
    """All of it, for the way from the daemon to the command line."""
    return asdict(trace)


def from_json(value: Mapping[str, Any]) -> Trace:
    """The same trace. Raises TypeError and ValueError for what no daemon of this version says."""
    fields = dict(value)
    answer, wait = fields.pop("answer", None), fields.pop("wait", None)
    return Trace(
        **fields,
        answer=None if answer is None else Answer(**answer),
        wait=None if wait is None else LaneWait(**wait),
    )
