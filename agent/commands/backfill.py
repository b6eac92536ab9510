"""`push-agent push JOB --from … --to …`: the windows of a span of the past, in order."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from agent.commands.options import must_know, print_json
from agent.commands.screen import age, bad, good, note
from agent.errors import EXIT_TEMPORARY, StateLocked
from agent.phrases import counted
from agent.web.client import call_and_wait, is_living

if TYPE_CHECKING:
    from agent.config import Loaded

INTERRUPTED = 130
_POLL = 0.5
"""Seconds between two looks at how far the daemon is."""
_PATIENCE = 30.0
_BETWEEN_LINES = 5.0
"""Seconds, where the lines stay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """What was asked for, as it was written."""

    job: str
    since: str
    until: str
    step: str

    def again(self) -> str:
        """The command that goes on with it."""
        step = f" --step {self.step}" if self.step else ""
        return f"push-agent push {self.job} --from {self.since} --to {self.until}{step}"


class Show(Protocol):
    """Where progress goes."""

    def __call__(self, state: dict[str, Any], /) -> None:
        """How far it is now, as the control socket says it."""


def backfill(span: Span, *, loaded: Loaded, config: Path, state: Path, output: str) -> int:
    """Do it, by the daemon or without one; the exit code. Ctrl-C ends it so that it can go on."""
    try:
        with _progress(quiet=output == "json") as show:
            answer = _by_daemon(span, state, show)
            if answer is None:
                answer = _alone(span, loaded, config, state, show)
    except KeyboardInterrupt:
        click.echo(note("stopped; this goes on with it: ") + span.again(), err=True)
        return INTERRUPTED
    if output == "json":
        print_json(answer)
    else:
        _tell(answer, span)
    if answer["state"] == "done":
        return EXIT_TEMPORARY if answer.get("waits") else 0
    return 1 if answer["state"] == "failed" else EXIT_TEMPORARY


def _by_daemon(span: Span, state: Path, show: Show) -> dict[str, Any] | None:
    """How it ended in the daemon; None when none runs."""
    if not is_living(state):
        return None

    def ask(**words: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        return dict(call_and_wait(state, "backfill", words, timeout=_PATIENCE))

    words = {"job": span.job, "from": span.since, "to": span.until, "step": span.step}
    answer = ask(action="start", **words)
    try:
        while answer["state"] == "running":
            show(answer)
            time.sleep(_POLL)
            answer = ask(action="state", id=answer["id"])
    except KeyboardInterrupt:
        ask(action="stop", id=answer["id"])
        raise
    show(answer)
    return answer


def _alone(span: Span, loaded: Loaded, config: Path, state: Path, show: Show) -> dict[str, Any]:
    from agent.clock import SystemClock  # noqa: PLC0415
    from agent.logs import set_up_logs  # noqa: PLC0415
    from agent.oneshot import backfill_once  # noqa: PLC0415 - the heavy half of the agent

    must_know(loaded, config, span.job)
    set_up_logs("warning", loaded.plan.settings.log_format)
    try:
        work = backfill_once(
            span.job,
            (span.since, span.until, span.step),
            config=config,
            settings=replace(loaded.plan.settings, state=state),
            loaded=loaded,
            clock=SystemClock(),
            say=show,
        )
        return dict(asyncio.run(work))
    except StateLocked as error:
        error.hint = "the daemon is starting or stopping: try again"
        raise


# ---------------------------------------------------------------------------------- what is shown


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[Show]:
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _Lines()


@contextlib.contextmanager
def _bar() -> Iterator[Show]:
    from rich.console import Console  # noqa: PLC0415 - on a terminal only
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn  # noqa: PLC0415

    eta = Eta(time.monotonic)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=1.0, left="")

        def show(state: dict[str, Any]) -> None:
            eta.see(state)
            progress.update(
                task, description=_words(state), completed=_share(state), left=_left(eta.seconds())
            )

        yield show


class _Lines:
    """One line now and then: for logs and pipes."""

    def __init__(self) -> None:
        self._eta = Eta(time.monotonic)
        self._said = float("-inf")

    def __call__(self, state: dict[str, Any]) -> None:
        self._eta.see(state)
        now = time.monotonic()
        if state["state"] == "running" and now - self._said < _BETWEEN_LINES:
            return
        self._said = now
        left = _left(self._eta.seconds())
        click.echo(f"{_words(state)}, {_share(state):.0%}{', ' if left else ''}{left}", err=True)


class Eta:
    """How long it will still take, when it goes on as fast as it did since this began to look."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._first: tuple[float, datetime] | None = None
        self._last: tuple[float, datetime] | None = None
        self._until: datetime | None = None

    def see(self, state: dict[str, Any]) -> None:
        """How far it is now."""
        done = datetime.fromisoformat(state["done"])
        self._until = datetime.fromisoformat(state["until"])
        if self._first is None:
            self._first = self._monotonic(), done
        if self._last is None or done > self._last[1]:
            self._last = self._monotonic(), done

    def seconds(self) -> float | None:
        """None before the first window is over."""
        if self._first is None or self._last is None or self._until is None:
            return None
        gone, covered = self._last[0] - self._first[0], self._last[1] - self._first[1]
        if covered <= timedelta():
            return None
        return gone * ((self._until - self._last[1]) / covered)


def _share(state: dict[str, Any]) -> float:
    since, until, done = (datetime.fromisoformat(state[key]) for key in ("since", "until", "done"))
    return (done - since) / (until - since)


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f"{age(seconds)} left"


def _words(state: dict[str, Any]) -> str:
    windows, records = counted(state["windows"], "window"), counted(state["records"], "record")
    return f"{state['job']}: {windows}, {records}, up to {state['done'][:19]}Z"


def _tell(answer: dict[str, Any], span: Span) -> None:
    what = f"{counted(answer['windows'], 'window')}, {counted(answer['records'], 'record')}"
    what += f" in {counted(answer['messages'], 'message')}"
    if answer["state"] == "done":
        click.echo(good(f"{span.job}: done: ") + what)
    else:
        click.echo(bad(f"{span.job}: {answer['state']}: ") + str(answer["reason"]), err=True)
        click.echo(f"  so far: {what}; up to {answer['done'][:19]}Z", err=True)
        click.echo(f"  this goes on with it: {span.again()}", err=True)
    if "delivered" not in answer:
        click.echo("  the daemon delivers them: push-agent status")
        return
    click.echo(f"  delivered: {counted(answer['delivered'], 'record')}")
    if answer["waits"]:
        click.echo(note("  waiting: ") + f"{answer['waits']} (kept in the spool)", err=True)
