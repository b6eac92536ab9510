"""What delivery counts since the start. Plain numbers; the web turns them into metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

from agent.message import Message
from agent.outcome import Delivered, Misdirected, Outcome, Refused, Retry, Unauthorized
from agent.spool import LaneWait

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds: upper ends of the buckets for the duration of an attempt; one more takes the rest."""

_WORDS = {
    Delivered: "delivered",
    Retry: "retry",
    Refused: "refused",
    Unauthorized: "unauthorized",
    Misdirected: "misdirected",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sums:
    """What a job has delivered."""

    messages: int
    records: int
    bytes: int
    """Before gzip."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Durations:
    """How long a job's attempts took. `counts` has one entry more than `bounds`; not cumulative."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliverySnapshot:
    """Delivery at one moment."""

    attempts: Mapping[tuple[str, str], int]
    """(job, outcome) → attempts, since the start."""
    delivered: Mapping[str, Sums]
    """By job, since the start."""
    seconds: Mapping[str, Durations]
    """By job, since the start."""
    splits: Mapping[str, int]
    """By job, messages that were taken apart, since the start."""
    in_flight: int
    lanes: int
    """Lanes that have something to send."""
    waits: tuple[LaneWait, ...]
    """Those of them that wait for more than their turn."""


class _Job:
    __slots__ = ("attempts", "bytes", "counts", "messages", "records", "seconds", "splits")

    def __init__(self) -> None:
        self.attempts: dict[str, int] = {}
        self.messages = self.records = self.bytes = self.splits = 0
        self.counts = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0


class Tally:
    """Counts. Only the event loop's thread touches it."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._jobs: dict[str, _Job] = {}

    def attempt(self, job: str, outcome: Outcome, seconds: float) -> None:
        """One attempt has ended."""
        one = self._job(job)
        word = _WORDS[type(outcome)]
        one.attempts[word] = one.attempts.get(word, 0) + 1
        one.counts[bisect_left(BOUNDS, seconds)] += 1
        one.seconds += seconds

    def delivered(self, message: Message, *, records: int | None = None, size: int | None = None) -> None:
        """One message was delivered and its receipt is kept; or so much of it."""
        one = self._job(message.job)
        one.messages += 1
        one.records += message.records if records is None else records
        one.bytes += message.size if size is None else size

    def split(self, job: str) -> None:
        """One message is taken apart."""
        self._job(job).splits += 1

    def snapshot(self, *, lanes: int, waits: tuple[LaneWait, ...]) -> DeliverySnapshot:
        """All of it."""
        jobs = self._jobs.items()
        return DeliverySnapshot(
            attempts={(name, word): count for name, one in jobs for word, count in one.attempts.items()},
            delivered={
                name: Sums(messages=one.messages, records=one.records, bytes=one.bytes) for name, one in jobs
            },
            seconds={
                name: Durations(bounds=BOUNDS, counts=tuple(one.counts), sum=one.seconds)
                for name, one in jobs
            },
            splits={name: one.splits for name, one in jobs if one.splits},
            in_flight=self.in_flight,
            lanes=lanes,
            waits=waits,
        )

    def _job(self, name: str) -> _Job:
        one = self._jobs.get(name)
        if one is None:
            one = self._jobs[name] = _Job()
        return one
