"""What an outcome says about the host that it came from, whatever it says about the message."""

from __future__ import annotations

from enum import Enum

from agent.outcome import Delivered, Outcome, Retry

_AWAY = frozenset({502, 503, 504, 521, 522, 523, 524})
"""Of a gateway whose target is not there; 52x are Cloudflare's."""
_TOO_MUCH = frozenset({503, 504, 524})
_OVERLOADED = frozenset({429, 529})


class Verdict(Enum):
    """In the order from good to bad."""

    ANSWERED = "answered"
    """It works: a success, or a no to this message."""
    UNCLEAR = "unclear"
    """Somebody answers, with a fault of its own (500), or nothing was sent: the reason may be the message."""
    BUSY = "busy"
    """It works and says that it is too much: 429, and 503 that names a time."""
    AWAY = "away"
    """Nobody there: network, TLS, DNS, 502."""
    STRAINED = "strained"
    """As good as away, perhaps since it was too much: 503, 504, no answer in time."""

    @property
    def absent(self) -> bool:
        """Whether the host did not answer."""
        return self in {Verdict.AWAY, Verdict.STRAINED}


def verdict_of(outcome: Outcome) -> Verdict:
    """Of any outcome."""
    if isinstance(outcome, Delivered):
        return Verdict.ANSWERED
    status = outcome.answer.status
    if not isinstance(outcome, Retry) or outcome.ours:
        return Verdict.UNCLEAR if status is None else Verdict.ANSWERED
    if status is None:
        return Verdict.STRAINED if outcome.late else Verdict.AWAY
    if status in _OVERLOADED or (status in _TOO_MUCH and outcome.after):
        return Verdict.BUSY
    if status in _AWAY:
        return Verdict.STRAINED if status in _TOO_MUCH else Verdict.AWAY
    return Verdict.UNCLEAR
