"""How a command waits for messages to leave: asking the daemon now and then, and saying how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from agent.commands.screen import age
from agent.phrases import counted
from agent.web.client import call_and_wait

_POLL = 0.3
"""Seconds between two looks at how far the daemon is."""
_PATIENCE = 30.0
_BETWEEN_LINES = 5.0
"""Seconds, where the lines stay."""
_LONG = 1.0
"""Seconds after which a rate can be told."""


class Progress:
    """`gps: 1,204 messages left, 310/s, 3s to go`: written over on a terminal, else a line now and then."""

    def __init__(self, *, quiet: bool, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._quiet = quiet
        self._monotonic = monotonic
        self._first: tuple[float, int] | None = None
        self._said = float("-inf")
        self._over = sys.stderr.isatty()

    def show(self, what: str, left: list[dict[str, Any]]) -> None:
        """How far these jobs are, as the control socket says it."""
        if self._quiet:
            return
        now = self._monotonic()
        text = f"{what}: {self.words(left)}"
        if self._over:
            click.echo(f"\r\x1b[K{text}", err=True, nl=False)
        elif now - self._said >= _BETWEEN_LINES:
            self._said = now
            click.echo(text, err=True)

    def words(self, left: list[dict[str, Any]]) -> str:
        """In one line."""
        messages = sum(one["messages"] for one in left)
        words = [f"{counted(messages, 'message')} left", *self._rate(messages)]
        collecting = [one["job"] for one in left if one["collecting"]]
        if collecting:
            words.append(f"{counted(len(collecting), 'run')} under way ({', '.join(collecting[:3])})")
        words += [one["waits"] for one in left if one["waits"]][:1]
        return ", ".join(words)

    def _rate(self, messages: int) -> list[str]:
        now = self._monotonic()
        if self._first is None or messages > self._first[1]:  # more came in: count anew
            self._first = now, messages
        began, before = self._first
        if now - began < _LONG or before == messages:
            return []
        rate = (before - messages) / (now - began)
        return [f"{rate:,.0f}/s" if rate >= 1 else f"{rate * 60:,.0f}/min", f"{age(messages / rate)} to go"]

    def clear(self) -> None:
        """Nothing more is said."""
        if self._over and not self._quiet:
            click.echo("\r\x1b[K", err=True, nl=False)


def wait_for(
    state: Path,
    question: dict[str, Any],
    *,
    seconds: float | None,
    impatient: bool,
    show: Callable[[list[dict[str, Any]]], None],
) -> tuple[list[dict[str, Any]], str]:
    """Ask the daemon until all is over; what is left then, and why. Raises ControlError.

    `impatient`: without a limit in `seconds`, as soon as a lane waits.
    """
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        left: list[dict[str, Any]] = call_and_wait(state, "left", question, timeout=_PATIENCE)["jobs"]  # type: ignore[assignment]
        if all(one["over"] for one in left):
            return left, ""
        waits = next((one["waits"] for one in left if one["waits"]), "")
        if waits and impatient and end is None:
            return left, waits
        if end is not None and time.monotonic() >= end:
            return left, f"the time is up after {age(seconds or 0)}" + (f"; {waits}" if waits else "")
        show(left)
        time.sleep(_POLL)
