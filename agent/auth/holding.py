"""The token in hand: whether it may be used, and when the next one is due."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final, Literal

from agent.auth.pause import Doubt
from agent.auth.token import Moment, Token
from agent.clock import Clock

INTERVAL: Final = 30.0
"""Seconds between two renewals that no 401 asked for, whatever `expires_in` says."""


class Holding:
    """What a session knows of its token. Times are CLOCK_BOOTTIME seconds."""

    def __init__(self, clock: Clock, renew_before: float) -> None:
        self.token: Token | None = None
        self.rejected = 0
        """Generations up to this one are dead."""
        self.asked_at = -math.inf
        """When a renewal last began to ask the Auth API."""
        self._clock = clock
        self._renew_before = renew_before
        self._granted_at = -math.inf
        self._doubt = Doubt()

    @property
    def asked(self) -> bool:
        """Whether this run of the agent has asked the Auth API at all."""
        return self.asked_at > -math.inf

    def moment(self) -> Moment:
        """Now, on both clocks."""
        return Moment(wall=self._clock.now(), boot=self._clock.boottime())

    def usable(self) -> Token | None:
        """The token, if it may go into a request."""
        token = self.token
        if token is None or token.generation <= self.rejected:
            return None
        if token.valid(self.moment()):
            return token
        # Over by our clock, but renewed just now: an `expires_in` of seconds, or a clock that was set. The
        # target may judge: its 401 is the only thing that makes us ask more often than every INTERVAL.
        return token if self._clock.boottime() - self._granted_at < INTERVAL else None

    def due_in(self, next_try: float, refreshing: int | None) -> float:
        """Seconds until the next renewal that nobody has to ask for; 0 or less: now.

        `refreshing` is the generation whose refresh was begun and never came to an end.
        """
        now, token, due = self._clock.boottime(), self.token, next_try
        if token is not None and token.generation > self.rejected:
            left = token.renew_in(self.moment(), self._renew_before)
            valid = token.valid(self.moment())
            due = max(due, now + left, (self.asked_at if valid else self._granted_at) + INTERVAL)
        if token is not None and refreshing == token.generation and not self.asked:
            due = next_try  # the last run died in a refresh: settle that first
        return due - now

    def renewal_at(self) -> float | None:
        """Wall clock seconds at which it is renewed by itself; None: there is nothing to renew."""
        if self.token is None or self.token.generation <= self.rejected:
            return None
        return self._clock.now() + max(self.token.renew_in(self.moment(), self._renew_before), 0.0)

    def doubt(self) -> float:
        """Seconds for which the token is not replaced, because new ones are refused too; 0: replace it."""
        return self._doubt.wait(now=self._clock.boottime(), granted_at=self._granted_at)

    def adopt(self, token: Token) -> None:
        """This is the token now."""
        if self.token is not token:
            self.token = token
            self._granted_at = token.obtained.boot

    def drop(self, what: Literal["", "refresh", "all"]) -> None:
        """Never use this half of the pair, or all of it, again."""
        if what == "all":
            self.token = None
        elif what == "refresh" and self.token is not None:
            self.token = replace(self.token, refresh="")
