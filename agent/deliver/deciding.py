"""What an attempt came to, and what follows from it: ack, wait, split or dead letter.

Delivered     ack
Refused       split in halves; one record: bury; `on_refusal: stop`: note, probe slowly
Unauthorized  tell the session, once; resend
Retry         note, back off
Misdirected   note, probe slowly; or bury
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

from agent.deliver.by_record import became
from agent.deliver.hand import Hand
from agent.deliver.house import House, Way
from agent.deliver.leaving import Leaving
from agent.deliver.letters import letter_of, receipt_of
from agent.deliver.replies import UnreadableReplyError
from agent.deliver.trying import Tried
from agent.deliver.waiting import StoppingError, Waiting
from agent.errors import NotSignedIn
from agent.logs import get_log
from agent.message import Answer, DeadLetter, Message, Receipt
from agent.outcome import Delivered, Misdirected, Refused, Retry, Unauthorized
from agent.pacing import backoff, probe_after, verdict_of
from agent.parts import Piece
from agent.request import Request

log = get_log("deliver")

TRUST_AGAIN = 900.0
"""Seconds: a lane whose target refused a new token does not ask for another one before this. The target's
fault must not become a storm of refreshes, nor cost the other lanes a token that works for them."""
TOO_LARGE = 413
_WORDS = 200
"""Characters of a refusal that a wait tells."""


class Deciding:
    """The policy of one lane, and what it remembers of the message in hand."""

    def __init__(self, job: str, house: House, waiting: Waiting) -> None:
        self.failures = 0
        """Of the part in hand, in this process."""
        self.mishaps = 0
        """Of the agent itself, in a row."""
        self._told = False
        """The session was told of a 401 to the part in hand."""
        self._doubted = False
        """The target refused a new token: not every 401 is the session's matter."""
        self._job = job
        self._house = house
        self._waiting = waiting
        self._leaving = Leaving(job, house, waiting)

    def begin(self) -> None:
        """Another message is in hand, or another part of it."""
        self.failures = 0
        self._told = False

    async def decide(self, way: Way, hand: Hand, tried: Tried) -> bool:
        """True when the message has left the spool. The whole policy of delivery is this `match`."""
        request, outcome = tried
        random = self._house.random
        match outcome:
            case Delivered(answer=answer, said=said) if way.route.target.reply is not None:
                return await self._by_record(way, hand, request, answer, said)
            case Delivered(answer=answer):
                return await self._ack(hand, request, answer)
            case Refused(answer=answer):
                return await self._refused(way, hand, request, answer)
            case Misdirected(answer=answer) if way.delivery.on_misdirected == "dead_letter":
                return await self._bury(hand, request, answer, "misdirected")
            case Misdirected(answer=answer):
                await self._failed(hand)
                wait = probe_after(self.failures, random)
                await self._rest("misdirected", answer.reason, wait, hand)
            case Retry():
                await self._failed(hand)
                await self._again(way, hand, outcome)
            case Unauthorized(answer=answer, generation=generation):
                await self._unauthorized(way, hand, answer, generation)
        return False

    # ------------------------------------------------------------------ what leaves

    async def _ack(self, hand: Hand, request: Request, answer: Answer) -> bool:
        house, part = self._house, hand.part
        receipt = receipt_of(part, request, answer, at=house.clock.now(), failures=self.failures)
        self._doubted = False
        gone = await self._leave(hand, receipts=(receipt,))
        house.tally.delivered(part)
        if part.records > 1:
            await house.fits.delivered(self._job, part.size)
        return gone

    async def _by_record(
        self, way: Way, hand: Hand, request: Request, answer: Answer, said: bytes | None
    ) -> bool:
        """Each record has an outcome of its own."""
        house, failures, reply = self._house, self.failures, way.route.target.reply
        assert reply is not None
        try:
            found = await became(
                reply,
                hand,
                request,
                answer,
                said,
                at=house.clock.now(),
                failures=failures,
                hold=way.delivery.on_refusal == "stop",
            )
        except UnreadableReplyError as error:
            if reply.unreadable == "delivered":
                log.warning("taken for delivered", job=self._job, key=hand.part.key, reason=str(error))
                return await self._ack(hand, request, answer)
            # As ambiguous as an answer that broke off: the same again, but slowly, since a person is needed.
            await self._failed(hand)
            reason = f"{answer.reason}, but {error}"
            await self._rest("reply", reason, probe_after(self.failures, house.random), hand)
            return False
        if found.letters:
            self._leaving.tell(hand, found.letters[0].answer)
        self._doubted, gone, before = False, False, hand.message.attempts
        if found.receipts or found.letters:
            gone = await self._leave(hand, receipts=found.receipts, letters=found.letters, again=found.again)
            for one in found.receipts:
                house.tally.delivered(hand.part, records=one.records, size=one.size)
                if one.records > 1:
                    await house.fits.delivered(self._job, hand.part.size)
            if found.again:  # the row counts this attempt already
                hand.message = replace(hand.message, attempts=before)
                self.failures = failures + 1
        else:
            await self._failed(hand)
        if found.again:
            wait = (probe_after if found.held else backoff)(self.failures, house.random)
            await self._rest("refused" if found.held else "retry", found.why, wait, hand)
        return gone

    async def _bury(self, hand: Hand, request: Request, answer: Answer, reason: str) -> bool:
        letter = self._letter(hand.part, request, answer, reason)
        gone = await self._leave(hand, letters=(letter,))
        if not hand.told:
            part = hand.part
            log.warning(reason, job=self._job, key=part.key, origin=part.origin, answer=answer.reason)
        return gone

    def _letter(self, part: Message, request: Request, answer: Answer, reason: str) -> DeadLetter:
        at = self._house.clock.now()
        return letter_of(part, request, answer, reason=reason, at=at, failures=self.failures)

    async def _leave(
        self,
        hand: Hand,
        *,
        receipts: Sequence[Receipt] = (),
        letters: Sequence[DeadLetter] = (),
        again: Piece = (),
    ) -> bool:
        """The part becomes these, but for `again`. True when nothing of the message is left."""
        gone = await self._leaving.leave(hand, receipts, letters, again, failures=self.failures)
        if not gone:
            self._another_part()
        return gone

    def _another_part(self) -> None:
        self.begin()
        self.mishaps = 0

    # ------------------------------------------------------------------ what is refused

    async def _refused(self, way: Way, hand: Hand, request: Request, answer: Answer) -> bool:
        """A batch is split until the bad records stand alone; what cannot be split is set aside, or waits."""
        # Without a status it never left: no part of it would either.
        splits = answer.status is not None and await hand.divisible()
        too_large = splits and answer.status == TOO_LARGE
        if way.delivery.on_refusal == "stop" and not too_large:
            await self._failed(hand)
            await self._rest("refused", _told(answer), probe_after(self.failures, self._house.random), hand)
            return False
        if not splits:
            return await self._bury(hand, request, answer, "refused")
        self._leaving.tell(hand, answer)
        both, half = hand.halves()
        left = hand.instead(*both)
        if too_large:
            left = hand.fitting(await self._house.fits.refused(self._job, hand.part.size, half=half))
        assert left is not None
        await self._leaving.step(hand, left)
        self._another_part()
        return False

    async def fit(self, hand: Hand) -> None:
        """A message that is larger than what its target takes is cut before it is sent.

        Not one that may have been sent already: its parts have other keys. So neither one that failed, nor
        the first that a lane has in hand since the start: the last process may have died over it. Nor a dead
        letter that is sent again.
        """
        message, fits = hand.message, self._house.fits
        if not message.form or hand.progress is not None or message.attempts or self.failures:
            return
        if message.place is not None:
            return
        if (message.job, message.lane) not in fits.begun:
            return
        most = await fits.most(self._job)
        if most is not None and message.size > most and await hand.divisible():
            # Stored before anything of it is sent: a piece is one for ever.
            await self._leaving.step(hand, hand.fitting(most))
            self._another_part()

    # ------------------------------------------------------------------ what waits

    async def _failed(self, hand: Hand) -> None:
        self.failures += 1
        await self._house.spool.note_attempt(hand.message.id)

    async def _again(self, way: Way, hand: Hand, outcome: Retry) -> None:
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
        await self._rest(kind, outcome.answer.reason, wait, hand, until=until)

    async def _unauthorized(self, way: Way, hand: Hand, answer: Answer, generation: int) -> None:
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
        await self._rest("unauthorized", answer.reason, backoff(self.mishaps, self._house.random), hand)

    async def _rest(
        self,
        kind: str,
        reason: str,
        seconds: float,
        hand: Hand,
        *,
        until: Coroutine[Any, Any, None] | None = None,
    ) -> None:
        attempts = hand.part.attempts + self.failures
        await self._waiting.rest(kind, reason, seconds, attempts=attempts, until=until)


def _told(answer: Answer) -> str:
    """A refusal in one line."""
    words = " ".join(answer.body.split())
    return f"{answer.reason}: {words[:_WORDS]}" if words else answer.reason
