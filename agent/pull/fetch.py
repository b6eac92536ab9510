"""A page through its connection: gate, sign-in, Retry-After. Asked by a run's thread, done in the loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from agent.clock import Clock
from agent.connections import OpenConnection
from agent.errors import NotSignedIn, SourceError
from agent.outcome import Outcome, Retry, Unauthorized
from agent.pacing import Door
from agent.request import Request
from agent.target import Got, fetch

_CONNECT = 5.0
_POLL = 0.2
"""Seconds between two looks whether the run is to end."""
_PATIENCE = 2.0
"""Seconds of a pause of the connection that a run waits for."""
_SHOWN = 300
"""Characters of a refusal's body that are told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """One GET."""

    name: str
    """Of the page, for people."""
    connection: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    timeout: float
    """Seconds, to the end of the answer."""


class Fetch(Protocol):
    """How a run gets a page."""

    def __call__(self, ask: Ask, take: Callable[[str, bytes], None], cancelled: Callable[[], bool], /) -> Got:
        """Blocks. Raises SourceError for whatever is no good answer, and when cancelled."""


class LoopFetch:
    """Implements `Fetch` for threads beside an event loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, find: Callable[[str], OpenConnection | None], clock: Clock
    ) -> None:
        self._loop = loop
        self._find = find
        self._clock = clock

    def __call__(self, ask: Ask, take: Callable[[str, bytes], None], cancelled: Callable[[], bool], /) -> Got:
        """See `Fetch`."""
        future = asyncio.run_coroutine_threadsafe(self._get(ask, take), self._loop)
        while True:
            try:
                return future.result(_POLL)
            except TimeoutError:
                if future.done():
                    raise
            except concurrent.futures.CancelledError:
                raise SourceError(f"{ask.name}: reading was cancelled") from None
            if cancelled():
                future.cancel()

    async def _get(self, ask: Ask, take: Callable[[str, bytes], None]) -> Got:
        connection = self._find(ask.connection)
        if connection is None:
            raise SourceError(f"there is no connection {ask.connection} now")
        if (left := connection.gate.paused_for()) > _PATIENCE:
            # to wait here would keep a thread that other jobs need
            said = f"{ask.name}: the target asked for silence; {left:.0f} s of it are left"
            raise SourceError(said, hint="the schedule tries again")
        door = connection.door(ask.url)
        block = connection.block(door)
        soon = self._clock.now() + _PATIENCE
        if block is not None and block.kind == "circuit" and (block.until is None or block.until > soon):
            raise SourceError(f"{ask.name}: {block.reason}", hint="the schedule tries again")
        told = False
        while True:
            outcome = await self._once(connection, door, ask, take)
            if isinstance(outcome, Got):
                return outcome
            if not isinstance(outcome, Unauthorized) or told:
                raise SourceError(f"{ask.name}: {_said(outcome)}", hint=_hint(outcome))
            told = True
            try:
                await connection.session.rejected(outcome.generation)
            except NotSignedIn as error:
                raise _not_signed_in(ask, error) from error

    async def _once(
        self, connection: OpenConnection, door: Door, ask: Ask, take: Callable[[str, bytes], None]
    ) -> Got | Outcome:
        await connection.enter(door, f"page of {ask.connection}", ask.name)
        try:
            try:
                signed = await connection.sign()
            except NotSignedIn as error:
                raise _not_signed_in(ask, error) from error
            theirs = {name.lower() for name in signed.headers}
            own = {name: value for name, value in ask.headers.items() if name.lower() not in theirs}
            request = Request(
                method="GET",
                url=ask.url,
                headers={**own, **signed.headers},
                secret_headers=frozenset(signed.headers),
                body=b"",
                gzip=False,
            )
            began = self._clock.monotonic()
            outcome = await fetch(
                connection.client,
                request,
                total=ask.timeout,
                connect=min(_CONNECT, ask.timeout),
                generation=signed.generation,
                now=self._clock.now,
                take=take,
                heed=connection.heed,
            )
            result = None if isinstance(outcome, Got) else outcome
            connection.report(door, ask.name, result, began, self._clock.monotonic())
        finally:
            connection.leave(door)
        return outcome


def _not_signed_in(ask: Ask, error: NotSignedIn) -> SourceError:
    return SourceError(f"{ask.name}: {error.message}", hint=error.hint)


def _said(outcome: Outcome) -> str:
    answer = outcome.answer
    body = " ".join(answer.body[:_SHOWN].split())
    more = "…" if len(answer.body) > _SHOWN else ""
    waits = ""
    if isinstance(outcome, Retry) and outcome.after:
        waits = f" (not asked again for {outcome.after:.0f} s)"
    return f"{answer.reason}{waits}" + (f": {body}{more}" if body else "")


def _hint(outcome: Outcome) -> str:
    if isinstance(outcome, Retry):
        return "the schedule tries again"
    return "check `source`, and what the sign-in of its connection may read"
