"""Messages that were delivered and still lie in the queue: what acks leave to be done, for a moment.

An ack writes its receipt, which says by the id whose message it is; with that it is done. The message itself
and what it is counted in go a little later, many at once: 3 pages of the database instead of 9 for each.
Nobody sees the difference. Lanes are not given what is owed, all else that is done pays first, a start finds
what a kill has left (see `paying`), and who looks from outside looks through views (see `views`).

    ack → receipt COMMIT · ack → receipt COMMIT · … · (pay: messages leave, counters change) COMMIT
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

ENOUGH = 64
"""Messages after which all is paid as soon as nobody waits for it."""
MOST = 128
"""No more are ever owed when a transaction ends: a start, and who is outside, looks at so many receipts."""
MOST_BYTES = 8_000_000
"""The same of their bodies, as they lie in the spool."""


class Debt(NamedTuple):
    """What leaves with one message."""

    job: str
    file: int | None
    records: int
    size: int
    good: int
    """Records of its receipt."""
    receipt: int
    """The receipt's id."""
    weight: int
    """Bytes of its body."""


class Owed:
    """Message ids and their debts, of a connection. Goes back with a transaction that is undone."""

    def __init__(self) -> None:
        self._debts: dict[int, Debt] = {}
        self._weight = 0
        self._before: tuple[dict[int, Debt], int] | None = None

    def __contains__(self, message: int) -> bool:
        return message in self._debts

    def has_all(self, ids: Iterable[tuple[int]]) -> bool:
        """Whether all of these rows are owed; they are read up to the first that is not."""
        return all(message in self._debts for (message,) in ids)

    def __len__(self) -> int:
        return len(self._debts)

    def __iter__(self) -> Iterator[tuple[int, Debt]]:
        """In the order of their receipts."""
        return iter(self._debts.items())

    @property
    def is_enough(self) -> bool:
        """It is worth the while to pay."""
        return len(self._debts) >= ENOUGH or self.is_heavy

    @property
    def is_heavy(self) -> bool:
        """Their room is wanted."""
        return self._weight >= MOST_BYTES

    @property
    def is_most(self) -> bool:
        """It has to be paid in this very transaction."""
        return len(self._debts) > MOST

    def add(self, message: int, debt: Debt) -> None:
        """One message more."""
        self._debts[message] = debt
        self._weight += debt.weight

    def clear(self) -> None:
        """All of it is paid."""
        self._debts, self._weight = {}, 0

    # ------------------------------------------------------------------ with the transaction

    def begin(self) -> None:
        """From here on it may have to go back."""
        self._before = self._debts.copy(), self._weight

    def keep(self) -> None:
        """It is as durable as the transaction."""
        self._before = None

    def undo(self) -> None:
        """As it was when the transaction began; without one, as it is."""
        if self._before is not None:
            (self._debts, self._weight), self._before = self._before, None
