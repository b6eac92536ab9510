"""One lane: the oldest message, an attempt, then ack, wait or dead letter; then the next.

    oldest ─▶ gate ─▶ sign ─▶ attempt ─▶ match outcome
      ▲                                    Delivered     ack
      │                                    Refused       bury (the seam for splitting a batch)
      │                                    Unauthorized  tell the session, once; resend
      │                                    Retry         note, back off
      │                                    Misdirected   note, probe slowly; or bury
      │                                    too old       bury, before it is sent (`expire`)
      └──────── one message at a time ─────┘

A message leaves only when its ack is committed, and only then the lane's next one is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from agent.connections import OpenConnection
from agent.deliver.ahead import PlainAhead
from agent.deliver.expiry import is_late, timely
from agent.deliver.house import House, Way
from agent.deliver.letters import letter_of, receipt_of, unsendable
from agent.deliver.waiting import StoppingError, Waiting, first_of
from agent.errors import AgentError, NotSignedIn
from agent.logs import get_log
from agent.message import Answer, Message, lane_number
from agent.outcome import Delivered, Misdirected, Outcome, Refused, Retry, Unauthorized
from agent.pacing import backoff, probe_after
from agent.request import Request, Unaddressed, build
from agent.target import attempt

log = get_log("deliver")

WINDOW = 64
"""Messages that a lane holds in hand."""
WINDOW_BYTES = 8_000_000
TRUST_AGAIN = 900.0
"""Seconds: a lane whose target refused a new token does not ask for another one before this. The target's
fault must not become a storm of refreshes, nor cost the other lanes a token that works for them."""
SESSION_WAIT = 60.0
"""Seconds before a session that named no time is asked again; a change of it is noticed at once."""

Tried: TypeAlias = "tuple[Request, Outcome]"


class Lane:
    """Runs as one task, as long as there is something to send."""

    def __init__(self, job: str, number: int, house: House, *, gone: Callable[[Lane], None]) -> None:
        self.job = job
        self.number = number
        self.woken = True
        """Something may have been appended since the spool was last asked."""
        self.waiting = Waiting(job, number, house)
        self._house = house
        self._gone = gone
        self._following: Message | None = None
        """The message behind the one in hand."""
        self._ahead = PlainAhead()
        self._failures = 0
        """Of the message in hand, in this process."""
        self._mishaps = 0
        """Of the agent itself, in a row."""
        self._told = False
        """The session was told of a 401 to the message in hand."""
        self._doubted = False
        """The target refused a new token: not every 401 is the session's matter."""

    async def run(self) -> None:
        """Send until nothing is left. A bug stops neither the lane nor the daemon, and loses nothing."""
        try:
            while await self._guarded():
                pass
        except StoppingError:
            return

    async def _guarded(self) -> bool:
        kind = "error"
        try:
            return await self._send_window()
        except StoppingError:
            raise
        except AgentError as error:
            kind, reason = "spool", error.message
        except Exception as error:  # noqa: BLE001 - the boundary: the messages are in the spool, whatever it is
            reason = type(error).__name__
            log.bug("a lane met a bug and goes on", error, job=self.job, lane=lane_number(self.number))
        self._mishaps += 1
        await self.waiting.rest(kind, reason, backoff(self._mishaps, self._house.random))
        return True

    async def _send_window(self) -> bool:
        """Send what the spool gives now; False when it gave nothing and nothing was appended meanwhile."""
        self.woken = False
        spool = self._house.spool
        window = await spool.oldest(self.job, self.number, limit=WINDOW, max_bytes=WINDOW_BYTES)
        found = await timely(window, self._house.way_of(self.job), self._house, self.waiting)
        for place, message in enumerate(found, 1):
            self._following = found[place] if place < len(found) else None
            self._failures = 0
            self._told = False
            await self._send(message)
            self._mishaps = 0
            self.waiting.busy = False
            if self.waiting.stopping:
                raise StoppingError
        if not window and not self.woken:
            # In the same step as the look at `woken`: a wake that comes later makes a new lane.
            self._gone(self)
            return False
        return True

    async def _send(self, message: Message) -> None:
        """Until the message is delivered or buried, however long that takes."""
        while True:
            way = await self._way()
            if not await timely([message], way, self._house, self.waiting, failures=self._failures):
                return
            try:
                tried = await self._attempt(way, message)
                if tried is not None and await self._decide(way, message, tried):
                    await self.waiting.over()
                    return
            except NotSignedIn as error:
                seconds = SESSION_WAIT if error.retry_after is None else max(error.retry_after, 0.1)
                change = way.connection.session.changed()
                await self.waiting.rest("session", error.message, seconds, until=change)

    async def _way(self) -> Way:
        while True:
            self.waiting.changed.clear()
            way = self._house.way_of(self.job)
            if way is not None:
                return way
            await self.waiting.rest("no route", f"there is no job {self.job} to say where it goes", None)

    # ------------------------------------------------------------------ one attempt

    async def _attempt(self, way: Way, message: Message) -> Tried | None:
        """None: the way has changed before anything was sent. Raises NotSignedIn."""
        connection = way.connection
        if not connection.gate.try_enter() and not await self._enter(connection):
            return None
        try:
            if self.waiting.stopping:
                raise StoppingError
            signed = await connection.sign()
            if self._house.way_of(self.job) is not way or is_late(message, way, self._house.clock.now()):
                return None
            try:
                request = build(way.route, message, key=message.key, signature=signed.headers)
            except ValueError as error:
                return self._unsendable(way, message, error)
            self.waiting.busy = True
            plain = self._ahead.take(message)
            self._ahead.begin(self._following, way)
            return request, await self._timed(way, request, signed.generation, plain)
        finally:
            connection.leave()

    async def _enter(self, connection: OpenConnection) -> bool:
        """Wait at the gate; False when the way changed first."""
        entering = asyncio.ensure_future(connection.gate.enter())
        try:
            await first_of(asyncio.shield(entering), self.waiting.changed.wait())
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
        house.tally.attempt(self.job, outcome, house.clock.monotonic() - began)
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

    # ------------------------------------------------------------------ what it came to

    async def _decide(self, way: Way, message: Message, tried: Tried) -> bool:
        """True when the message has left the spool. The whole policy of delivery is this `match`."""
        request, outcome = tried
        random = self._house.random
        match outcome:
            case Delivered(answer=answer):
                await self._ack(message, request, answer)
                return True
            case Refused(answer=answer):
                await self._refused(way, message, request, answer)
                return True
            case Misdirected(answer=answer) if way.delivery.on_misdirected == "dead_letter":
                await self._bury(message, request, answer, "misdirected")
                return True
            case Misdirected(answer=answer):
                await self._failed(message)
                wait = probe_after(self._failures, random)
                await self._rest("misdirected", answer.reason, wait, message)
            case Retry(answer=answer, after=after):
                await self._failed(message)
                wait = backoff(self._failures, random)
                if after is not None:  # a lower limit: "0" for ever must not become a hot loop
                    wait = max(wait, after + random() * min(1.0, after / 10))
                await self._rest(
                    "network" if answer.status is None else "retry", answer.reason, wait, message
                )
            case Unauthorized(answer=answer, generation=generation):
                await self._unauthorized(way, message, answer, generation)
        return False

    async def _ack(self, message: Message, request: Request, answer: Answer) -> None:
        house = self._house
        receipt = receipt_of(message, request, answer, at=house.clock.now(), failures=self._failures)
        await self.waiting.store(lambda: house.spool.ack(message, receipt), attempts=receipt.attempts)
        self._doubted = False
        house.tally.delivered(message)
        if message.file is not None:
            house.settled()

    async def _refused(self, way: Way, message: Message, request: Request, answer: Answer) -> None:
        """The seam: a batch will be split here, by what `way` says, until the bad records stand alone."""
        del way
        await self._bury(message, request, answer, "refused")

    async def _bury(self, message: Message, request: Request, answer: Answer, reason: str) -> None:
        house = self._house
        letter = letter_of(
            message, request, answer, reason=reason, at=house.clock.now(), failures=self._failures
        )
        await self.waiting.store(lambda: house.spool.bury(message, letter), attempts=letter.attempts)
        if message.file is not None:
            house.settled()
        log.warning(reason, job=self.job, key=message.key, origin=message.origin, answer=answer.reason)

    async def _failed(self, message: Message) -> None:
        self._failures += 1
        await self._house.spool.note_attempt(message.id)

    async def _unauthorized(self, way: Way, message: Message, answer: Answer, generation: int) -> None:
        """The session is told once; a second 401, or one to a token still new, makes the lane wait."""
        self.waiting.busy = False
        if self.waiting.stopping:
            raise StoppingError
        connection = way.connection
        in_vain = self._doubted and connection.token_age(generation) < TRUST_AGAIN
        if not self._told and not in_vain:
            self._told = True
            try:
                await connection.session.rejected(generation)
            except NotSignedIn as error:
                if ": " not in answer.reason:  # it did not say why
                    raise
                text = f"{error.message} (the target: {answer.reason})"
                raise NotSignedIn(text, hint=error.hint, retry_after=error.retry_after) from None
            return
        self._doubted, self._told = True, False
        self._mishaps += 1  # not an attempt, but each wait is longer than the last
        await self._rest("unauthorized", answer.reason, backoff(self._mishaps, self._house.random), message)

    async def _rest(self, kind: str, reason: str, seconds: float, message: Message) -> None:
        await self.waiting.rest(kind, reason, seconds, attempts=message.attempts + self._failures)
