"""A session whose token is renewed: one for all jobs of a connection, one renewal at a time.

sign ────────▶ valid token? ──────────────────────────▶ headers, at once
rejected(N) ─▶ a newer one than N? ───────────────────▶ just resend
               else ─▶ the flight (one task for all) ─▶ N+1, or NotSignedIn
refresh, login, forget (a person asks) ─▶ the flight
"""

from __future__ import annotations

from typing import Final

from agent.auth.flights import Errand, Flights
from agent.auth.holding import Holding
from agent.auth.memory import SessionMemory
from agent.auth.pause import Pause
from agent.auth.renewal import Renewal, Trouble
from agent.auth.session import SessionStatus, Signed
from agent.auth.telling import in_vain, is_asked_to_wait, status_of, told
from agent.auth.token import Token
from agent.clock import Clock
from agent.config.model import TokenHeader
from agent.logs import get_log

CLOSE_GRACE: Final = 6.0
"""Seconds that a flight gets at the end. A longer one is left to the intent in the store."""

log = get_log("auth")


class RotatingSession:
    """Implements `agent.auth.session.Session`. Does nothing until it is asked to sign for the first time."""

    def __init__(
        self,
        renewal: Renewal,
        memory: SessionMemory,
        clock: Clock,
        *,
        renew_before: float,
        header: TokenHeader | None = None,
        pause: Pause | None = None,
        close_grace: float = CLOSE_GRACE,
    ) -> None:
        self._memory = memory
        self._clock = clock
        self._header = header or TokenHeader()
        self._close_grace = close_grace
        self._name = memory.row.connection
        self._held = Holding(clock, renew_before)
        self._flights = Flights(renewal, memory, clock, held=self._held, pause=pause or Pause())

    async def sign(self) -> Signed:
        """Headers for one request, and the generation to name if they are refused. Raises NotSignedIn."""
        flights = self._flights
        while True:
            token = self._held.usable()
            if token is not None:
                if not flights.over and flights.due_in() <= 0:
                    flights.start("renew")
                return Signed(generation=token.generation, headers=self._header.of(token.access))
            await self._wait_for_newer()

    async def rejected(self, generation: int) -> None:
        """The target answered 401 to `generation`. Returns when a newer one is there; raises NotSignedIn."""
        held, token = self._held, self._held.token
        generation = min(generation, self._memory.row.generation)
        if token is not None and token.generation > max(generation, held.rejected):
            return
        if token is not None and token.generation == generation > held.rejected:
            if (wait := held.doubt()) > 0:
                raise in_vain(self._name, wait)  # it stays in use: others may well take it
            held.rejected = generation
            log.info("the target refused the token", connection=self._name, generation=generation)
        while held.token is None or held.token.generation <= max(generation, held.rejected):
            await self._wait_for_newer()

    async def changed(self) -> None:
        """Wait until a renewal begins or ends."""
        await self._flights.change.wait()

    def status(self) -> SessionStatus:
        """How it is now; no waiting, no I/O."""
        wait = self._flights.pause_left()
        return status_of(
            self._memory.row,
            self._held,
            self._flights.trouble,
            flying=self._flights.flight is not None,
            next_try=self._clock.now() + wait if wait > 0 else None,
        )

    def retire(self) -> None:
        """Another session of the connection takes over: begin no more flights. A good token stays in use."""
        self._flights.end("its configuration was changed, and another session signs in")

    async def close(self, grace: float | None = None) -> None:
        """Let a flight finish (bounded), then stop; a longer one leaves its intent in the store."""
        self._flights.end("the agent is stopping")
        await self._flights.close(self._close_grace if grace is None else grace)

    # ------------------------------------------------------------------ what a person asks for

    async def refresh(self) -> None:
        """Renew now, even a good token; a flight under way is joined. Raises NotSignedIn."""
        flights = self._flights
        if flights.flight is not None and flights.errand != "forget":
            joined = await flights.land()
            if isinstance(joined, Trouble):
                raise told(self._name, joined)
            if self._held.asked:
                return  # else it has only looked into the store
        await self._go("refresh")

    async def login(self) -> None:
        """Sign in anew, whatever the pair, which stays until there is another. Raises NotSignedIn."""
        await self._go("login")

    async def forget(self) -> str:
        """Erase the pair here, then tell the Auth API where it can be told. Raises NotSignedIn."""
        return str(await self._go("forget"))

    async def _go(self, errand: Errand) -> Token | str:
        """A flight of this kind: the one under way, or a new one when that of another kind has ended."""
        flights = self._flights
        while flights.flight is not None and flights.errand != errand:
            await flights.land()
        if flights.flight is None:
            wait = flights.pause_left()
            if flights.over or (errand != "forget" and wait > 0 and is_asked_to_wait(flights.trouble)):
                raise flights.not_signed_in(max(wait, 0.0))
            flights.start(errand)
        landed = await flights.land()
        if isinstance(landed, Trouble):
            raise told(self._name, landed)
        return landed

    # ------------------------------------------------------------------ the flight

    async def _wait_for_newer(self) -> None:
        """Join the flight, or start it. Raises NotSignedIn when it brings nothing."""
        flights = self._flights
        if flights.flight is None:
            wait = flights.pause_left()
            if flights.over or wait > 0:
                raise flights.not_signed_in(max(wait, 0.0))
            flights.start("renew")
        landed = await flights.land()
        # A login or a farewell that a person asked for in vain says nothing about the next renewal.
        if isinstance(landed, Trouble) and landed is flights.trouble:
            raise flights.not_signed_in(max(flights.pause_left(), 0.0))
