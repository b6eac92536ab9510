"""Takes the steps one after the other: each is announced, timed, bounded and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Protocol

from agent.clock import Clock
from agent.doctor.findings import Report, Step, Verdict
from agent.doctor.verdicts import skipped


class Screen(Protocol):
    """Who watches."""

    def begin(self, title: str) -> None:
        """A step begins."""

    def done(self, step: Step) -> None:
        """It is over, or was not taken."""


class Notebook:
    """The steps so far."""

    def __init__(self, screen: Screen, clock: Clock) -> None:
        self._screen = screen
        self._clock = clock
        self._steps: list[Step] = []

    async def take(self, name: str, place: str, work: Awaitable[Verdict], *, deadline: float) -> Verdict:
        """One step; one that is not over after `deadline` seconds failed. Most have tighter bounds inside."""
        self._screen.begin(f"{name} {place}".rstrip())
        begun = self._clock.monotonic()
        try:
            async with asyncio.timeout(deadline):
                verdict = await work
        except TimeoutError:
            hint = "try again; if it stays so, show these lines to the platform's support"
            verdict = Verdict(mark="failed", says=f"not done within {deadline:g} s", hint=hint)
        self._keep(Step(name=name, place=place, seconds=self._clock.monotonic() - begun, verdict=verdict))
        return verdict

    def skip(self, name: str, place: str, why: str) -> None:
        """A step that is not taken."""
        self._keep(Step(name=name, place=place, verdict=skipped(why)))

    def report(self, connection: str, *, daemon: bool) -> Report:
        """All of it."""
        return Report(connection=connection, daemon=daemon, steps=tuple(self._steps))

    def _keep(self, step: Step) -> None:
        self._steps.append(step)
        self._screen.done(step)
