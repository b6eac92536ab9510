"""An occurrence that is to run, and how its run speaks with the collector from its thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from agent.collect.result import RunResult
from agent.window import Window


@dataclass(kw_only=True, slots=True, eq=False)
class Wanted:
    """One occurrence of one job."""

    job: str
    due: float
    trigger: str
    limit: int | None = None
    result: asyncio.Future[RunResult] | None = None
    """For `run_now`: who waits for it."""
    doing: str = "waiting for its turn"
    """For people."""
    window: Window | None = None
    """What it is about; None: not known yet, or a job without windows."""
    backfill: int | None = None
    cancelled: Callable[[], bool] = lambda: False
    """Asked between chunks: whether nobody wants it any more."""

    def about(self, window: Window) -> Self:
        """Itself, turned to the next window."""
        self.window, self.due = window, window.end
        return self

    def answer(self, result: RunResult) -> None:
        """Tell whoever waits for it, if somebody does."""
        if self.result is not None and not self.result.done():
            self.result.set_result(result)


def still_collecting(active: Wanted) -> str:
    """Why another run of its job is skipped."""
    due = datetime.fromtimestamp(active.due).astimezone().strftime("%H:%M:%S")
    why = f" ({active.doing})" if active.doing.startswith("waiting: spool is full") else ""
    return f"the run of {due} was still collecting{why}"


class ThreadHands:
    """Implements `Hands`."""

    def __init__(self, wanted: Wanted, stop: threading.Event) -> None:
        self._wanted = wanted
        self._stop = stop

    def say(self, text: str) -> None:
        """For the status page."""
        self._wanted.doing = text

    def pause(self, seconds: float) -> bool:
        """Wait; True as soon as the agent stops, or nobody wants the run any more."""
        return self._stop.wait(seconds) or self._wanted.cancelled()
