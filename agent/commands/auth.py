"""`push-agent auth`: the sign-in of each connection. Never a token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from agent.commands.auth_check import command as check_command
from agent.commands.options import config_option, output_option, print_json, state_folder, state_option
from agent.commands.screen import moment, note, number, table


@click.group(
    epilog="""\b
Examples:
  push-agent auth status
  push-agent auth check platform   why does it not work?
"""
)
def command() -> None:
    """Look at the sign-in of each connection."""


command.add_command(check_command)


@command.command(
    "status",
    epilog="""\b
Examples:
  push-agent auth status
  push-agent auth status --output json
""",
)
@config_option
@state_option
@output_option
def status_command(config: Path, state: Path | None, output: str) -> int:
    """Show generation, expiry, refreshes, logins and the last error of each session."""
    from agent.commands.status import take  # noqa: PLC0415 - beside what it costs

    connections = take(state_folder(config, state))["connections"]
    if output == "json":
        print_json(connections)
    elif not connections:
        click.echo("no connection has signed in yet")
    else:
        click.echo(_text(connections))
    return 0


def _text(connections: list[dict[str, Any]]) -> str:
    heads = (
        "CONNECTION",
        "STATE",
        "GENERATION",
        "EXPIRES",
        "REFRESHES",
        "LOGINS",
        "FAILED LOGINS",
        "NEXT TRY",
    )
    rows = [
        (
            one["name"],
            one["session"] or "needs none",
            number(one["generation"]),
            moment(one["expires_at"]),
            number(one["refreshes"]),
            number(one["logins"]),
            number(one["failures"]),
            moment(one["next_try_at"]),
        )
        for one in connections
    ]
    errors = [note(f"{one['name']}: ") + one["last_error"] for one in connections if one["last_error"]]
    return "\n".join([table(heads, rows, right=frozenset({2, 4, 5, 6})), *errors])
