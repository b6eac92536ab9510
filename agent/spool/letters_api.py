"""Dead letters, as `Spool` shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.message import DeadLetter
from agent.spool import revive, settle
from agent.spool.database import Database
from agent.spool.desk import Desk
from agent.spool.pending import Pending
from agent.spool.quota import ROW_BYTES, Quota
from agent.spool.revive import Revived


class LettersApi(Desk):
    """What is done with dead letters: nothing but this removes one, and nothing does so by itself."""

    _quota: Quota

    def add_dead(self, letter: DeadLetter) -> Pending[int]:
        """A record that never became a message; the letter's id."""
        return self._durably(lambda db: settle.add_dead(db, letter), weight=len(letter.body))

    def revive(self, letter_id: int) -> Pending[str]:
        """A dead letter back into its lane, at the end, with its old key; the job. Raises LookupError."""
        return self._durably(lambda db: revive.revive(db, letter_id, self._clock.now()))

    def revive_all(self, letter_ids: Sequence[int], *, weight: int = 0) -> Pending[Revived]:
        """Some of them, in this order, in one transaction. An ack waits as long: give some hundreds at once.

        `weight`: bytes of their bodies, roughly.
        """
        ids = tuple(letter_ids)
        return self._durably(lambda db: revive.revive_all(db, ids, self._clock.now()), weight=weight)

    def drop_dead(self, letter_id: int) -> Pending[None]:
        """Forget a dead letter, by a person's wish. Raises LookupError."""
        return self._durably(lambda db: revive.drop(db, letter_id))

    def drop_all(self, letter_ids: Sequence[int]) -> Pending[Mapping[str, int]]:
        """Forget some of them, in one transaction; how many of each job."""
        ids = tuple(letter_ids)
        return self._durably(lambda db: revive.drop_all(db, ids))

    def edit_letter(self, letter_id: int, body: bytes, *, size: int, records: int, was: str) -> Pending[str]:
        """Another body (gzipped; `size` before that) for the one whose SHA-256 is `was`; its new key.

        Raises LookupError, SpoolFull.
        """

        def work(db: Database) -> str:
            # What it was is kept beside it, and the reserve is for acks.
            with self._quota.appending(db, len(body) + ROW_BYTES):
                return revive.edit(db, letter_id, body, size, records, was, self._clock.now())

        return self._durably(work, weight=len(body))

    def undo_edit(self, letter_id: int) -> Pending[str]:
        """A letter as it died; its key. Raises LookupError."""
        return self._durably(lambda db: revive.undo(db, letter_id))
