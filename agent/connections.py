"""An open connection: session, HTTP client, and the gate that every request of every job passes.

gate (pause · rate · concurrency) ─▶ sign ─▶ attempt
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from agent.auth.session import Secrets, Session, Signed
from agent.clock import Clock
from agent.config.model import Connection, Limits
from agent.logs import get_log
from agent.pacing import Random, RateLimit
from agent.target import Client, open_client, proxies_of, renew_tls
from agent.tls import Loaded, load
from agent.tls_files import TlsFiles, TlsState

log = get_log("connection")

CLOSE_GRACE = 30.0
"""Seconds that requests in flight get to end when their connection is replaced or removed."""
FLIGHT_GRACE = 90.0
"""Seconds that a renewal under way gets then. Cut short, its refresh token would be sent a second time by
the session that takes over; refresh, replay and login with their deadlines take less."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionState:
    """How a connection is, for people. Times are wall clock seconds."""

    name: str
    in_flight: int
    paused_until: float | None
    """The target asked for silence (Retry-After); None: it did not."""
    failing_since: float | None
    """When the target stopped to answer at all; None: it answers."""
    last_error: str
    tls: TlsState


class Gate:
    """Limits what is in flight, how fast requests start, and for how long none starts at all."""

    def __init__(self, limits: Limits, *, clock: Clock, random: Random) -> None:
        self.in_flight = 0
        self._clock = clock
        self._random = random
        self._slots = asyncio.Semaphore(limits.concurrency)  # serves its waiters in their order
        self._rate = RateLimit(limits.rate, clock) if limits.rate is not None else None
        self._paused_until = 0.0

    def try_enter(self) -> bool:
        """Pass if nothing at all is in the way. The fast path: no task, no wait."""
        if self._rate is not None or self._slots.locked() or self.paused_for() > 0:
            return False
        self._slots._value -= 1  # noqa: SLF001 - what `acquire` does when not locked, without a coroutine
        self.in_flight += 1
        return True

    async def enter(self) -> None:
        """Wait until one more request may start. Whoever comes in must `leave`; cancelled, it is not in."""
        await self._slots.acquire()
        try:
            while True:
                while (left := self.paused_for()) > 0:
                    # Each of those that wait comes back at its own moment, not all of them at once.
                    await self._clock.sleep(left + self._random() * min(1.0, left / 10))
                if self._rate is not None:
                    await self._rate.take()
                if self.paused_for() <= 0:
                    break
        except BaseException:
            self._slots.release()
            raise
        self.in_flight += 1

    def leave(self) -> None:
        """The answer is there, or there will be none."""
        self.in_flight -= 1
        self._slots.release()

    def pause(self, seconds: float) -> None:
        """Let nobody start for so long. A shorter pause never ends a longer one."""
        self._paused_until = max(self._paused_until, self._clock.monotonic() + seconds)

    def paused_for(self) -> float:
        """Seconds that are left of the pause; 0 or less when there is none."""
        return self._paused_until - self._clock.monotonic() if self._paused_until else 0.0


class OpenConnection:
    """What all jobs of one connection share. Lives until its config changes."""

    def __init__(
        self,
        connection: Connection,
        session: Session,
        client: Client,
        loaded: Loaded,
        *,
        clock: Clock,
        random: Random,
    ) -> None:
        self.connection = connection
        self.session = session
        self.client = client
        self.gate = Gate(connection.limits, clock=clock, random=random)
        self._clock = clock
        self._generation = -1
        self._generation_since = 0.0
        self._failing_since: float | None = None
        self._last_error = ""
        self._idle = asyncio.Event()
        self._closed = False
        self._tls = TlsFiles(
            connection.name, connection.tls, loaded, clock=clock, use=lambda tls: renew_tls(client, tls)
        )
        self._following: asyncio.Task[None] | None = None

    def follow_files(self) -> None:
        """Take certificates over when they are renewed on the disk."""
        if self._tls.any and self._following is None:
            self._following = asyncio.create_task(self._tls.follow(), name=f"tls {self.connection.name}")

    def announce(self) -> None:
        """Say what somebody should know each time that this connection comes into use."""
        if not self.connection.tls.verify:
            log.warning(
                "the target's certificate is not checked (tls.verify: false): "
                "anybody on the way can read and change what is sent",
                connection=self.connection.name,
            )

    async def sign(self) -> Signed:
        """The session's headers for one request. Raises NotSignedIn."""
        signed = await self.session.sign()
        if signed.generation != self._generation:
            self._generation = signed.generation
            self._generation_since = self._clock.monotonic()
        return signed

    def token_age(self, generation: int) -> float:
        """Seconds since this generation was first used here; without end for one that is not the current."""
        if generation != self._generation:
            return float("inf")
        return self._clock.monotonic() - self._generation_since

    def leave(self) -> None:
        """A request has ended."""
        self.gate.leave()
        if self._closed and self.gate.in_flight == 0:
            self._idle.set()

    def answered(self) -> None:
        """The target answered, whatever it said."""
        if self._failing_since is not None:
            seconds = round(self._clock.now() - self._failing_since, 1)
            log.info("the target answers again", connection=self.connection.name, after_seconds=seconds)
            self._failing_since = None

    def silent(self, reason: str) -> None:
        """There was no answer: no network, no TLS, no HTTP."""
        self._last_error = reason
        if self._failing_since is None:
            self._failing_since = self._clock.now()
            log.warning("the target does not answer", connection=self.connection.name, reason=reason)

    def state(self) -> ConnectionState:
        """How it is now."""
        left = self.gate.paused_for()
        return ConnectionState(
            name=self.connection.name,
            in_flight=self.gate.in_flight,
            paused_until=self._clock.now() + left if left > 0 else None,
            failing_since=self._failing_since,
            last_error=self._last_error,
            tls=self._tls.state(),
        )

    def retire(self) -> None:
        """Another one takes over: requests in flight end here, but nobody signs in here any more."""
        self.session.retire()

    async def close(self, grace: float = CLOSE_GRACE, *, flight: float | None = None) -> None:
        """Let the requests in flight end, `grace` seconds at most; then session and client. Twice is fine.

        `flight`: seconds that a renewal under way gets; None: what the end of the agent leaves it.
        """
        first, self._closed = not self._closed, True
        if first and self.gate.in_flight:
            waiting = [
                asyncio.ensure_future(self._idle.wait()),
                asyncio.ensure_future(self._clock.sleep(grace)),
            ]
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in waiting:
                    one.cancel()
        if self._following is not None:
            self._following.cancel()
        try:
            await self.session.close(flight)
        finally:
            await self.client.close()


async def open_connection(
    connection: Connection,
    open_session: Callable[[Client], Session],
    *,
    clock: Clock,
    random: Random,
    secrets: Secrets | None = None,
) -> OpenConnection:
    """Make it ready; nothing is sent yet. Raises ConfigError when a TLS file or proxy cannot be used.

    `open_session` is given the connection's own client, so that signing in goes through the same TLS and
    the same proxy. `secrets` are needed where the proxy wants credentials.
    """
    loaded = await asyncio.to_thread(load, connection.tls)
    proxies = proxies_of(connection, secrets=secrets, clock=clock)
    client = open_client(loaded.context, host=connection.tls.host, proxies=proxies)
    try:
        session = open_session(client)
    except BaseException:
        await client.close()
        raise
    opened = OpenConnection(connection, session, client, loaded, clock=clock, random=random)
    opened.follow_files()
    return opened
