"""The spool's methods for messages that are taken apart where they lie."""

from __future__ import annotations

from collections.abc import Sequence

from agent.message import DeadLetter, Message, Receipt
from agent.spool import memory, settle
from agent.spool.desk import Desk
from agent.spool.pending import Pending
from agent.spool.values import Fit, Left


class PartsApi(Desk):
    """A part of `Spool`."""

    def part(
        self,
        message: Message,
        left: Left,
        *,
        receipts: Sequence[Receipt] = (),
        letters: Sequence[DeadLetter] = (),
    ) -> Pending[None]:
        """Some records of a message become these, and `left` stays of it where it lies: in one step.

        Durable with dead letters, and where `left` says so. Again from the same `message.progress`: no
        effect.
        """
        got, dead = tuple(receipts), tuple(letters)
        weight = sum(len(letter.body) for letter in dead)
        return self._thread.submit(
            lambda db: settle.part(db, message, left, got, dead),
            durable=bool(dead) or left.durable,
            weight=weight,
        )

    def fits(self) -> Pending[dict[str, Fit]]:
        """The size of body that the target of each job was found to take; of most there is none."""
        return self._read(memory.fits_all)

    def set_fit(self, fit: Fit) -> Pending[None]:
        """Remember it."""
        return self._write(lambda db: memory.set_fit(db, fit))

    def drop_fit(self, job: str) -> Pending[None]:
        """Forget it."""
        return self._write(lambda db: memory.drop_fit(db, job))
