"""How a part of a message leaves, or a message whole; and what stays of it, in the same step."""

from __future__ import annotations

from collections.abc import Sequence

from agent.deliver.hand import Hand
from agent.deliver.house import House
from agent.deliver.waiting import Waiting
from agent.logs import get_log
from agent.message import Answer, DeadLetter, Receipt
from agent.parts import Piece
from agent.spool import Left

log = get_log("deliver")


class Leaving:
    """Of one lane."""

    def __init__(self, job: str, house: House, waiting: Waiting) -> None:
        self._job = job
        self._house = house
        self._waiting = waiting

    async def leave(
        self,
        hand: Hand,
        receipts: Sequence[Receipt],
        letters: Sequence[DeadLetter],
        again: Piece,
        *,
        failures: int,
    ) -> bool:
        """The part becomes these, but for `again`. True when nothing of the message is left."""
        spool, message = self._house.spool, hand.message
        attempts = hand.part.attempts + failures + 1
        hand.delivered += sum(one.records for one in receipts)
        hand.dead += len(letters)
        whole = hand.progress is None and not again
        left = None if whole else hand.instead(again, attempts=attempts if again else 0)
        if left is not None:
            await self.step(hand, left, receipts, letters, attempts=attempts)
        elif letters or len(receipts) > 1:
            await self._waiting.store(
                lambda: spool.settle(message, receipts=receipts, letters=letters), attempts=attempts
            )
        else:
            await self._waiting.store(lambda: spool.ack(message, receipts[0]), attempts=attempts)
        if message.file is not None:
            self._house.settled()
        self._house.fits.begun.add((message.job, message.lane))
        if left is None and hand.told:
            log.info(
                "a batch that was taken apart is done",
                job=self._job,
                key=message.key,
                origin=message.origin,
                delivered_records=hand.delivered,
                dead_letters=hand.dead,
            )
        return left is None

    async def step(
        self,
        hand: Hand,
        left: Left,
        receipts: Sequence[Receipt] = (),
        letters: Sequence[DeadLetter] = (),
        *,
        attempts: int = 1,
    ) -> None:
        """Something of the message stays. Stored before anything else is sent: a piece is one for ever."""
        spool, message = self._house.spool, hand.message
        await self._waiting.store(
            lambda: spool.part(message, left, receipts=receipts, letters=letters), attempts=attempts
        )
        hand.became(left)
        self._waiting.busy = False
        await self._waiting.over()

    def tell(self, hand: Hand, answer: Answer) -> None:
        """That something of it is refused: once for a message."""
        part = hand.part
        if hand.told:
            return
        if part.records == 1:
            log.warning("refused", job=self._job, key=part.key, origin=part.origin, answer=answer.reason)
            return
        hand.told = True
        self._house.tally.split(self._job)
        log.warning(
            "a batch is refused, or some of it, and taken apart",
            job=self._job,
            key=part.key,
            origin=part.origin,
            records=part.records,
            answer=answer.reason,
        )
