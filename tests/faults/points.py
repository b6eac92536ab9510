"""The named crash points: where in the life of a message the daemon can be made to die, as data.

`tests/faults/child.py` is the real daemon that dies at one of them. Code of the agent knows nothing of it.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal

DIED = "crash point"
"""What the log says right before the end."""


@dataclass(frozen=True, kw_only=True)
class Point:
    name: str
    module: str
    attribute: str
    """In the module; dotted for a method."""
    when: Literal["before", "after", "committed"]
    """`after`: the call has ended; for what works inside a transaction, its commit has not begun then.
    `committed`: the commit that follows has ended."""
    wants: str = ""
    """What the harness must do so that it is reached: `token`, `files`, `reload`, `refusal` or `batches`."""


def _written(name: str, module: str, attribute: str, wants: str = "") -> tuple[Point, ...]:
    """The three points of something that is written to the spool: before, inside its commit, after."""
    words: tuple[tuple[str, Literal["before", "after", "committed"]], ...] = (
        ("before", "before"),
        ("inside", "after"),
        ("after", "committed"),
    )
    return tuple(
        Point(name=f"{name}: {word}", module=module, attribute=attribute, when=when, wants=wants)
        for word, when in words
    )


def _called(name: str, module: str, attribute: str, wants: str = "") -> tuple[Point, ...]:
    return (
        Point(name=f"{name}: before", module=module, attribute=attribute, when="before", wants=wants),
        Point(name=f"{name}: after", module=module, attribute=attribute, when="after", wants=wants),
    )


POINTS: tuple[Point, ...] = (
    *_written("append", "agent.spool.queue", "append"),
    *_called("move", "agent.finish", "move_aside", "files"),
    *_written("moved", "agent.spool.files", "finish", "files"),
    *_called("request", "agent.target.attempt", "_once"),
    *_written("ack", "agent.spool.settle", "settle"),
    *_written("dead letter", "agent.spool.settle", "_keep_letter", "refusal"),
    *_called("refresh", "agent.auth.exchange", "AuthApi.call", "token"),
    *_written("store", "agent.spool.memory", "store_session", "token"),
    *_called("swap", "agent.engine", "Engine.swap", "reload"),
    *_written("split", "agent.spool.settle", "part", "batches"),
)
SPLITS = any(point.name.startswith("split") for point in POINTS)
"""Whether batches may hold records that the target refuses: not as long as such a batch is buried whole."""


def named(name: str) -> Point:
    return next(point for point in POINTS if point.name == name)


def place_of(point: Point) -> tuple[Any, str]:
    """The object that holds the function, and its name there. Raises AttributeError when it is gone."""
    *path, name = point.attribute.split(".")
    holder = importlib.import_module(point.module)
    for each in path:
        holder = getattr(holder, each)
    assert callable(getattr(holder, name))
    return holder, name


def arm(point: Point, passes: int) -> None:
    """From now on this process ends by SIGKILL when it passes the point for the `passes`th time."""
    holder, name = place_of(point)
    real = getattr(holder, name)
    reached = _Counter(point.name, passes)
    if point.when == "committed":
        _die_after_the_commit(reached, holder, name, real)
        return
    before, after = (reached, _nothing) if point.when == "before" else (_nothing, reached)
    setattr(holder, name, _wrapped(real, before, after))


class _Counter:
    def __init__(self, name: str, passes: int) -> None:
        self._name = name
        self._left = passes

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            with contextlib.suppress(OSError):
                os.write(2, f"{DIED} {self._name}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)


def _nothing() -> None:
    pass


@contextlib.contextmanager
def _around(before: Callable[[], None], after: Callable[[], None]) -> Iterator[None]:
    before()
    yield
    after()


def _wrapped(real: Any, before: Callable[[], None], after: Callable[[], None]) -> Any:
    if inspect.iscoroutinefunction(real):

        @wraps(real)
        async def later(*args: Any, **kwargs: Any) -> Any:
            with _around(before, after):
                return await real(*args, **kwargs)

        return later

    @wraps(real)
    def now(*args: Any, **kwargs: Any) -> Any:
        with _around(before, after):
            return real(*args, **kwargs)

    return now


def _die_after_the_commit(reached: _Counter, holder: Any, name: str, real: Any) -> None:
    from agent.spool.database import Database  # noqa: PLC0415 - after the process has begun

    written: list[None] = []
    setattr(holder, name, _wrapped(real, _nothing, lambda: written.append(None)))
    commit = Database.commit

    def committed(self: Database) -> None:
        commit(self)
        if written:
            written.clear()
            reached()

    Database.commit = committed  # type: ignore[method-assign]
