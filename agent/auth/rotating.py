"""A session whose token is renewed: one for all jobs of a connection, one renewal at a time.

    sign ────────▶ valid token? ──────────────────────────▶ headers, at once
    rejected(N) ─▶ a newer one than N? ───────────────────▶ just resend
                   else ─▶ the flight (one task for all) ─▶ N+1, or NotSignedIn
    refresh, login, forget (a person asks) ─▶ the flight

The flight is a task of its own: cancelling who waits for it never cancels it. A keeper task starts flights
that nobody waits for: the renewal shortly before the end, and the next try after a failure.
"""

from __future__ import annotations

import asyncio
import math
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from agent.auth.holding import Holding
from agent.auth.memory import MemoryUnreadable, SessionMemory
from agent.auth.parting import part
from agent.auth.pause import Pause
from agent.auth.renewal import Renewal, Trouble
from agent.auth.session import SessionStatus, Signed
from agent.auth.telling import in_vain, is_asked_to_wait, not_signed_in, say_trouble, status_of, told
from agent.auth.token import Token
from agent.clock import Clock
from agent.errors import NotSignedIn
from agent.logs import get_log

NAP: Final = 10.0
"""Seconds, at most, that the keeper sleeps: timers stand still in suspend, disks get free."""
GLANCE: Final = 2.0
"""Seconds that it sleeps while nobody can sign in: a person who has just mended a secret watches."""
CLOSE_GRACE: Final = 6.0
"""Seconds that a flight gets at the end. A longer one is left to the intent in the store."""

