"""The gate of a connection: every request of every job passes it.

    pause (Retry-After) · quota (RateLimit) · rate · concurrency      one for the connection
        └─▶ door: circuit · adaptive concurrency · whose turn         one for each origin behind it

When nothing at all is in the way, to enter is two comparisons. Else there is one row of those who wait, one
timer, and `_pump`, the only place that lets somebody in; it is called whenever anything has changed.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Hashable
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent.clock import Clock
from agent.config.model import Limits
from agent.pacing.backoff import Random
from agent.pacing.door import Door, Turn
from agent.pacing.hints import Quota
from agent.pacing.rate import RateLimit

_USED_UP = "its quota is used up (RateLimit)"
_SAME = 1.0
"""Seconds: resets are told in whole ones, so those of one window of a quota may differ so much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Why nobody of a door goes in, but for its turn. Times are monotonic seconds."""

    kind: str
    """`silence` or `circuit`."""
    reason: str
    since: float
    until: float | None
    """None: when the one that tries has its answer."""


class Gate:
    """Belongs to one event loop. Lives on when a reload changes the limits, with all that it counts."""

    def __init__(self, limits: Limits, *, clock: Clock, random: Random) -> None:
        self.in_flight = 0
        self.waiting = 0
        """How many stand at its doors."""
        self.concurrency = limits.concurrency
        self.doors: dict[str, Door] = {}
        """By origin."""
        self.pause_reason = ""
        self._clock = clock
        self._random = random
        self._place = itertools.count().__next__
        self._plain = self.door("")
        self._rate = RateLimit(limits.rate) if limits.rate is not None else None
        self._paused_since = self._paused_until = 0.0
        self._quota_left = 0
        self.quota_until = 0.0
        """Until when a quota of the target is counted; 0.0: none is."""
        self._timer: asyncio.Task[None] | None = None
        self._timer_at = math.inf
        self._calm = self._rate is None
        """Neither rate, pause, quota nor anybody that waits: only numbers are to be compared."""

    def door(self, url: str) -> Door:
        """That of an URL's origin; "" for requests that are no matter of any."""
        try:
            parts = urlsplit(url)
        except ValueError:  # no URL, as the attempt will say
            parts = urlsplit("")
        host = parts.netloc.rpartition("@")[2].lower()
        origin = f"{parts.scheme}://{host}" if host else ""
        door = self.doors.get(origin)
        if door is None:
            door = Door(origin, self.concurrency, place=self._place, random=self._random)
            self.doors[origin] = door
        return door

    # ------------------------------------------------------------------ in and out

    def try_enter(self, door: Door | None = None, who: Hashable = None) -> bool:
        """Pass if that needs no waiting. Whoever comes in must `leave`."""
        door = door or self._plain
        if not (self._calm and door.room):
            if not self._passes(door, who):
                return False
        elif self.in_flight >= self.concurrency or door.in_flight >= door.room:
            return False
        self.in_flight += 1
        door.in_flight += 1
        return True

    def ask(self, door: Door | None = None, job: str = "", who: Hashable = None) -> Turn:
        """Stand in the row. Who does not want to go in any more, or is in and will not use it: `withdraw`."""
        door = door or self._plain
        turn = Turn(door, job, who, asyncio.get_running_loop().create_future())
        door.turns.add(job, turn)
        self.waiting += 1
        self._calm = False
        if self.in_flight < self.concurrency:  # else whoever leaves comes to the pump
            self._pump()
        return turn

    def withdraw(self, turn: Turn) -> None:
        """Out of the row, or out of the gate if it was let in meanwhile."""
        if turn.granted:
            self.leave(turn.door)
            return
        turn.future.cancel()
        if turn.stands:
            turn.door.turns.remove(turn.job, turn)
            self.waiting -= 1
            self._pump()

    async def enter(self, door: Door | None = None, job: str = "", who: Hashable = None) -> None:
        """Wait until one more request may start. Whoever comes in must `leave`; cancelled, it is not in."""
        if self.try_enter(door, who):
            return
        turn = self.ask(door, job, who)
        try:
            await turn.future
        except asyncio.CancelledError:
            self.withdraw(turn)
            raise

    def leave(self, door: Door | None = None) -> None:
        """The answer is there, or there will be none."""
        door = door or self._plain
        self.in_flight -= 1
        door.in_flight -= 1
        if not door.room:
            door.emptied()
        if self.waiting:
            self._pump()

    # ------------------------------------------------------------------ what it is told

    def pause(self, seconds: float, reason: str = "") -> None:
        """Nobody starts for so long, and a little more: several agents may have been told the same."""
        now = self._clock.monotonic()
        until = now + seconds + self._random() * min(1.0, seconds / 10)
        if until > max(self._paused_until, now):  # a shorter pause never ends a longer one
            if self._paused_until <= now:
                self._paused_since = now
            self._paused_until, self.pause_reason, self._calm = until, reason, False

    def grant(self, quota: Quota) -> None:
        """The target said how many requests it still takes, and until when."""
        if quota.remaining > 2 * self.concurrency and not self.quota_until:
            return  # far from the end: the next answers will say more
        now, left = self._clock.monotonic(), quota.remaining
        until = now + quota.seconds
        if now < self.quota_until and until <= self.quota_until + _SAME:
            # Of the same window: answers overtake each other, and it only ever becomes less.
            left, until = min(left, self._quota_left), max(until, self.quota_until)
        self._quota_left, self.quota_until, self._calm = left, until, False
        if not left:
            self.pause(until - now, _USED_UP)

    def spent(self) -> None:
        """A request ended that told nothing of the quota: it may have cost one."""
        if self._quota_left:
            self._quota_left -= 1
            if not self._quota_left:
                self.pause(self.quota_until - self._clock.monotonic(), _USED_UP)

    def set_limits(self, limits: Limits) -> None:
        """Another config. What is in flight, and what was started in the last second, goes on to count."""
        self.concurrency = limits.concurrency
        before, self._rate = self._rate, RateLimit(limits.rate) if limits.rate is not None else None
        if before is not None and self._rate is not None:
            self._rate.follow(before)
        self.doors = {
            origin: door for origin, door in self.doors.items() if door is self._plain or not door.forgettable
        }
        for door in self.doors.values():
            door.allow(limits.concurrency)
        self._calm = False
        self._pump()

    # ------------------------------------------------------------------ what it tells

    def paused_for(self) -> float:
        """Seconds that are left of the pause; 0 or less when there is none."""
        return self._paused_until - self._clock.monotonic() if self._paused_until else 0.0

    def block(self, door: Door) -> Block | None:
        """Why nobody goes in by this door; None: it is a matter of turns, concurrency and rate."""
        if self._paused_until > (now := self._clock.monotonic()):
            reason = f"the target asked for a pause: {self.pause_reason or 'Retry-After'}"
            return Block(kind="silence", reason=reason, since=self._paused_since, until=self._paused_until)
        circuit = door.circuit
        if not circuit.open:
            return None
        reason = f"{circuit.reason}; one request at a time tries whether {door.origin} is back"
        until = None if circuit.prober is not None else max(circuit.probe_at, now)
        return Block(kind="circuit", reason=reason, since=circuit.since, until=until)

    # ------------------------------------------------------------------ who goes in, and when

    def _passes(self, door: Door, who: Hashable) -> bool:
        """The slow half of `try_enter`."""
        if self.in_flight >= self.concurrency:
            return False
        now = self._clock.monotonic()
        if self.waiting:
            self._pump()  # whose time has come goes first, also where the timer is late
            if door.turns.count:
                return False
        else:
            self._rest(now)
        if self._shut_for(now) > 0 or self.in_flight >= self._most() or not door.lets_in(now):
            return False
        if self._rate is not None:
            if self._rate.wait(now) > 0:
                return False
            self._rate.start(now)
        if door.circuit.open:
            door.circuit.prober = who
        return True

    def _pump(self) -> None:
        """Let in whoever may go, and set the timer for the next one."""
        now = self._clock.monotonic()
        while self.waiting:
            if (shut := self._shut_for(now)) > 0:
                return self._wake_in(shut, now)
            if self.in_flight >= self._most():  # whoever leaves comes here
                return self._wake_in(self.quota_until - now, now) if self.quota_until else None
            door, later = self._next_door(now)
            if door is None:
                return self._wake_in(later, now) if later < math.inf else None
            if self._rate is not None and (wait := self._rate.wait(now)) > 0:
                return self._wake_in(wait, now)
            turn = door.turns.take()
            turn.stands = False
            self.waiting -= 1
            if turn.future.cancelled():  # it will come to withdraw
                continue
            if self._rate is not None:
                self._rate.start(now)
            self.in_flight += 1
            door.enter(turn.who)
            turn.future.set_result(None)
        self._rest(now)
        return None

    def _next_door(self, now: float) -> tuple[Door | None, float]:
        """Whose job has waited for the most turns; else the seconds until a look is worth while."""
        best, later = None, math.inf
        for door in self.doors.values():
            if not door.turns.count:
                continue
            if door.lets_in(now):
                if best is None or door.turns.first < best.turns.first:
                    best = door
            elif (wait := door.opens_in(now)) is not None:
                later = min(later, wait)
        return best, later

    def _shut_for(self, now: float) -> float:
        """Seconds that nobody at all goes in; 0 or less: it is open. What has run out is forgotten."""
        if self.quota_until and self.quota_until <= now:
            self.quota_until = 0.0
        left = self._paused_until - now if self._paused_until else 0.0
        if left <= 0:
            self._paused_until = 0.0
        return left

    def _most(self) -> int:
        """What may be in flight: of a quota no more than is left, as if nothing of it was counted yet."""
        if not self.quota_until:
            return self.concurrency
        return min(self.concurrency, self._quota_left)

    def _rest(self, now: float) -> None:
        """Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, math.inf
        self._shut_for(now)
        self._calm = self._rate is None and not self._paused_until and not self.quota_until

    def _wake_in(self, seconds: float, now: float) -> None:
        if self._timer is not None:
            if self._timer_at <= now + seconds:
                return
            self._timer.cancel()
        self._timer_at = now + seconds
        self._timer = asyncio.create_task(self._wake(seconds), name="gate timer")

    async def _wake(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._timer, self._timer_at = None, math.inf
        self._pump()
