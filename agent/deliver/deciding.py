"""What an attempt came to, and what follows from it: ack, wait or dead letter.

Delivered     ack
Refused       bury (the seam for splitting a batch)
Unauthorized  tell the session, once; resend
Retry         note, back off
Misdirected   note, probe slowly; or bury
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from agent.deliver.house import House, Way
from agent.deliver.letters import letter_of, receipt_of
from agent.deliver.trying import Tried
from agent.deliver.waiting import StoppingError, Waiting
from agent.errors import NotSignedIn
from agent.logs import get_log
from agent.message import Answer, Message
from agent.outcome import Delivered, Misdirected, Refused, Retry, Unauthorized
from agent.pacing import backoff, probe_after, verdict_of
from agent.request import Request

log = get_log("deliver")

TRUST_AGAIN = 900.0
"""Seconds: a lane whose target refused a new token does not ask for another one before this. The target's
fault must not become a storm of refreshes, nor cost the other lanes a token that works for them."""


class Deciding:
    """The policy of one lane, and what it remembers of the message in hand."""

    def __init__(self, job: str, house: House, waiting: Waiting) -> None:
        self.failures = 0
        """Of the message in hand, in this process."""
        self.mishaps = 0
        """Of the agent itself, in a row."""
        self._told = False
        """The session was told of a 401 to the message in hand."""
        self._doubted = False
        """The target refused a new token: not every 401 is the session's matter."""
        self._job = job
        self._house = house
        self._waiting = waiting

    def begin(self) -> None:
        """Another message is in hand."""
        self.failures = 0
        self._told = False

    async def decide(self, way: Way, message: Message, tried: Tried) -> bool:
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
                wait = probe_after(self.failures, random)
                await self._rest("misdirected", answer.reason, wait, message)
            case Retry():
                await self._failed(message)
                await self._again(way, message, outcome)
            case Unauthorized(answer=answer, generation=generation):
                await self._unauthorized(way, message, answer, generation)
        return False

    async def _ack(self, message: Message, request: Request, answer: Answer) -> None:
        house = self._house
        receipt = receipt_of(message, request, answer, at=house.clock.now(), failures=self.failures)
        await self._waiting.store(lambda: house.spool.ack(message, receipt), attempts=receipt.attempts)
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
            message, request, answer, reason=reason, at=house.clock.now(), failures=self.failures
        )
        await self._waiting.store(lambda: house.spool.bury(message, letter), attempts=letter.attempts)
        if message.file is not None:
            house.settled()
        log.warning(reason, job=self._job, key=message.key, origin=message.origin, answer=answer.reason)

    async def _failed(self, message: Message) -> None:
        self.failures += 1
        await self._house.spool.note_attempt(message.id)

    async def _again(self, way: Way, message: Message, outcome: Retry) -> None:
        """Back off; where the host is away its circuit tells when to try, not this lane."""
        after, random = outcome.after, self._house.random
        away = verdict_of(outcome).absent
        if away and way.door.circuit.open:
            return  # to the gate, where it is seen to wait
        wait = backoff(self.failures, random)
        if after is not None:  # a lower limit: "0" for ever must not become a hot loop
            wait = max(wait, after + random() * min(1.0, after / 10))
        kind = "network" if outcome.answer.status is None else "retry"
        until = way.door.moved() if away else None
        await self._rest(kind, outcome.answer.reason, wait, message, until=until)

    async def _unauthorized(self, way: Way, message: Message, answer: Answer, generation: int) -> None:
        """The session is told once; a second 401, or one to a token still new, makes the lane wait."""
        self._waiting.busy = False
        if self._waiting.stopping:
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
        self.mishaps += 1  # not an attempt, but each wait is longer than the last
        await self._rest("unauthorized", answer.reason, backoff(self.mishaps, self._house.random), message)

    async def _rest(
        self,
        kind: str,
        reason: str,
        seconds: float,
        message: Message,
        *,
        until: Coroutine[Any, Any, None] | None = None,
    ) -> None:
        attempts = message.attempts + self.failures
        await self._waiting.rest(kind, reason, seconds, attempts=attempts, until=until)
