"""How an examination is shown: live on a terminal, as plain lines elsewhere, not at all for a program."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from agent.doctor import Mark, Screen, Step

_SIGNS: Final[Mapping[Mark, tuple[str, str, str]]] = {
    # the sign, the same where the output's encoding has none, its colour
    "good": ("✔", "ok", "green"),
    "warning": ("!", "!", "yellow"),
    "failed": ("✘", "X", "red"),
    "skipped": ("-", "-", "bright_black"),
}
_INDENT: Final = " " * 13


def check_screen(*, quiet: bool, live: bool) -> AbstractContextManager[Screen]:
    """The screen that fits where standard output goes."""
    if quiet:
        return contextlib.nullcontext(SilentScreen())
    return _live() if live else contextlib.nullcontext(PlainScreen())


class SilentScreen:
    """Shows nothing."""

    def begin(self, title: str) -> None:
        """See `agent.doctor.Screen`."""

    def done(self, step: Step) -> None:
        """See `agent.doctor.Screen`."""


class PlainScreen(SilentScreen):
    """The lines of each step when it is over."""

    def done(self, step: Step) -> None:
        """See `agent.doctor.Screen`."""
        click.echo(lines(step))


class LiveScreen(SilentScreen):
    """The same, and below them a spinner beside what goes on now."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - on a terminal only
        from rich.status import Status  # noqa: PLC0415

        self._console = Console(highlight=False, soft_wrap=True)
        self._status = Status("", console=self._console)

    def begin(self, title: str) -> None:
        """See `agent.doctor.Screen`."""
        from rich.text import Text  # noqa: PLC0415

        self._status.update(Text(title))
        self._status.start()

    def done(self, step: Step) -> None:
        """See `agent.doctor.Screen`."""
        from rich.text import Text  # noqa: PLC0415

        self.stop()
        self._console.print(Text.from_ansi(lines(step)))

    def stop(self) -> None:
        """Take the spinner away."""
        self._status.stop()


@contextlib.contextmanager
def _live() -> Iterator[Screen]:
    shown = LiveScreen()
    try:
        yield shown
    finally:
        shown.stop()


def lines(step: Step) -> str:
    """`✔ 0.012 s  tls https://…  TLSv1.3, …`, what there is to it, and what to do."""
    from agent.logs import blotter  # noqa: PLC0415 - beside its use

    sign, plain, colour = _SIGNS[step.verdict.mark]
    mark = click.style((sign if _can_show(sign) else plain).ljust(2), fg=colour)
    time = f"{step.seconds:7.3f} s" if step.verdict.mark != "skipped" else " " * 9
    head = f"{mark}{time}  {click.style(step.title, bold=True)}: {_line(step.verdict.says)}"
    more = [f"{_INDENT}{_line(each)}" for each in step.verdict.details]
    if step.verdict.hint:
        more.append(f"{_INDENT}{click.style('hint:', fg='yellow')} {_line(step.verdict.hint)}")
    return blotter.clean("\n".join([head, *more]))


def _line(text: str) -> str:
    """Servers choose some of it: nothing in it moves the cursor or begins another line."""
    return "".join(char if char.isprintable() else " " for char in text)


def _can_show(sign: str) -> bool:
    try:
        sign.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
