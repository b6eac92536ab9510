"""An iterator that is worked off in a thread of its own, a few items ahead of the one who asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class _Made(Generic[Item]):
    item: Item


@dataclass(frozen=True, slots=True)
class _Ended:
    error: BaseException | None


def ahead(items: Iterable[Item], depth: int, *, stop: Callable[[], None]) -> Generator[Item, None, None]:
    """Give the items in order; at most `depth` of them wait. What making one raises is raised here.

    Closing the generator calls `stop`, which should make the work end, and waits for the thread: when
    this returns, nobody uses what the items are made from.
    """
    queue: Queue[_Made[Item] | _Ended] = Queue(maxsize=depth)
    closed = threading.Event()

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                queue.put(_Made(item))
                if closed.is_set():
                    break
        except BaseException as caught:  # noqa: BLE001 - it is raised by the thread that asks
            error = caught
        queue.put(_Ended(error))

    thread = threading.Thread(target=work, name="render-ahead", daemon=True)
    thread.start()
    try:
        while isinstance(made := queue.get(), _Made):
            yield made.item
        if made.error is not None:
            raise made.error
    finally:
        closed.set()
        if thread.is_alive():
            stop()
        while thread.is_alive():  # the worker may stand at a full queue: make room
            with suppress(Empty):
                queue.get(timeout=0.05)
            thread.join(timeout=0.05)
