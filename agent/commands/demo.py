"""`push-agent demo`: the real daemon against the sandbox, from the first file to a clean stop."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from agent.commands.options import on_terminal, output_option, print_json
from agent.commands.screen import good, note
from agent.phrases import counted

if TYPE_CHECKING:
    from agent.demo import Screen, Summary


@click.command(
    epilog="""\b
Examples:
  push-agent demo                  watch it work: about ten seconds
  push-agent demo --keep           and keep the folder to look around in
  push-agent demo --output json    what came of it, for a program
"""
)
@output_option
@click.option("--keep", is_flag=True, help="Keep the folder with config, state and log, and say where it is.")
def command(output: str, *, keep: bool) -> int:
    """See it all work, without any set-up and without an account.

    The real daemon, with the shipped examples, pushes real files to a local stand-in of the platform, in
    a temporary folder. Nothing leaves this machine and nothing is left on it.
    """
    from agent.commands.demo_screen import screen  # noqa: PLC0415 - rich, on a terminal

    with _interruptible():
        root = Path(tempfile.mkdtemp(prefix="push-agent-demo-"))
        try:
            with screen(quiet=output == "json", live=on_terminal()) as shown:
                summary = _run(root, shown)
        finally:
            if keep:
                click.echo(note("kept: ") + str(root), err=True)
            else:
                shutil.rmtree(root, ignore_errors=True)
    if output == "json":
        folder = str(root) if keep else None
        print_json(
            {"ok": True, **dataclasses.asdict(summary), "next": _next(root, keep=keep), "folder": folder}
        )
    else:
        click.echo(_text(summary, root, keep=keep))
    return 0


def _run(root: Path, shown: Screen) -> Summary:
    from agent.demo import tell_story  # noqa: PLC0415 - aiohttp costs 150 ms
    from agent.demo.daemon import DaemonProcess  # noqa: PLC0415
    from agent.demo.folder import DemoFolder  # noqa: PLC0415
    from agent.sandbox import sandbox_in_thread  # noqa: PLC0415

    folder = DemoFolder(root)
    with sandbox_in_thread() as sandbox:
        settings = sandbox.settings
        folder.make(
            auth_url=sandbox.auth_url,
            endpoints=sandbox.endpoints,
            user=settings.username,
            password=settings.password,
        )
        with DaemonProcess(folder) as daemon:
            return tell_story(folder, daemon, sandbox, shown)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """The first signal ends the demo by way of every `finally`; later ones must not break into these."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _text(summary: Summary, root: Path, *, keep: bool) -> str:
    sums = (
        f"{counted(summary.requests, 'request')} with {counted(summary.records, 'record')}, "
        f"{counted(summary.logins, 'login')}, {counted(summary.refreshes, 'refresh', 'refreshes')}, "
        f"in {summary.seconds:.1f} s"
    )
    refused = [f"  {line}" for words in summary.refused for line in words.splitlines()]
    following = [f"  {line}" for line in _next(root, keep=keep)]
    lines = [
        "",
        good("It works: ") + sums,
        "",
        "Refused, as it should be:",
        *refused,
        "",
        "Next:",
        *following,
    ]
    return "\n".join(lines)


def _next(root: Path, *, keep: bool) -> list[str]:
    """Where one would look now."""
    if keep:
        where = f"--config {root / 'config'}"
        return [
            f"push-agent status {where}",
            f"push-agent dead list {where}",
            f"push-agent dry-run gps-csv {where} --sample {root / 'drop/gps/failed/positions.csv'}",
            f"less {root / 'daemon.log'}",
        ]
    return [
        "push-agent demo --keep           the same, with a folder to look around in",
        "push-agent sandbox               a platform of your own to push to",
        "push-agent schema job            what can stand in a job file",
        "push-agent validate --help       check a config before it is used",
    ]
