"""What a session remembers over restarts: one row in the store, the pair in it sealed.

    load ─▶ recognise ─▶ intend(N) ─▶ [refresh sent] ─▶ keep(N+1) ─▶ [used]
                       └▶ count_login ─▶ [login sent] ─▶ keep(N+1)
                       └▶ bury: that refresh token is never sent again

Every arrow is durable before the next one begins. Where the store cannot be written the session goes
on with what is in memory, says so once, and `save` tries again.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from agent.auth.grant import Credentials
from agent.auth.session import Sealer, SessionStore, VaultError
from agent.auth.token import BadToken, Grant, Moment, Token, unpack
from agent.clock import Clock
from agent.config.model import LoginLimit
from agent.errors import AgentError
from agent.logs import get_log
from agent.session_row import SessionRow

KEPT_MARKS = 16
"""Seeds that are remembered as spent: somebody may put an older one back."""

log = get_log("auth")


class MemoryUnreadable(AgentError):
    """The store cannot be read: nothing may be sent, since nobody knows what was sent before."""


class SessionMemory:
    """Owns the row of one connection. Not for two tasks at a time: the session's one flight uses it."""

    def __init__(self, connection: str, store: SessionStore, sealer: Sealer, clock: Clock) -> None:
        self.row = SessionRow(connection=connection)
        self.unsaved = False
        """The row in memory is newer than the stored one."""
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._blocked_until = 0.0
        """CLOCK_BOOTTIME, since the wall clock may be set while we wait."""

    async def load(self, limit: LoginLimit) -> Token | None:
        """What was stored, and the pair in it. Raises MemoryUnreadable."""
        row = await self._read()
        if row is None:
            return None
        self.row = row
        if row.blocked_until is not None:
            # A wall clock that is years off must not block for years.
            pause = min(row.blocked_until - self._clock.now(), limit.pause.total_seconds())
            self._blocked_until = self._clock.boottime() + pause
        token = await self._unseal(row)
        if row.sealed is not None and token is None:
            text = "the stored tokens cannot be read: another key, or damaged; they are dropped"
            log.error(
                text, connection=row.connection, hint="one new login follows; keep the key with the state"
            )
            self.row = replace(self.row, sealed=None, refreshing=None)
        return token

    async def newer(self) -> Token | None:
        """The stored pair when somebody stored a newer one than ours. Raises MemoryUnreadable."""
        if self.unsaved:
            return None
        row = await self._read()
        if row is None or row.generation <= self.row.generation:
            return None
        token = await self._unseal(row)
        if token is not None:
            self.row = row
        return token

    def recognise(self, who: Credentials, token: Token | None) -> Token | None:
        """The token if it belongs to `who`, else None. New credentials also forget the failed logins."""
        row = self.row
        known_place, _, known_person = row.identity.partition(".")
        other = bool(row.identity) and (
            known_place != who.place or bool(who.person and known_person and known_person != who.person)
        )
        if other:
            log.warning("another Auth API or user: the old tokens are dropped", connection=row.connection)
            row = replace(row, sealed=None, refreshing=None, failures=0, blocked_until=None)
            self._blocked_until = 0.0
        if who.mark and row.secret_mark != who.mark:
            if row.failures:
                log.info("the credentials changed: failed logins are forgotten", connection=row.connection)
            row = replace(row, failures=0, blocked_until=None, secret_mark=who.mark)
            self._blocked_until = 0.0
        if other or who.person or not row.identity:
            row = replace(row, identity=who.identity)
        self.row = row
        return None if other else token

    def blocked_for(self) -> float:
        """Seconds until the next login is allowed; 0 or less: now."""
        return self._blocked_until - self._clock.boottime()

    async def intend(self, generation: int) -> None:
        """Note that the refresh token of `generation` is about to be sent."""
        if self.row.refreshing != generation or self.unsaved:
            await self._write(refreshing=generation)

    async def keep(self, grant: Grant, sent: Moment, old: Token | None, *, spent: str = "") -> Token:
        """The new pair, durable; `old` is None after a login; `spent` is a mark for `is_spent`.

        An answer without a refresh token keeps the old one.
        """
        token = Token(
            access=grant.access,
            refresh=grant.refresh or (old.refresh if old else ""),
            generation=self.row.generation + 1,
            obtained=sent,
            lifetime=grant.lifetime,
        )
        sealed = await asyncio.to_thread(self._sealer.seal, token.pack(), self.row.connection)
        self._blocked_until = 0.0
        await self._write(
            generation=token.generation,
            sealed=sealed,
            refreshing=None,
            failures=0 if old is None else self.row.failures,
            blocked_until=None,
            logins=self.row.logins + (old is None),
            refreshes=self.row.refreshes + (old is not None),
            expires_at=token.expires_at,
            last_error="",
            spent=self._with(spent),
        )
        return token

    async def bury(self, mark: str) -> None:
        """The pair is dead; `mark` is for `is_spent`."""
        await self._write(sealed=None, refreshing=None, spent=self._with(mark))

    def is_spent(self, mark: str) -> bool:
        """Whether the refresh token of this mark must not be sent again."""
        return mark in self.row.spent.split()

    def mark(self, refresh_token: str) -> str:
        """To remember it by."""
        return self._sealer.mark(f"seed {refresh_token}")

    def _with(self, mark: str) -> str:
        old = [each for each in self.row.spent.split() if each != mark]
        return " ".join([*old, mark][-KEPT_MARKS:]) if mark else self.row.spent

    async def count_login(self, limit: LoginLimit) -> None:
        """Count a login as failed *before* it is sent, so that a kill in between cannot hide it.

        The pair is gone with it: whoever logs in has none, or was told that it is dead.
        """
        failures = self.row.failures + 1
        pause = limit.pause.total_seconds() if failures >= limit.failures else 0.0
        self._blocked_until = self._clock.boottime() + pause
        blocked = self._clock.now() + pause if pause else None
        await self._write(failures=failures, blocked_until=blocked, sealed=None, refreshing=None)

    async def uncount_login(self) -> None:
        """It was never judged: no failure."""
        self._blocked_until = 0.0
        await self._write(failures=max(self.row.failures - 1, 0), blocked_until=None)

    async def note(self, error: str) -> None:
        """Keep the last error, for `status` without the daemon. Only when it is another one."""
        if self.row.last_error != error:
            await self._write(last_error=error)

    async def save(self) -> None:
        """Try again to store what could not be stored."""
        if self.unsaved:
            await self._write()

    async def _write(self, **changes: Any) -> None:  # noqa: ANN401 - fields of SessionRow
        row = self.row = replace(self.row, updated_at=self._clock.now(), **changes)
        try:
            await self._store.store_session(row)
        except Exception as error:  # noqa: BLE001 - whatever the store does, deliveries go on
            if not self.unsaved:
                log.error(
                    "the session cannot be stored: it goes on in memory; a restart now may need a login",
                    connection=self.row.connection,
                    reason=str(error) or type(error).__name__,
                )
            self.unsaved = True
            return
        if self.unsaved and row is self.row:
            log.info("the session is stored again", connection=self.row.connection)
            self.unsaved = False

    async def _read(self) -> SessionRow | None:
        try:
            return await self._store.session(self.row.connection)
        except Exception as error:
            raise MemoryUnreadable(
                f"the state cannot be read: {str(error) or type(error).__name__}"
            ) from error

    async def _unseal(self, row: SessionRow) -> Token | None:
        if row.sealed is None:
            return None
        try:
            packed = await asyncio.to_thread(self._sealer.open, row.sealed, row.connection)
            return unpack(packed, row.generation)
        except (VaultError, BadToken):
            return None
