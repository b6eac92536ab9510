"""One attempt of a lane: through the gate, signed, built, sent. What it came to is decided elsewhere.

gate ─▶ sign ─▶ build ─▶ attempt ─▶ (Request, Outcome)
  └─ the way changed, the message is too old by now, or a newer one may be there: None, nothing was sent
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeAlias

from agent.deliver.ahead import Ahead, Begun
from agent.deliver.expiry import is_late
from agent.deliver.house import House, Way
from agent.deliver.letters import unsendable
from agent.deliver.waiting import StoppingError, Waiting, first_of
from agent.message import Answer, Message
from agent.outcome import Misdirected, Outcome, Refused
from agent.request import Request, Unaddressed, build
from agent.target import attempt

LOOK_AGAIN = 300.0
"""Seconds after which a message that can expire is looked at again while it waits at the gate."""

Tried: TypeAlias = "tuple[Request, Outcome]"


class Trying:
    """The attempts of one lane, one at a time."""

    def __init__(self, job: str, lane: int, house: House, waiting: Waiting) -> None:
        self.following: Message | None = None
        """The message behind the one in hand."""
        self._job = job
        self._who = (job, lane)
        self._house = house
        self._waiting = waiting
        self._ahead = Ahead()

    async def attempt(self, way: Way, message: Message) -> Tried | None:
        """None: the way has changed before anything was sent. Raises NotSignedIn."""
        connection = way.connection
        if not connection.try_enter(way.door, self._who) and not await self._enter(way):
            return None
        try:
            if self._waiting.stopping:
                raise StoppingError
            signed = await connection.sign()
            if self._house.way_of(self._job) is not way or is_late(message, way, self._house.clock.now()):
                return None
            if self._waiting.look_again and way.delivery.latest_by is not None:
                return None
            begun = self._ahead.take(message, way, signed)
            request = begun.request
            if request is None:
                try:
                    request = build(way.route, message, key=message.key, signature=signed.headers)
                except ValueError as error:
                    return self._unsendable(way, message, error)
            self._waiting.busy = True
            self._ahead.begin(self.following, way, signed)
            return request, await self._timed(way, request, signed.generation, begun)
        finally:
            connection.leave(way.door)

    async def _enter(self, way: Way) -> bool:
        """Wait at the gate, seen where it is shut. False: the way changed first, or it is time to look."""
        connection, house = way.connection, self._house
        turn = connection.gate.ask(way.door, self._job, self._who)
        try:
            if not turn.granted:
                await self._waiting.stand(lambda: connection.block(way.door))
                waits: list[Awaitable[object]] = [turn.future, self._waiting.changed.wait()]
                if way.delivery.expire is not None:  # what grows too old here is not to be kept for days
                    waits.append(house.clock.sleep(LOOK_AGAIN))
                await first_of(*waits)
            if connection.entered(turn):
                return True
        except BaseException:
            connection.gate.withdraw(turn)
            raise
        finally:
            self._waiting.passed()
        connection.gate.withdraw(turn)
        return False

    async def _timed(self, way: Way, request: Request, generation: int, begun: Begun) -> Outcome:
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
                ready=begun.ready,
                plain=None if request.gzip else begun.plain,
                heed=connection.heed,
            )
        finally:
            house.tally.in_flight -= 1
        ended = house.clock.monotonic()
        house.tally.attempt(self._job, outcome, ended - began)
        connection.report(way.door, self._who, outcome, began, ended)
        return outcome

    def _unsendable(self, way: Way, message: Message, error: ValueError) -> Tried:
        answer = Answer(status=None, reason=str(error))
        request = unsendable(message, method=way.route.target.method, url=way.route.url)
        kind = Misdirected if isinstance(error, Unaddressed) else Refused
        return request, kind(answer=answer)
