"""One renewal at a time: the flight under way, what it brings, and the keeper that starts them unasked.

    start ─▶ flight: load · renew, log in or give up ─▶ settle ─▶ land: who waited is told
      ▲
      └── keeper: shortly before the end of a token, after a pause, when a secret was mended

A flight is a task of its own: cancelling who waits for it never cancels it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Final, Literal, TypeAlias

from agent.auth.holding import Holding
from agent.auth.memory import MemoryUnreadable, SessionMemory
from agent.auth.parting import part
from agent.auth.pause import Pause
from agent.auth.renewal import Renewal, Trouble
from agent.auth.telling import not_signed_in, say_trouble
from agent.auth.token import Token
from agent.clock import Clock
from agent.errors import NotSignedIn
from agent.logs import get_log

NAP: Final = 10.0
"""Seconds, at most, that the keeper sleeps: timers stand still in suspend, disks get free."""
GLANCE: Final = 2.0
"""Seconds that it sleeps while nobody can sign in: a person who has just mended a secret watches."""
LAST_SAVE: Final = 2.0
"""Seconds, at the end, for a pair that could not be stored: the disk may have room again."""

Errand: TypeAlias = Literal["renew", "refresh", "login", "forget"]
"""What a flight is for: `renew` is content with a good token in the store, the others were asked for."""
Landed: TypeAlias = "Token | Trouble | str"
"""The next pair, why there is none, or the words of a farewell."""

log = get_log("auth")


class Flights:
    """Those of one session. `held` is what they change."""

    def __init__(
        self, renewal: Renewal, memory: SessionMemory, clock: Clock, *, held: Holding, pause: Pause
    ) -> None:
        self.flight: asyncio.Task[Landed] | None = None
        self.errand: Errand = "renew"
        self.trouble: Trouble | None = None
        self.change = asyncio.Event()
        """Set, and replaced, when a flight begins or ends."""
        self.over = ""
        """Why none starts any more; empty while they do."""
        self._renewal = renewal
        self._memory = memory
        self._clock = clock
        self._held = held
        self._pause = pause
        self._name = memory.row.connection
        self._loaded = False
        self._forgotten = False
        """A person gave it up: nobody signs in before a token is needed again."""
        self._next_try = -math.inf
        """CLOCK_BOOTTIME seconds."""
        self._keeper: asyncio.Task[None] | None = None

    def pause_left(self) -> float:
        """Seconds until a flight may start; 0 or less: now."""
        return self._next_try - self._clock.boottime()

    def due_in(self) -> float:
        """Seconds until the next flight that nobody has to ask for; 0 or less: now."""
        if self._forgotten:
            return math.inf
        return self._held.due_in(self._next_try, self._memory.row.refreshing)

    def start(self, errand: Errand) -> None:
        """Unless one is under way."""
        if self.flight is None:
            self.errand, self._forgotten = errand, False
            self.flight = asyncio.create_task(self._fly(errand), name=f"{errand} {self._name}")
            self.announce()
        if self._keeper is None:
            self._keeper = self._keeping()

    async def land(self) -> Landed:
        """What the flight under way brings. Raises NotSignedIn when the end of the agent cut it short."""
        flight = self.flight
        assert flight is not None
        await asyncio.wait({flight})  # unlike `await flight`: cancelling us does not cancel it
        if flight.cancelled():
            raise self.not_signed_in(0.0)
        return flight.result()

    def end(self, why: str) -> None:
        """Start none any more. The one under way goes on."""
        self.over = self.over or why
        if self._keeper is not None:
            self._keeper.cancel()

    async def close(self, grace: float) -> None:
        """Let the one under way finish (`grace` seconds at most), then stop. `end` comes first."""
        if self._keeper is not None:
            await asyncio.wait({self._keeper})
        if (flight := self.flight) is not None:
            await asyncio.wait({flight}, timeout=grace)
            if flight.cancel():
                log.warning(
                    "stopped in the middle of a renewal; it is settled at the next start",
                    connection=self._name,
                )
                await asyncio.wait({flight})
        if self._memory.unsaved:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_SAVE):
                    await self._memory.save()
        self.announce()

    def announce(self) -> None:
        """Wake who waits for a change, and let the next ones wait anew."""
        self.change.set()
        self.change = asyncio.Event()

    def not_signed_in(self, wait: float) -> NotSignedIn:
        """For whoever needs a token that is not there."""
        return not_signed_in(self._name, self.trouble, wait, over=self.over)

    # ------------------------------------------------------------------ the flight

    async def _fly(self, errand: Errand) -> Landed:
        result: Landed
        try:
            result = await self._run(errand)
            self._settle(result, errand)
            if isinstance(result, Trouble) and self.trouble is result:
                await self._memory.note(result.text)
        except Exception as error:  # noqa: BLE001 - whoever waits must be told
            log.bug("a renewal broke", error, connection=self._name)
            result = Trouble(text=f"internal error: {type(error).__name__}")
            self._settle(result, errand)
        finally:
            self.flight = None
            self.announce()
        return result

    async def _run(self, errand: Errand) -> Landed:
        held = self._held
        if not self._loaded:
            try:
                held.hold(await self._renewal.load())
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
            before, self.trouble = self.trouble, result
            say_trouble(self._name, before, result, pause)
            if before is None and self._keeper is not None and not self.over:
                self._keeper.cancel()  # from a long nap into short ones
                self._keeper = self._keeping()
            return
        if isinstance(result, Token):
            self._held.adopt(result)
            if self.trouble is not None:
                log.info("signed in again", connection=self._name, generation=result.generation)
        else:
            self._forgotten = True
            log.info("the sign-in is given up", connection=self._name, outcome=result)
        self._next_try = -math.inf
        self._pause.over()
        self.trouble = None

    # ------------------------------------------------------------------ the keeper

    def _keeping(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._keep(), name=f"keep signed in {self._name}")

    async def _keep(self) -> None:
        """Start flights that nobody waits for; look after what could not be stored or was refused."""
        while True:
            if (flight := self.flight) is not None:
                await asyncio.wait({flight})
                continue
            if (wait := self.due_in()) <= 0:
                self.start("renew")
                continue
            await self._clock.sleep(min(wait, NAP if self.trouble is None else GLANCE))
            if self.flight is not None:
                continue
            try:
                await self._look_after()
            except Exception as error:  # noqa: BLE001 - without a keeper nobody would renew in time
                log.bug("looking after a session failed", error, connection=self._name)

    async def _look_after(self) -> None:
        if self._memory.unsaved:
            await self._memory.save()
        if self.trouble is not None and await self._renewal.is_mended(self.trouble):
            self._next_try = -math.inf