Errand: TypeAlias = Literal["renew", "refresh", "login", "forget"]
"""What a flight is for: `renew` is content with a good token in the store, the others were asked for."""
Landed: TypeAlias = "Token | Trouble | str"
"""The next pair, why there is none, or the words of a farewell."""

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
        pause: Pause | None = None,
        close_grace: float = CLOSE_GRACE,
    ) -> None:
        self._renewal = renewal
        self._memory = memory
        self._clock = clock
        self._pause = pause or Pause()
        self._close_grace = close_grace
        self._name = memory.row.connection
        # What is known of the token.
        self._held = Holding(clock, renew_before)
        self._loaded = False
        self._forgotten = False
        """A person gave it up: nobody signs in before a token is needed again."""
        # What goes on.
        self._trouble: Trouble | None = None
        self._next_try = -math.inf
        """CLOCK_BOOTTIME seconds."""
        self._flight: asyncio.Task[Landed] | None = None
        self._errand: Errand = "renew"
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False
        self._change = asyncio.Event()

    async def sign(self) -> Signed:
        """Headers for one request, and the generation to name if they are refused. Raises NotSignedIn."""
        while True:
            token = self._held.usable()
            if token is not None:
                if not self._closed and self._due_in() <= 0:
                    self._start("renew")
                return Signed(
                    generation=token.generation,
                    headers=MappingProxyType({"Authorization": f"{token.type} {token.access}"}),
                )
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
        await self._change.wait()

    def status(self) -> SessionStatus:
        """How it is now; no waiting, no I/O."""
        wait = self._next_try - self._clock.boottime()
        return status_of(
            self._memory.row,
            self._held,
            self._trouble,
            flying=self._flight is not None,
            next_try=self._clock.now() + wait if wait > 0 else None,
        )

    async def close(self) -> None:
        """Let a flight finish (bounded), then stop; a longer one leaves its intent in the store."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        if (flight := self._flight) is not None:
            await asyncio.wait({flight}, timeout=self._close_grace)
            if flight.cancel():
                log.warning(
                    "stopped in the middle of a renewal; it is settled at the next start",
                    connection=self._name,
                )
                await asyncio.wait({flight})
        self._announce()

    # ------------------------------------------------------------------ what a person asks for

    async def refresh(self) -> None:
        """Renew now, even a good token; a flight under way is joined. Raises NotSignedIn."""
        if self._flight is not None and self._errand != "forget":
            joined = await self._land()
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
        while self._flight is not None and self._errand != errand:
            await self._land()
        if self._flight is None:
            wait = self._next_try - self._clock.boottime()
            if self._closed or (errand != "forget" and wait > 0 and is_asked_to_wait(self._trouble)):
                raise self._not_signed_in(max(wait, 0.0))
            self._start(errand)
        landed = await self._land()
        if isinstance(landed, Trouble):
            raise told(self._name, landed)
        return landed

    # ------------------------------------------------------------------ the flight

    async def _wait_for_newer(self) -> None:
        """Join the flight, or start it. Raises NotSignedIn when it brings nothing."""
        if self._flight is None:
            wait = self._next_try - self._clock.boottime()
            if self._closed or wait > 0:
                raise self._not_signed_in(max(wait, 0.0))
            self._start("renew")
        landed = await self._land()
        # A login or a farewell that a person asked for in vain says nothing about the next renewal.
        if isinstance(landed, Trouble) and landed is self._trouble:
            raise self._not_signed_in(max(self._next_try - self._clock.boottime(), 0.0))

    async def _land(self) -> Landed:
        """What the flight under way brings. Raises NotSignedIn when the end of the agent cut it short."""
        flight = self._flight
        assert flight is not None
        await asyncio.wait({flight})  # unlike `await flight`: cancelling us does not cancel it
        if flight.cancelled():
            raise self._not_signed_in(0.0)
        return flight.result()

    def _start(self, errand: Errand) -> None:
        if self._flight is None:
            self._errand, self._forgotten = errand, False
            self._flight = asyncio.create_task(self._fly(errand), name=f"{errand} {self._name}")
            self._announce()
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name=f"keep signed in {self._name}")

    async def _fly(self, errand: Errand) -> Landed:
        result: Landed
        try:
            result = await self._run(errand)
            self._settle(result, errand)
            if isinstance(result, Trouble) and self._trouble is result:
                await self._memory.note(result.text)
        except Exception as error:  # noqa: BLE001 - whoever waits must be told
            log.bug("a renewal broke", error, connection=self._name)
            result = Trouble(text=f"internal error: {type(error).__name__}")
            self._settle(result, errand)
        finally:
            self._flight = None
            self._announce()
        return result

    async def _run(self, errand: Errand) -> Landed:
        held = self._held
        if not self._loaded:
            try:
                held.token = await self._renewal.load()
            except MemoryUnreadable as error:
                return Trouble(text=error.message, hint="the state folder is needed before anybody signs in")
            self._loaded = True
            if errand == "renew" and held.token is not None and held.token.valid(held.moment()):
                return held.token
        if errand == "forget":
            token, held.token = held.token, None
            return await part(self._renewal, self._memory, token)
        held.asked_at = self._clock.boottime()
        if errand == "login":
            result = await self._renewal.login(held.token)
        else:
            result = await self._renewal.run(held.token, held.rejected)
        if isinstance(result, Token) and not result.valid(held.moment()):
            # Its refresh token is what there is now; its access token is never used.
            held.adopt(result)
            held.rejected = result.generation
            return Trouble(text="the Auth API gave a token that is already over")
        return result

    def _settle(self, result: Landed, errand: Errand) -> None:
        """What the flight brought becomes what is."""
        if isinstance(result, Trouble):
            if errand == "forget" or (errand == "login" and not result.forget):
                return  # the pair is what it was; who asked is told
            pause = self._pause.next(at_least=result.at_least, slow=result.slow)
            self._next_try = self._clock.boottime() + pause
            self._held.drop(result.forget)
            before, self._trouble = self._trouble, result
            say_trouble(self._name, before, result, pause)
            return
        if isinstance(result, Token):
            self._held.adopt(result)
            if self._trouble is not None:
                log.info("signed in again", connection=self._name, generation=result.generation)
        else:
            self._forgotten = True
            log.info("the sign-in is given up", connection=self._name, outcome=result)
        self._next_try = -math.inf
        self._pause.over()
        self._trouble = None

    # ------------------------------------------------------------------ the keeper

    async def _keep(self) -> None:
        """Start flights that nobody waits for; look after what could not be stored or was refused."""
        while True:
            if (flight := self._flight) is not None:
                await asyncio.wait({flight})
                continue
            if (wait := self._due_in()) <= 0:
                self._start("renew")
                continue
            await self._clock.sleep(min(wait, NAP if self._trouble is None else GLANCE))
            if self._flight is not None:
                continue
            if self._memory.unsaved:
                await self._memory.save()
            if self._trouble is not None and await self._renewal.is_mended(self._trouble):
                self._next_try = -math.inf

    # ------------------------------------------------------------------ telling

    def _due_in(self) -> float:
        if self._forgotten:
            return math.inf
        return self._held.due_in(self._next_try, self._memory.row.refreshing)

    def _announce(self) -> None:
        """Wake who waits for a change, and let the next ones wait anew."""
        self._change.set()
        self._change = asyncio.Event()

    def _not_signed_in(self, wait: float) -> NotSignedIn:
        return not_signed_in(self._name, self._trouble, wait, closed=self._closed)
