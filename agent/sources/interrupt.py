"""Work inside a library that asks nobody whether it should go on, ended from outside."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

POLL = 0.25
"""Seconds between two looks."""


@contextmanager
def interrupted_when(cancelled: Callable[[], bool], interrupt: Callable[[], None]) -> Iterator[None]:
    """For the length of a `with`, call `interrupt` (from another thread, again and again) once cancelled."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL):
            if cancelled():
                interrupt()

    thread = threading.Thread(target=watch, name="render-interrupt", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
