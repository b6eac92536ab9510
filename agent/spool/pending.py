"""What is promised by work that was queued: awaited in an event loop, waited for in a thread.

Half of an ack's cost is the way there and back, so this is no `concurrent.futures.Future`: it has one
lock instead of a condition, and all who are told at one moment cost their event loop one wake-up.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")
Waiter: TypeAlias = "tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]"


class Pending(Generic[T]):
    """Work on its way: `await` it in an event loop, or `.result()` in a thread.

    It cannot be cancelled: whoever stops waiting does not stop the work.
    """

    __slots__ = ("_callbacks", "_done", "_error", "_lock", "_value", "_waiters")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._waiters: list[Waiter] = []
        self._callbacks: list[Callable[[Pending[T]], object]] = []

    # ------------------------------------------------------------------ who waits

    def __await__(self) -> Generator[Any, None, T]:
        with self._lock:
            if not self._done:
                loop = asyncio.get_running_loop()
                waiter = loop.create_future()
                self._waiters.append((loop, waiter))
        if not self._done:
            yield from waiter
        return self.result()

    def result(self) -> T:
        """What came of it; blocks until then. Raises what the work raised."""
        if (error := self.exception()) is not None:
            try:
                raise error
            finally:
                del error  # it must not hold itself through its traceback
        return self._value  # type: ignore[return-value]

    def exception(self) -> BaseException | None:
        """What the work raised; blocks until it is known."""
        if not self._done:
            over = threading.Lock()  # an Event is a condition, a lock and a list: four times the time
            over.acquire()  # it is let go by the thread that does the work
            self.add_done_callback(lambda _: over.release())
            over.acquire()
        return self._error

    def done(self) -> bool:
        """Whether something came of it."""
        return self._done

    def cancel(self) -> bool:
        """False, always."""
        return False

    def add_done_callback(self, callback: Callable[[Pending[T]], object]) -> None:
        """Call it with this once it is done, in the thread that does it; at once when it is."""
        with self._lock:
            if not self._done:
                self._callbacks.append(callback)
                return
        callback(self)

    # ------------------------------------------------------------------ who does it

    def set_result(self, value: T) -> None:
        """It is done."""
        wake(self.settle(value))

    def set_exception(self, error: BaseException) -> None:
        """It has failed."""
        wake(self.settle(error=error))

    def settle(self, value: T | None = None, *, error: BaseException | None = None) -> list[Waiter]:
        """It is done or has failed; those who are left to be woken."""
        with self._lock:
            self._value, self._error, self._done = value, error, True
            waiters, self._waiters = self._waiters, []
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)
        return waiters


def wake(waiters: Iterable[Waiter]) -> None:
    """Wake them all: one call for each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for loop, waiter in waiters:
        by_loop.setdefault(loop, []).append(waiter)
    for loop, of_loop in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_finish, of_loop)


def _finish(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
