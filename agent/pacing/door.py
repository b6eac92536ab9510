"""The way to one origin (scheme, host, port) of a connection: who waits, how many may pass, who tries.

A connection may lead to several hosts; what one of them does is no reason to slow down the way to another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum

from agent.pacing.adaptive import Window
from agent.pacing.backoff import Random
from agent.pacing.circuit import Circuit
from agent.pacing.fair import Turns
from agent.pacing.verdict import Verdict


class Turn:
    """One that waits. `future` is done when it may go in; then it is in, and must leave."""

    __slots__ = ("door", "future", "job", "stands", "who")

    def __init__(self, door: Door, job: str, who: Hashable, future: asyncio.Future[None]) -> None:
        self.door = door
        self.job = job
        self.who = who
        self.future = future
        self.stands = True
        """In the row."""

    @property
    def granted(self) -> bool:
        """Whether it is in."""
        return self.future.done() and not self.future.cancelled()


class Change(Enum):
    """What a verdict changed, for the log."""

    OPENED = "opened"
    CLOSED = "closed"
    CUT = "cut"


@dataclass(frozen=True, kw_only=True, slots=True)
class DoorState:
    """A door at one moment. Times are monotonic seconds."""

    origin: str
    in_flight: int
    waiting: int
    concurrency: int
    """Requests that may be in flight now; 0: the circuit is open."""
    ceiling: int
    why: str
    """Why it is less than the ceiling."""
    open: bool
    probing: bool
    since: float
    probe_at: float
    reason: str
    openings: int


class Door:
    """Belongs to one gate, which counts and lets in; here is what it asks."""

    __slots__ = ("_moved", "circuit", "in_flight", "origin", "room", "turns", "window")

    def __init__(self, origin: str, ceiling: int, *, place: Callable[[], int], random: Random) -> None:
        self.origin = origin
        self.in_flight = 0
        self.window = Window(ceiling)
        self.circuit = Circuit(random)
        self.turns: Turns[Turn] = Turns(place)
        self.room = ceiling
        """What may be in flight without a further look; 0 while the circuit is open."""
        self._moved: asyncio.Event | None = None

    # ------------------------------------------------------------------ may one go in?

    def lets_in(self, now: float) -> bool:
        """Whether one more may go in, as far as this door is concerned."""
        if self.circuit.open:
            return self.circuit.may_probe(now)
        return self.in_flight < self.room

    def opens_in(self, now: float) -> float | None:
        """Seconds until a look is worth while; None: when somebody leaves."""
        if self.circuit.open and self.circuit.prober is None:
            return max(0.0, self.circuit.probe_at - now)
        return None

    def enter(self, who: Hashable) -> None:
        """One goes in."""
        self.in_flight += 1
        if self.circuit.open:
            self.circuit.prober = who

    def emptied(self) -> None:
        """One is out again while the circuit is open: it may have left without having sent anything."""
        if not self.in_flight:
            self.circuit.prober = None

    # ------------------------------------------------------------------ what a request came to

    def good(self, seconds: float, now: float) -> bool:
        """A success, after so long: `judge` for the common case. True when this closes the circuit."""
        window = self.window
        if self.circuit.failures:
            return (
                self.judge(Verdict.ANSWERED, who=None, began=now - seconds, now=now, why="") is Change.CLOSED
            )
        if window.size < window.ceiling:
            window.answered(seconds, self.in_flight, now)
            self.room = window.size
        elif seconds < window.quickest:
            window.quickest = seconds
        return False

    def judge(self, verdict: Verdict, *, who: Hashable, began: float, now: float, why: str) -> Change | None:
        """Times are monotonic seconds; `why` is the answer in a few words."""
        circuit, change = self.circuit, None
        match verdict:
            case Verdict.ANSWERED | Verdict.BUSY:
                change = self._found(now) if circuit.answered() else None
            case Verdict.UNCLEAR:
                if circuit.open and who == circuit.prober and circuit.answered():
                    change = self._found(now)
            case Verdict.AWAY | Verdict.STRAINED:
                if circuit.failed(who, why, now):
                    change = Change.OPENED
        if verdict is Verdict.ANSWERED:
            self.window.answered(now - began, self.in_flight, now)
        elif verdict in {Verdict.BUSY, Verdict.STRAINED} and self.window.cut(began, now, why):
            change = change or Change.CUT
        self.room = 0 if circuit.open else self.window.size
        if change in {Change.OPENED, Change.CLOSED}:
            self._move()
        return change

    def _found(self, now: float) -> Change:
        self.window.restart(now, "it was away and is met gently")
        return Change.CLOSED

    def allow(self, ceiling: int) -> None:
        """The config says another concurrency."""
        self.window.allow(ceiling)
        self.room = 0 if self.circuit.open else self.window.size

    # ------------------------------------------------------------------ who wants to know

    async def moved(self) -> None:
        """Until the circuit opens or closes."""
        if self._moved is None:
            self._moved = asyncio.Event()
        await self._moved.wait()

    def _move(self) -> None:
        if self._moved is not None:
            self._moved.set()
            self._moved = None

    @property
    def forgettable(self) -> bool:
        """Nobody is there, and nothing is known that a new one would not know."""
        full = self.window.size == self.window.ceiling
        return full and not (self.in_flight or self.turns.count or self.circuit.failures)

    def state(self) -> DoorState:
        """How it is now."""
        circuit, window = self.circuit, self.window
        return DoorState(
            origin=self.origin,
            in_flight=self.in_flight,
            waiting=self.turns.count,
            concurrency=self.room,
            ceiling=window.ceiling,
            why=window.why,
            open=circuit.open,
            probing=circuit.prober is not None,
            since=circuit.since,
            probe_at=circuit.probe_at,
            reason=circuit.reason,
            openings=circuit.openings,
        )
