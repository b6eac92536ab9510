"""The event loop that everything runs in: uvloop's where there is one, else Python's."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from agent.cores import anywhere

T = TypeVar("T")

_YOUNG = 5_000
"""New objects after which the collector looks at them; Python's own 700 are a handful of requests."""
_GROWING = 50_000
"""The same during the start: with ten thousand jobs its looks take a tenth of the time."""


def run(life: Coroutine[object, object, T]) -> T:
    """Run a whole life in a loop of its own, as `asyncio.run` does."""
    gc.set_threshold(_GROWING, 20, 50)  # until it is grown up: what a start makes is there to stay
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        threads = ThreadPoolExecutor(thread_name_prefix="asyncio", initializer=anywhere)
        runner.get_loop().set_default_executor(threads)
        return runner.run(life)


def grown_up() -> None:
    """What lives now lives for good: Python's collector of cycles need not look at it again and again.

    To look at the objects of all modules, and of ten thousand jobs, takes it a tenth of a second and more,
    and the event loop stands still meanwhile; on a busy lane it was a twentieth of all work. Blocks.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 50)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - only there
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
