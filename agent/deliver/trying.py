"""One attempt of a lane: through the gate, signed, built, sent. What it came to is decided elsewhere.

gate ─▶ sign ─▶ build ─▶ attempt ─▶ (Request, Outcome)
  └─ the way changed, or the message is too old by now: None, and nothing was sent
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeAlias

from agent.connections import OpenConnection
from agent.deliver.ahead import PlainAhead
from agent.deliver.expiry import is_late
from agent.deliver.house import House, Way
from agent.deliver.letters import unsendable
from agent.deliver.waiting import StoppingError, Waiting, first_of
from agent.message import Answer, Message
from agent.outcome import Misdirected, Outcome, Refused, Retry
from agent.request import Request, Unaddressed, build
from agent.target import attempt

Tried: TypeAlias = "tuple[Request, Outcome]"


class Trying:
    """The attempts of one lane, one at a time."""

    def __init__(self, job: str, house: House, waiting: Waiting) -> None:
        self.following: Message | None = None
        """The message behind the one in hand."""
        self._job = job
        self._house = house
        self._waiting = waiting
        self._ahead = PlainAhead()

    async def attempt(self, way: Way, message: Message) -> Tried | None:
        """None: the way has changed before anything was sent. Raises NotSignedIn."""
        connection = way.connection
        if not connection.gate.try_enter() and not await self._enter(connection):
            return None
        try:
            if self._waiting.stopping:
                raise StoppingError
            signed = await connection.sign()
            if self._house.way_of(self._job) is not way or is_late(message, way, self._house.clock.now()):
                return None
            try:
                request = build(way.route, message, key=message.key, signature=signed.headers)
            except ValueError as error:
                return self._unsendable(way, message, error)
            self._waiting.busy = True
            plain = self._ahead.take(message)
            self._ahead.begin(self.following, way)
            return request, await self._timed(way, request, signed.generation, plain)
        finally:
            connection.leave()

    async def _enter(self, connection: OpenConnection) -> bool:
        """Wait at the gate; False when the way changed first."""
        entering = asyncio.ensure_future(connection.gate.enter())
        try:
            await first_of(asyncio.shield(entering), self._waiting.changed.wait())
            if entering.done():
                entering.result()
                return True
        except asyncio.CancelledError:
            await self._call_back(entering, connection)
            raise
        await self._call_back(entering, connection)
        return False

    async def _call_back(self, entering: asyncio.Task[None], connection: OpenConnection) -> None:
        entering.cancel()
        await asyncio.wait({entering})
        if not entering.cancelled() and entering.exception() is None:
            connection.leave()  # it got in at the very moment in which it was called back

    async def _timed(
        self, way: Way, request: Request, generation: int, plain: Awaitable[bytes] | None
    ) -> Outcome:
        house, connection = self._house, way.connection
        began = house.clock.monotonic()
        house.tally.in_flight += 1
        try:
            outcome = await attempt(
                connection.client,
                request,
                terms=way.terms,
                generation=generation,
                now=house.clock.now,
                plain=None if request.gzip else plain,
            )
        finally:
            house.tally.in_flight -= 1
        house.tally.attempt(self._job, outcome, house.clock.monotonic() - began)
        if outcome.answer.status is None:
            connection.silent(outcome.answer.reason)
        else:
            connection.answered()
        if isinstance(outcome, Retry) and outcome.after is not None:
            connection.gate.pause(outcome.after)
        return outcome

    def _unsendable(self, way: Way, message: Message, error: ValueError) -> Tried:
        answer = Answer(status=None, reason=str(error))
        request = unsendable(message, method=way.route.target.method, url=way.route.url)
        kind = Misdirected if isinstance(error, Unaddressed) else Refused
        return request, kind(answer=answer)
