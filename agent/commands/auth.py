"""`push-agent auth`: the sign-in of each connection. Never a token."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from agent.commands.auth_check import command as check_command
from agent.commands.options import config_option, output_option, print_json, state_folder, state_option
from agent.commands.screen import bad, good, moment, note, table
from agent.errors import no_connection
from agent.phrases import counted, number

F = TypeVar("F", bound=Callable[..., Any])


@click.group(
    epilog="""\b
Examples:
  push-agent auth status
  push-agent auth check simacan-stg        why does it not work?
  push-agent auth refresh simacan-stg
  push-agent auth login simacan-stg        after a new password, or when the platform dropped the session
  push-agent auth forget simacan-stg
  push-agent auth rekey
"""
)
def command() -> None:
    """Look at the sign-in of each connection, renew it, give it up."""


command.add_command(check_command)


@command.command(
    "status",
    epilog="""\b
Examples:
  push-agent auth status
  push-agent auth status simacan-stg
  push-agent auth status --output json
""",
)
@click.argument("connections", metavar="[CONNECTION]...", nargs=-1)
@config_option
@state_option
@output_option
def status_command(connections: tuple[str, ...], config: Path, state: Path | None, output: str) -> int:
    """Show generation, expiry, renewals, logins, the last error and the next try of each session.

    Works with and without a running daemon: without one it shows what the state folder holds.
    """
    from agent.commands.status import take  # noqa: PLC0415 - beside what it costs

    found = take(state_folder(config, state))["connections"]
    if connections:
        found = _only(found, connections, config)
    if output == "json":
        print_json(found)
    elif not found:
        click.echo("no connection has signed in yet")
    else:
        click.echo(_text(found))
    return 0


def by_hand(function: F) -> F:
    """The options that every command shares which asks something of named connections."""
    for option in (output_option, state_option, config_option):
        function = option(function)
    return click.argument("connections", metavar="CONNECTION...", nargs=-1, required=True)(function)


@command.command(
    "refresh",
    epilog="""\b
Examples:
  push-agent auth refresh simacan-stg
  push-agent auth refresh simacan-stg simacan-prod --output json
""",
)
@by_hand
def refresh_command(connections: tuple[str, ...], config: Path, state: Path | None, output: str) -> int:
    """Renew the token of each CONNECTION now, even a good one; a fixed secret is read again.

    One renewal serves every job. The password is sent only where there is no token yet, or where the
    Auth API itself asks for it (`login_again_on`). Exit code 75 when there is no new token.
    """
    return _each("refresh", connections, config, state, output)


@command.command(
    "login",
    epilog="""\b
Examples:
  push-agent auth login simacan-stg
""",
)
@by_hand
def login_command(connections: tuple[str, ...], config: Path, state: Path | None, output: str) -> int:
    """Sign in to each CONNECTION anew, with its username and password.

    Seldom needed: the agent logs in by itself when it must. A login that fails leaves a good token as it is
    and counts against `login_limit`; once that is reached, a login is refused until the pause is over or
    the secret has changed. Exit code 75 when nobody could be signed in.
    """
    return _each("login", connections, config, state, output)


@command.command(
    "forget",
    epilog="""\b
Examples:
  push-agent auth forget simacan-stg
  push-agent auth forget --yes old-platform      also one that the config no longer has
""",
)
@click.option("--yes", is_flag=True, help="Do not ask first.")
@by_hand
def forget_command(
    connections: tuple[str, ...], config: Path, state: Path | None, output: str, *, yes: bool
) -> int:
    """Erase the tokens of each CONNECTION, in memory and in the state folder.

    The Auth API is told where it can be (`auth.logout_path`); whatever it answers, nothing is kept here.
    The next request that needs a token logs in as at the very first start.
    """
    if sys.stdin.isatty() and not yes:
        names = ", ".join(connections)
        click.confirm(f"Erase the tokens of {names}? The next request needs a login.", abort=True, err=True)
    return _each("forget", connections, config, state, output)


@command.command(
    "rekey",
    epilog="""\b
Examples:
  push-agent auth rekey
""",
)
@config_option
@state_option
@output_option
def rekey_command(config: Path, state: Path | None, output: str) -> int:
    """Make a new key for the state folder and seal every stored token with it.

    Nobody signs in anew, and failed logins stay counted. When it is cut short, both keys are kept and the
    next start does the rest. A key that systemd gives is changed there (docs/INSTALL.md).
    """
    from agent.commands.by_hand import rekey  # noqa: PLC0415 - beside what it costs

    answer = rekey(config, state)
    if output == "json":
        print_json(answer)
    else:
        click.echo(good("a new key: ") + f"{counted(answer['pairs'], 'stored pair')} sealed with it")
    return 0


def _each(action: str, names: tuple[str, ...], config: Path, state: Path | None, output: str) -> int:
    """Do it for one after the other: what fails for one says nothing about the next."""
    from agent.commands.by_hand import ask  # noqa: PLC0415 - beside what it costs

    answers = ask(action, names, config, state)
    if output == "json":
        print_json(answers)
    for answer in answers:
        if output == "json":
            continue
        if answer["error"]:
            click.echo(bad("error: ") + answer["error"], err=True)
            if answer["hint"]:
                click.echo(f"  hint: {answer['hint']}", err=True)
        else:
            click.echo(good(f"{answer['connection']}: ") + answer["outcome"])
    return next((int(answer["exit_code"]) for answer in answers if answer["exit_code"]), 0)


def _only(found: list[dict[str, Any]], names: tuple[str, ...], config: Path) -> list[dict[str, Any]]:
    """Those of them; one that is in the config only has not signed in yet. Raises UsageError."""
    from agent.config import load  # noqa: PLC0415 - yaml and jsonschema

    by_name = {one["name"]: one for one in found}
    if strangers := [name for name in names if name not in by_name]:
        configured = load(config).plan.connections
        for name in strangers:
            if name not in configured:
                raise no_connection(name, {*by_name, *configured})
    return [by_name[name] for name in dict.fromkeys(names) if name in by_name]


def _text(connections: list[dict[str, Any]]) -> str:
    heads = (
        "CONNECTION",
        "STATE",
        "GENERATION",
        "EXPIRES",
        "RENEWAL",
        "REFRESHES",
        "LOGINS",
        "FAILED LOGINS",
        "STORED",
        "NEXT TRY",
    )
    rows = [
        (
            one["name"],
            one["session"] or "needs none",
            number(one["generation"]),
            moment(one["expires_at"]),
            moment(one["renewal_at"]),
            number(one["refreshes"]),
            number(one["logins"]),
            number(one["failures"]),
            "yes" if one["stored"] else "no",
            moment(one["next_try_at"]),
        )
        for one in connections
    ]
    lines = [table(heads, rows, right=frozenset({2, 5, 6, 7}))]
    for one in connections:
        if one["last_error"]:
            lines.append(note(f"{one['name']}: ") + one["last_error"])
            if one["hint"]:
                lines.append(f"  hint: {one['hint']}")
    return "\n".join(lines)
