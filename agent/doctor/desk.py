"""Where signed steps are made: in the daemon when one runs, else here, with the state's lock in hand.

There is never a second session beside the daemon's: two of them would burn each other's refresh tokens.
A token never leaves the process that holds it.

    ByDaemon ── control socket: auth-check {"action": …} ──▶ the daemon's session
    Alone    ── the state folder, locked ──▶ a session of our own, closed at the end
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from agent.auth import Session, open_session
from agent.clock import Clock
from agent.config import SecretStore
from agent.config.model import AgentSettings, BasicAuth, BearerAuth, Connection, HeaderAuth, NoAuth
from agent.connections import OpenConnection, open_connection
from agent.doctor.findings import Called, Counts, NoToken, SignedIn
from agent.engine import Engine
from agent.errors import AgentError
from agent.harmless import call_endpoint
from agent.session_row import SessionRow
from agent.target import Client
from agent.web.control import JsonObject, call

FIXED: Final = (NoAuth, BasicAuth, BearerAuth, HeaderAuth)
"""Their sessions keep nothing, so that no state is needed."""

_PATIENCE = 100.0
"""Seconds for an answer of the daemon; the steps themselves have tighter bounds."""


class Desk(Protocol):
    """Who signs."""

    async def sign_in(self) -> SignedIn | NoToken:
        """Have a token: the stored one, else by refresh, else, where it is allowed, by login."""

    async def refresh(self) -> SignedIn | NoToken:
        """Have a new token, even while the old one is good."""

    async def call(self, endpoint: str) -> Called | NoToken:
        """HEAD one endpoint, signed."""


class ByDaemon:
    """Asks the daemon of a state folder."""

    def __init__(self, state: Path, connection: str) -> None:
        self._state = state
        self._connection = connection

    async def sign_in(self) -> SignedIn | NoToken:
        """See `Desk`."""
        return await self._signed("sign")

    async def refresh(self) -> SignedIn | NoToken:
        """See `Desk`."""
        return await self._signed("refresh")

    async def call(self, endpoint: str) -> Called | NoToken:
        """See `Desk`."""
        answer = await self._ask("call", {"endpoint": endpoint})
        if isinstance(answer, NoToken):
            return answer
        status = answer.get("status")
        return Called(
            status=status if isinstance(status, int) else 0,
            reason=str(answer.get("reason", "")),
            challenge=str(answer.get("challenge", "")),
        )

    async def _signed(self, action: str) -> SignedIn | NoToken:
        before = await self._ask("status")
        answer = before if isinstance(before, NoToken) else await self._ask(action)
        if isinstance(before, NoToken):
            return before
        if isinstance(answer, NoToken):
            after = await self._ask("status")
            if isinstance(after, NoToken):
                return answer
            failures = _number(after, "failures")
            return replace(answer, failures=failures, next_try=_moment(after, "next_try"))
        return SignedIn(
            before=_counts(before),
            after=_counts(answer),
            generation=_number(answer, "generation"),
            expires_at=_moment(answer, "expires_at"),
        )

    async def _ask(self, action: str, more: JsonObject | None = None) -> JsonObject | NoToken:
        words: JsonObject = {"action": action, "connection": self._connection, **(more or {})}
        try:
            return await call(self._state, "auth-check", words, timeout=_PATIENCE)
        except AgentError as error:
            return NoToken(text=error.message, hint=error.hint)


def _counts(answer: JsonObject) -> Counts:
    return Counts(logins=_number(answer, "logins"), refreshes=_number(answer, "refreshes"))


def _number(answer: JsonObject, name: str) -> int:
    value = answer.get(name)
    return value if isinstance(value, int) else 0


def _moment(answer: JsonObject, name: str) -> float | None:
    value = answer.get(name)
    return value if isinstance(value, int | float) else None


class Alone:
    """Signs with an open connection of this process."""

    def __init__(self, opened: OpenConnection, before: Counts) -> None:
        self._opened = opened
        self._before = before

    async def sign_in(self) -> SignedIn | NoToken:
        """See `Desk`."""
        return await self._signed(self._sign)

    async def refresh(self) -> SignedIn | NoToken:
        """See `Desk`."""
        return await self._signed(self._opened.session.refresh)

    async def call(self, endpoint: str) -> Called | NoToken:
        """See `Desk`."""
        try:
            probed = await call_endpoint(self._opened, endpoint)
        except AgentError as error:
            return self._none(error)
        return Called(status=probed.status, reason=probed.reason, challenge=probed.challenge)

    async def _sign(self) -> None:
        await self._opened.sign()

    async def _signed(self, work: Callable[[], Awaitable[None]]) -> SignedIn | NoToken:
        try:
            await work()
        except AgentError as error:
            return self._none(error)
        status = self._opened.session.status()
        before, self._before = self._before, Counts(logins=status.logins, refreshes=status.refreshes)
        return SignedIn(
            before=before, after=self._before, generation=status.generation, expires_at=status.expires_at
        )

    def _none(self, error: AgentError) -> NoToken:
        status = self._opened.session.status()
        return NoToken(
            text=error.message, hint=error.hint, failures=status.failures, next_try=status.next_try
        )


@contextlib.asynccontextmanager
async def alone(
    connection: Connection, *, settings: AgentSettings, config: Path, clock: Clock
) -> AsyncIterator[Alone]:
    """A session of our own. Takes the state folder for as long as this lasts, where one is needed at all.

    Raises StateError, StateLocked, ConfigError.
    """
    if isinstance(connection.auth, FIXED):
        async with _without_state(connection, config, clock) as opened:
            yield Alone(opened, Counts())
        return
    engine = await asyncio.to_thread(Engine.open, settings, config, clock, owner="auth check")
    try:
        row = await engine.spool.session(connection.name)
        before = Counts(logins=row.logins, refreshes=row.refreshes) if row is not None else Counts()
        ours = await engine.opened(connection)
        assert ours is not None  # this engine is new, so that none was open
        try:
            yield Alone(ours, before)
        finally:
            await ours.close(grace=1.0)
    finally:
        await asyncio.to_thread(engine.close)


@contextlib.asynccontextmanager
async def _without_state(connection: Connection, config: Path, clock: Clock) -> AsyncIterator[OpenConnection]:
    def session(client: Client) -> Session:
        return open_session(connection, secrets, _NoState(), _NoState(), clock, client)

    secrets = SecretStore(config)
    opened = await open_connection(connection, session, clock=clock, random=random.random, secrets=secrets)
    try:
        yield opened
    finally:
        await opened.close(grace=1.0)


class _NoState:
    """For sessions that keep nothing: their secret is all they have."""

    async def session(self, connection: str) -> SessionRow | None:
        """Nothing is stored."""
        del connection
        return None

    async def store_session(self, row: SessionRow) -> None:
        """Nothing is to be stored."""
        raise AssertionError(row.connection)

    def seal(self, text: bytes, context: str) -> bytes:
        """Nothing is to be sealed."""
        raise AssertionError(context, len(text))

    def open(self, sealed: bytes, context: str) -> bytes:
        """Nothing was sealed."""
        raise AssertionError(context, len(sealed))

    def reseal(self, sealed: bytes, context: str) -> bytes:
        """Nothing was sealed."""
        raise AssertionError(context, len(sealed))

    def mark(self, secret: str) -> str:
        """Nobody compares."""
        del secret
        return ""
