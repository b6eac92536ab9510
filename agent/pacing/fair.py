"""Whose turn it is: one job after the other, and within a job one lane after the other.

    jobs     A ─▶ B ─▶ C ─▶ back to A      a job that was served goes to the end
             │    │
    lanes    1    7                        a lane that was served comes again behind the job's others
             2

So a job that has one message waits for one turn of each other job, however many those have. Every step costs
the same for one waiter and for a hundred thousand.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class _Job(Generic[T]):
    __slots__ = ("place", "waiters")

    def __init__(self, place: int) -> None:
        self.place = place
        self.waiters: OrderedDict[T, None] = OrderedDict()


class Turns(Generic[T]):
    """Those who stand at one door."""

    def __init__(self, place: Callable[[], int]) -> None:
        """`place` gives growing numbers, the same row of them to all doors of a gate."""
        self.count = 0
        self._place = place
        self._jobs: OrderedDict[str, _Job[T]] = OrderedDict()

    @property
    def first(self) -> int:
        """The number of whose turn it is; only when somebody waits. The lowest of all doors comes first."""
        return next(iter(self._jobs.values())).place

    def add(self, job: str, waiter: T) -> None:
        """Stand behind the others."""
        queue = self._jobs.get(job)
        if queue is None:
            queue = self._jobs[job] = _Job(self._place())
        queue.waiters[waiter] = None
        self.count += 1

    def take(self) -> T:
        """The next one leaves the row. Raises StopIteration when nobody waits."""
        job, queue = next(iter(self._jobs.items()))
        waiter, _ = queue.waiters.popitem(last=False)
        self.count -= 1
        if queue.waiters:
            queue.place = self._place()
            self._jobs.move_to_end(job)
        else:
            del self._jobs[job]
        return waiter

    def remove(self, job: str, waiter: T) -> None:
        """Somebody goes away. Raises KeyError when it did not wait."""
        queue = self._jobs[job]
        del queue.waiters[waiter]
        self.count -= 1
        if not queue.waiters:
            del self._jobs[job]
