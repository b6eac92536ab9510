"""An open connection: session, HTTP client, and the gate that every request of every job passes.

gate (`agent.pacing`) ─▶ sign ─▶ attempt ─▶ report: what it came to goes back to the gate
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

from agent.auth.session import Secrets, Session, Signed
from agent.clock import Clock
from agent.config.model import Connection
from agent.logs import get_log
from agent.outcome import Delivered, Outcome, Retry
from agent.pacing import (
    Block,
    Change,
    Door,
    DoorState,
    Gate,
    Headers,
    Random,
    Turn,
    quota_of,
    tells_quota,
    verdict_of,
)
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
    """The target asked for silence (Retry-After, RateLimit); None: it did not."""
    pause_reason: str
    waiting: int
    """Requests that stand at the gate."""
    doors: tuple[DoorState, ...]
    """One for each origin that requests go to, with wall clock seconds."""
    failing_since: float | None
    """When the target stopped to answer at all; None: it answers."""
    last_error: str
    tls: TlsState


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
        self.in_flight = 0
        """Of this config; the gate counts those of the one before too."""
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

    # ------------------------------------------------------------------ the gate

    def inherit(self, before: OpenConnection) -> None:
        """Take over the gate of the connection that this one replaces. Before the first request only."""
        self.gate = before.gate
        self.gate.set_limits(self.connection.limits)

    def door(self, url: str) -> Door:
        """The way to the origin of an URL."""
        return self.gate.door(url)

    def try_enter(self, door: Door, who: Hashable) -> bool:
        """Go in if nothing is in the way. Whoever is in must `leave`."""
        if not self.gate.try_enter(door, who):
            return False
        self.in_flight += 1
        return True

    def entered(self, turn: Turn) -> bool:
        """Whether this turn, asked for at the gate, has come. Then it is in, and must `leave`."""
        if not turn.granted:
            return False
        self.in_flight += 1
        return True

    async def enter(self, door: Door | None = None, job: str = "", who: Hashable = None) -> None:
        """Wait until it may go in. Whoever is in must `leave`; cancelled, it is not in."""
        await self.gate.enter(door, job, who)
        self.in_flight += 1

    def leave(self, door: Door | None = None) -> None:
        """A request has ended."""
        self.in_flight -= 1
        self.gate.leave(door)
        if self._closed and self.in_flight == 0:
            self._idle.set()

    def heed(self, headers: Headers) -> None:
        """What an answer says of the target's quota counts for all."""
        quota = quota_of(headers, now=self._clock.now()) if tells_quota(headers) else None
        if quota is not None:
            self.gate.grant(quota)
        elif self.gate.quota_until:
            self.gate.spent()

    def report(self, door: Door, who: Hashable, outcome: Outcome | None, began: float, ended: float) -> None:
        """What a request came to (None: all is well). To be told before it leaves; monotonic seconds."""
        if self._failing_since is not None and (outcome is None or outcome.answer.status is not None):
            self._answers_again()
        if outcome is None or isinstance(outcome, Delivered):
            if door.good(ended - began, ended):
                self._tell(door, Change.CLOSED)
            return
        verdict, reason = verdict_of(outcome), outcome.answer.reason
        if outcome.answer.status is None:
            if self.gate.quota_until:
                self.gate.spent()
            if verdict.absent:
                self._silent(reason)
        if self._closed:
            return  # what fails now was cut off here
        change = door.judge(verdict, who=who, began=began, now=ended, why=reason)
        if change is not None:
            self._tell(door, change)
        if isinstance(outcome, Retry) and outcome.after:
            self.gate.pause(outcome.after, f"{reason}, Retry-After: {outcome.after:g}")

    def _answers_again(self) -> None:
        """The target answered, whatever it said."""
        assert self._failing_since is not None
        seconds = round(self._clock.now() - self._failing_since, 1)
        log.info("the target answers again", connection=self.connection.name, after_seconds=seconds)
        self._failing_since = None

    def _silent(self, reason: str) -> None:
        """There was no answer: no network, no TLS, no HTTP."""
        self._last_error = reason
        if self._failing_since is None:
            self._failing_since = self._clock.now()
            log.warning("the target does not answer", connection=self.connection.name, reason=reason)

    def _tell(self, door: Door, change: Change) -> None:
        words = {"connection": self.connection.name, "origin": door.origin}
        match change:
            case Change.OPENED:
                log.warning("the circuit is open: one request at a time", reason=door.circuit.reason, **words)
            case Change.CLOSED:
                log.info("the circuit is closed: requests start again, gently", **words)
            case Change.CUT:
                log.debug("fewer requests at once", now=door.window.size, reason=door.window.why, **words)

    def block(self, door: Door) -> Block | None:
        """Why nobody goes in by this door, in wall clock seconds; None: it is a matter of turns."""
        block = self.gate.block(door)
        if block is None:
            return None
        wall = self._clock.now() - self._clock.monotonic()
        until = None if block.until is None else block.until + wall
        return replace(block, since=block.since + wall, until=until)

    def state(self) -> ConnectionState:
        """How it is now."""
        left = self.gate.paused_for()
        wall = self._clock.now() - self._clock.monotonic()
        return ConnectionState(
            name=self.connection.name,
            in_flight=self.in_flight,
            paused_until=self._clock.now() + left if left > 0 else None,
            pause_reason=self.gate.pause_reason if left > 0 else "",
            waiting=self.gate.waiting,
            doors=tuple(
                replace(one, since=one.since + wall, probe_at=one.probe_at + wall)
                for one in (door.state() for origin, door in sorted(self.gate.doors.items()) if origin)
            ),
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
        if first and self.in_flight:
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
