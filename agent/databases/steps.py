"""Steps of a driver that nobody can interrupt: each in a thread of its own, waited for while it is allowed.

A step that is not waited for any more goes on until it ends by itself; what it uses is closed behind it.
Until then the same job asks nothing more: queries that never end must not become many.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from agent.cores import anywhere
from agent.errors import SourceError

T = TypeVar("T")
_POLL = 0.2
"""Seconds between two looks whether to go on."""
_left: dict[str, threading.Thread] = {}
"""By the job that asked."""


class Steps:
    """Those of one query; `close` is called once, when none is under way."""

    def __init__(self, job: str, name: str, ended: Callable[[], bool], close: Callable[[], None]) -> None:
        """Raises SourceError while an earlier step of the job goes on; `name`: of the database."""
        if left_alone(job):
            hint = "it ends by itself, or with the agent; an index or a LIMIT makes it shorter"
            raise SourceError(f"{name}: an earlier query that took too long still goes on", hint=hint)
        self._job = job
        self._ended = ended
        self._close = close
        self._lock = threading.Lock()
        self._busy: threading.Thread | None = None
        self._closing = False

    def take(self, work: Callable[[], T]) -> T:
        """Do it. Raises what it raises, and TimeoutError when it is to be waited for no longer."""
        done = threading.Event()
        results: list[T] = []
        errors: list[BaseException] = []

        def live() -> None:
            anywhere()
            try:
                results.append(work())
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                errors.append(error)
            with self._lock:
                self._busy = None
                closing = self._closing
            if closing:
                with contextlib.suppress(Exception):  # nobody waits
                    self._close()
            done.set()

        self._busy = threading.Thread(target=live, name="query", daemon=True)
        self._busy.start()
        while not done.wait(_POLL):
            if self._ended():
                raise TimeoutError
        if errors:
            raise errors[0]
        return results[0]

    def close(self) -> None:
        """Let go of all; behind the step under way, where there is one."""
        with self._lock:
            self._closing = True
            if self._busy is not None:
                _left[self._job] = self._busy
                return
        self._close()


def left_alone(job: str) -> bool:
    """Whether a step of this job goes on that nobody waits for."""
    thread = _left.get(job)
    if thread is not None and not thread.is_alive():
        thread = None
        del _left[job]
    return thread is not None
