"""Options that most commands share, and what they resolve to."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agent.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from agent.config import Loaded

DEFAULT_CONFIG = "/etc/push-agent"

F = TypeVar("F", bound=Callable[..., Any])

config_option = click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="PUSH_AGENT_CONFIG",
    default=DEFAULT_CONFIG,
    show_default=True,
    show_envvar=True,
    help="Folder with agent.yaml, connections/ and jobs/.",
)
state_option = click.option(
    "--state",
    "state",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="State folder. [default: what agent.yaml says]",
)
output_option = click.option(
    "--output",
    "output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people, or for programs.",
)


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def state_folder(config: Path, state: Path | None) -> Path:
    """`--state` if given, else what agent.yaml says, else its default.

    A broken agent.yaml is no reason not to look at the state: its default is used where nothing is said.
    """
    if state is not None:
        return state.absolute()
    from agent.state_path import state_path  # noqa: PLC0415 - not where --state is given

    plain = state_path(config)
    if plain is not None:
        return plain
    from agent.config import load_settings  # noqa: PLC0415 - 250 ms

    return load_settings(config).state


def must_know(loaded: Loaded, config: Path, job: str) -> None:
    """Raises UsageError when there is no such job, ConfigError when a file is wrong that may hold it."""
    if job in loaded.plan.jobs:
        return
    if loaded.errors:
        raise ConfigError(loaded.errors)
    known = ", ".join(sorted(loaded.plan.jobs)) or "none"
    raise UsageError(f"there is no job {job!r} in {config}", hint=f"the jobs there are: {known}")


def on_terminal() -> bool:
    """Whether standard output is a terminal that wants colours and progress."""
    return os.isatty(1) and os.environ.get("TERM") != "dumb"
