"""A session whose token is renewed: one for all jobs of a connection, one renewal at a time.

    sign ────────▶ valid token? ──────────────────────────▶ headers, at once
    rejected(N) ─▶ a newer one than N? ───────────────────▶ just resend
                   else ─▶ the flight (one task for all) ─▶ N+1, or NotSignedIn

The flight is a task of its own: cancelling who waits for it never cancels it. A keeper task starts flights
that nobody waits for: the renewal shortly before the end, and the next try after a failure.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Final

from agent.auth.memory import MemoryUnreadable, SessionMemory
from agent.auth.pause import Doubt, Pause
from agent.auth.renewal import Renewal, Trouble
from agent.auth.session import SessionStatus, Signed, State
from agent.auth.token import Token
from agent.clock import Clock
from agent.config.model import TokenHeader
from agent.errors import NotSignedIn
from agent.logs import get_log

INTERVAL: Final = 30.0
"""Seconds between two renewals that no 401 asked for, whatever `expires_in` says."""
NAP: Final = 10.0
"""Seconds, at most, that the keeper sleeps: timers stand still in suspend, disks get free."""
GLANCE: Final = 2.0
"""Seconds that it sleeps while nobody can sign in: a person who has just mended a secret watches."""
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
        self._renewal = renewal
        self._memory = memory
        self._clock = clock
        self._renew_before = renew_before
        self._header = header or TokenHeader()
        self._pause = pause or Pause()
        self._close_grace = close_grace
        self._name = memory.row.connection
        # What is known of the token. All times below are CLOCK_BOOTTIME seconds.
        self._token: Token | None = None
        self._loaded = False
        self._rejected = 0
        """Generations up to this one are dead."""
        self._granted_at = -math.inf
        self._asked_at = -math.inf
        self._next_try = -math.inf
        self._doubt = Doubt()
        # What goes on.
        self._trouble: Trouble | None = None
        self._flight: asyncio.Task[Token | Trouble] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False
        self._change = asyncio.Event()

    async def sign(self) -> Signed:
        """Headers for one request, and the generation to name if they are refused. Raises NotSignedIn."""
        while True:
            token = self._usable()
            if token is not None:
                if not self._closed and self._due_in() <= 0:
                    self._start()
                return Signed(generation=token.generation, headers=self._header.of(token.access))
            await self._wait_for_newer()

    async def rejected(self, generation: int) -> None:
        """The target answered 401 to `generation`. Returns when a newer one is there; raises NotSignedIn."""
        token = self._token
        generation = min(generation, self._memory.row.generation)
        if token is not None and token.generation > max(generation, self._rejected):
            return
        if token is not None and token.generation == generation > self._rejected:
            self._count_vain()
            self._rejected = generation
            log.info("the target refused the token", connection=self._name, generation=generation)
        while self._token is None or self._token.generation <= max(generation, self._rejected):
            await self._wait_for_newer()

    async def changed(self) -> None:
        """Wait until a renewal begins or ends."""
        await self._change.wait()

    def status(self) -> SessionStatus:
        """How it is now; no waiting, no I/O."""
        row, token, trouble = self._memory.row, self._token, self._trouble
        state: State = "signed in" if self._usable() is not None else "not signed in"
        if trouble is not None and trouble.blocked:
            state = "blocked"
        if self._flight is not None:
            state = "refreshing"
        wait = self._next_try - self._clock.boottime()
        return SessionStatus(
            generation=row.generation,
            expires_at=token.expires_at if token is not None else row.expires_at if row.sealed else None,
            refreshes=row.refreshes,
            logins=row.logins,
            failures=row.failures,
            state=state,
            last_error=trouble.text if trouble is not None else "",
            next_try=self._clock.now() + wait if trouble is not None and wait > 0 else None,
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

    # ------------------------------------------------------------------ which token, and when the next

    def _usable(self) -> Token | None:
        token = self._token
        if token is None or token.generation <= self._rejected:
            return None
        if token.valid(self._renewal.moment()):
            return token
        # Over by our clock, but renewed just now: an `expires_in` of seconds, or a clock that was set. The
        # target may judge: its 401 is the only thing that makes us ask more often than every INTERVAL.
        return token if self._clock.boottime() - self._granted_at < INTERVAL else None

    def _due_in(self) -> float:
        """Seconds until the next flight that nobody has to ask for; 0 or less: now."""
        now, token = self._clock.boottime(), self._token
        due = self._next_try
        if token is not None and token.generation > self._rejected:
            left = token.renew_in(self._renewal.moment(), self._renew_before)
            valid = token.valid(self._renewal.moment())
            due = max(due, now + left, (self._asked_at if valid else self._granted_at) + INTERVAL)
        if token is not None and self._memory.row.refreshing == token.generation and not self._asked:
            due = self._next_try  # the last run died in a refresh: settle that first
        return due - now

    @property
    def _asked(self) -> bool:
        return self._asked_at > -math.inf

    def _count_vain(self) -> None:
        """Raises NotSignedIn while new tokens are refused too. They stay in use: others may well be taken."""
        wait = self._doubt.wait(now=self._clock.boottime(), granted_at=self._granted_at)
        if wait > 0:
            text = f"connection {self._name}: the target refuses new tokens too"
            raise NotSignedIn(text, hint="check that the user may use this endpoint", retry_after=wait)

    # ------------------------------------------------------------------ the flight

    async def _wait_for_newer(self) -> None:
        """Join the flight, or start it. Raises NotSignedIn when it brings nothing."""
        if self._flight is None:
            wait = self._next_try - self._clock.boottime()
            if self._closed or wait > 0:
                raise self._not_signed_in(max(wait, 0.0))
            self._start()
        flight = self._flight
        assert flight is not None
        await asyncio.wait({flight})  # unlike `await flight`: cancelling us does not cancel it
        if flight.cancelled() or isinstance(flight.result(), Trouble):
            raise self._not_signed_in(max(self._next_try - self._clock.boottime(), 0.0))

    def _start(self) -> None:
        if self._flight is None:
            self._flight = asyncio.create_task(self._fly(), name=f"sign in {self._name}")
            self._announce()
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name=f"keep signed in {self._name}")

    async def _fly(self) -> Token | Trouble:
        try:
            result = await self._renew()
            self._settle(result)
            if isinstance(result, Trouble):
                await self._memory.note(result.text)
        except Exception as error:  # noqa: BLE001 - whoever waits must be told
            log.bug("a renewal broke", error, connection=self._name)
            result = Trouble(text=f"internal error: {type(error).__name__}")
            self._settle(result)
        finally:
            self._flight = None
            self._announce()
        return result

    async def _renew(self) -> Token | Trouble:
        if not self._loaded:
            try:
                self._token = await self._renewal.load()
            except MemoryUnreadable as error:
                return Trouble(text=error.message, hint="the state folder is needed before anybody signs in")
            self._loaded = True
            if self._token is not None and self._token.valid(self._renewal.moment()):
                return self._token
        self._asked_at = self._clock.boottime()
        result = await self._renewal.run(self._token, self._rejected)
        if isinstance(result, Token) and not result.valid(self._renewal.moment()):
            # Its refresh token is what there is now; its access token is never used.
            self._adopt(result)
            self._rejected = result.generation
            return Trouble(text="the Auth API gave a token that is already over")
        return result

    def _adopt(self, token: Token) -> None:
        if self._token is not token:
            self._token = token
            self._granted_at = token.obtained.boot

    def _settle(self, result: Token | Trouble) -> None:
        """What the flight brought becomes what is."""
        if isinstance(result, Token):
            self._adopt(result)
            self._next_try = -math.inf
            self._pause.over()
            if self._trouble is not None:
                log.info("signed in again", connection=self._name, generation=result.generation)
            self._trouble = None
            return
        pause = self._pause.next(at_least=result.at_least, slow=result.slow)
        self._next_try = self._clock.boottime() + pause
        if result.forget == "all":
            self._token = None
        elif result.forget == "refresh" and self._token is not None:
            self._token = replace(self._token, refresh="")
        before, self._trouble = self._trouble, result
        if before is None or (before.slow, before.blocked) != (result.slow, result.blocked):
            say = log.error if result.slow or result.blocked else log.warning
            say(
                "cannot sign in",
                connection=self._name,
                reason=result.text,
                hint=result.hint,
                next_try_in=round(pause, 1),
            )

    # ------------------------------------------------------------------ the keeper

    async def _keep(self) -> None:
        """Start flights that nobody waits for; look after what could not be stored or was refused."""
        while True:
            if (flight := self._flight) is not None:
                await asyncio.wait({flight})
                continue
            if (wait := self._due_in()) <= 0:
                self._start()
                continue
            await self._clock.sleep(min(wait, NAP if self._trouble is None else GLANCE))
            if self._flight is not None:
                continue
            if self._memory.unsaved:
                await self._memory.save()
            if self._trouble is not None and await self._renewal.is_mended(self._trouble):
                self._next_try = -math.inf

    # ------------------------------------------------------------------ telling

    def _announce(self) -> None:
        """Wake who waits for a change, and let the next ones wait anew."""
        self._change.set()
        self._change = asyncio.Event()

    def _not_signed_in(self, wait: float) -> NotSignedIn:
        if self._closed:
            return NotSignedIn(f"connection {self._name}: the agent is stopping", retry_after=None)
        trouble = self._trouble
        text = trouble.text if trouble is not None else "no token yet"
        hint = trouble.hint if trouble is not None else ""
        return NotSignedIn(f"connection {self._name}: not signed in: {text}", hint=hint, retry_after=wait)
