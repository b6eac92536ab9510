"""How the demo is shown: live on a terminal, as plain lines elsewhere, not at all for a program."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console, RenderableType

    from agent.demo import Screen, Step


def screen(*, quiet: bool, live: bool) -> AbstractContextManager[Screen]:
    """The screen that fits where standard output goes."""
    if quiet:
        return contextlib.nullcontext(SilentScreen())
    return _live() if live else contextlib.nullcontext(PlainScreen())


class SilentScreen:
    """Shows nothing."""

    def begin(self, title: str) -> None:
        """See `agent.demo.Screen`."""

    def progress(self, text: str) -> None:
        """See `agent.demo.Screen`."""

    def done(self, step: Step) -> None:
        """See `agent.demo.Screen`."""


class PlainScreen(SilentScreen):
    """One line when a step has happened, and what it said below."""

    def done(self, step: Step) -> None:
        """See `agent.demo.Screen`."""
        click.echo(f"{_tick()} {step.seconds:4.1f} s  {step.title}")
        for line in step.result.splitlines():
            click.echo(f"          {line}")


class LiveScreen:
    """The steps so far, and the one that is under way with a spinner."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live  # noqa: PLC0415 - on a terminal only
        from rich.spinner import Spinner  # noqa: PLC0415

        self._spinner = Spinner("dots")
        self._tick = _tick()  # now: while Live runs, standard output is its own
        self._done: list[Step] = []
        self._title = ""
        self._progress = ""
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=12)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._title = f"{self._title} (not done)" if error else ""
        self._live.stop()

    def begin(self, title: str) -> None:
        """See `agent.demo.Screen`."""
        self._title, self._progress = title, ""

    def progress(self, text: str) -> None:
        """See `agent.demo.Screen`."""
        self._progress = text

    def done(self, step: Step) -> None:
        """See `agent.demo.Screen`."""
        self._done.append(step)
        self._title = ""

    def _render(self) -> RenderableType:
        from rich.table import Table  # noqa: PLC0415 - on a terminal only
        from rich.text import Text  # noqa: PLC0415

        grid = Table.grid(padding=(0, 1))
        for step in self._done:
            words = Text.assemble((step.title, "bold"), "\n", (step.result, "dim"))
            grid.add_row(Text(self._tick, style="green"), Text(f"{step.seconds:4.1f} s", style="cyan"), words)
        if self._title:
            grid.add_row(
                self._spinner, "", Text.assemble((self._title, "bold"), "  ", (self._progress, "dim"))
            )
        return grid


@contextlib.contextmanager
def _live() -> Iterator[Screen]:
    from rich.console import Console  # noqa: PLC0415 - on a terminal only

    with LiveScreen(Console()) as shown:
        yield shown


def _tick() -> str:
    """A tick, or a word where the output's encoding has none."""
    try:
        "✔".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "ok"
    return "✔"
