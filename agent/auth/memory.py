"""What a session remembers over restarts: one row in the store, the pair in it sealed.

    load ─▶ recognise ─▶ intend(N) ─▶ [refresh sent] ─▶ keep(N+1) ─▶ [used]
                       └▶ count_login ─▶ [login sent] ─▶ keep(N+1)
                       └▶ bury: that refresh token is never sent again

Every arrow is durable before the next one begins. Where the store cannot be written the session goes
on with what is in memory, says so once, and `save` tries again.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

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

_Locks: TypeAlias = "WeakKeyDictionary[SessionStore, dict[str, asyncio.Lock]]"
_TURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, _Locks] = WeakKeyDictionary()


def turn_of(store: SessionStore, connection: str) -> asyncio.Lock:
    """Held for a renewal: one at a time for each row, whoever holds it.

    While a changed connection takes over, two sessions live on one row, and both would renew at the same
    moment.
    """
    of_stores = _TURNS.setdefault(asyncio.get_running_loop(), WeakKeyDictionary())
    return of_stores.setdefault(store, {}).setdefault(connection, asyncio.Lock())


class MemoryUnreadable(AgentError):
    """The store cannot be read: nothing may be sent, since nobody knows what was sent before."""


class SessionMemory:
    """Owns the row of one connection. Not for two tasks at a time: the session's one flight uses it."""

    def __init__(self, connection: str, store: SessionStore, sealer: Sealer, clock: Clock) -> None:
        self.row = SessionRow(connection=connection)
        self.unsaved = False
        """The row in memory is newer than the stored one."""
        self._longest = 0.0
        """Seconds; no pause after failed logins is longer."""
        self._read_once = False
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._blocked_until = 0.0
        """CLOCK_BOOTTIME, since the wall clock may be set while we wait."""

    def turn(self) -> asyncio.Lock:
        """See `turn_of`."""
        return turn_of(self._store, self.row.connection)

    async def load(self, limit: LoginLimit) -> Token | None:
        """What was stored, and the pair in it. Raises MemoryUnreadable."""
        self._longest = limit.pause.total_seconds()
        row = await self._read()
        if row is None:
            return None
        self.row = row
        self._obey(row)
        token = await self._unseal(row)
        if row.sealed is not None and token is None:
            text = "the stored tokens cannot be read: another key, or damaged; they are dropped"
            log.error(
                text, connection=row.connection, hint="one new login follows; keep the key with the state"
            )
            self.row = replace(self.row, sealed=None, refreshing=None)
        return token

    def _heed(self, row: SessionRow | None) -> None:
        """Logins that failed in another session of this row count as ours."""
        if row is not None and row.generation == self.row.generation and row.failures > self.row.failures:
            self.row = replace(
                self.row,
                failures=row.failures,
                blocked_until=row.blocked_until,
                secret_mark=row.secret_mark,
            )
            self._obey(row)

    def _obey(self, row: SessionRow) -> None:
        """The stored pause counts. A wall clock that is years off must not block for years."""
        if row.blocked_until is not None:
            pause = min(row.blocked_until - self._clock.now(), self._longest)
            self._blocked_until = self._clock.boottime() + pause

    async def newer(self) -> Token | None:
        """The stored pair when somebody stored a newer one than ours. Raises MemoryUnreadable."""
        if self.unsaved:
            return None
        row = await self._read()
        if row is None or row.generation <= self.row.generation:
            self._heed(row)
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
        if old is None:
            self._blocked_until = 0.0
        await self._write(
            generation=token.generation,
            sealed=sealed,
            refreshing=None,
            failures=0 if old is None else self.row.failures,
            blocked_until=None if old is None else self.row.blocked_until,
            logins=self.row.logins + (old is None),
            refreshes=self.row.refreshes + (old is not None),
            expires_at=token.expires_at,
            last_error="",
            spent=self._with(spent),
        )
        return token

    async def bury(self, mark: str, *, keep_pair: bool = False) -> None:
        """This refresh token is dead, and the pair with it unless it is another one's; see `is_spent`."""
        gone = {} if keep_pair else {"sealed": None}
        await self._write(**gone, refreshing=None, spent=self._with(mark))

    def is_spent(self, mark: str) -> bool:
        """Whether the refresh token of this mark must not be sent again."""
        return mark in self.row.spent.split()

    def mark(self, refresh_token: str) -> str:
        """To remember it by."""
        return self._sealer.mark(f"seed {refresh_token}")

    def _with(self, mark: str) -> str:
        old = [each for each in self.row.spent.split() if each != mark]
        return " ".join([*old, mark][-KEPT_MARKS:]) if mark else self.row.spent

    async def count_login(self, limit: LoginLimit, *, keep_pair: bool = False) -> None:
        """Count a login as failed *before* it is sent, so that a kill in between cannot hide it.

        The pair is gone with it: whoever logs in has none, or was told that it is dead. Only a person
        asks for a login beside a good pair, which stays until there is another.
        """
        failures = self.row.failures + 1
        pause = limit.pause.total_seconds() if failures >= limit.failures else 0.0
        self._blocked_until = self._clock.boottime() + pause
        blocked = self._clock.now() + pause if pause else None
        gone = {} if keep_pair else {"sealed": None, "refreshing": None}
        await self._write(failures=failures, blocked_until=blocked, **gone)

    async def uncount_login(self) -> None:
        """It was never judged: no failure."""
        self._blocked_until = 0.0
        await self._write(failures=max(self.row.failures - 1, 0), blocked_until=None)

    async def erase(self) -> None:
        """Forget the pair. Failed logins stay counted: this is no way around their limit."""
        await self._write(sealed=None, refreshing=None, expires_at=None, last_error="")

    async def note(self, error: str) -> None:
        """Keep the last error, for `status` without the daemon. Only when it is another one.

        Never before the stored row was read: what is in memory then is empty, and would replace the pair.
        """
        if self._read_once and self.row.last_error != error:
            async with self.turn():
                with contextlib.suppress(MemoryUnreadable):
                    row = await self._read()
                    self._heed(row)
                    if row is not None and row.generation == self.row.generation and not self.unsaved:
                        # A person may have made another session of this row forget the pair.
                        self.row = replace(self.row, sealed=row.sealed, refreshing=row.refreshing)
                await self._write(last_error=error)

    async def save(self) -> None:
        """Try again to store what could not be stored."""
        if self.unsaved:
            await self._write()

    async def _write(self, **changes: Any) -> None:  # noqa: ANN401 - fields of SessionRow
        row = replace(self.row, updated_at=self._clock.now(), **changes)
        if row.sealed is not None:
            # The key may have been changed since it was sealed. Nothing may be awaited from here to the
            # store, whose queue keeps this before or behind the pass that seals all rows anew.
            row = replace(row, sealed=self._sealer.reseal(row.sealed, row.connection))
        self.row = row
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
            row = await self._store.session(self.row.connection)
            self._read_once = True
            return row  # noqa: TRY300 - the except is for the read alone
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
