"""`push-agent sandbox`: serve a local stand-in of the platform."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.commands.options import output_option
from agent.errors import AgentError, SecretError, UsageError
from agent.loop import run

if TYPE_CHECKING:
    from agent.sandbox import Sandbox

EPILOG = """\b
Examples:
  push-agent sandbox                                   serve on 127.0.0.1:9400
  push-agent sandbox --listen 127.0.0.1:0 --output json    any free port, told as JSON
  push-agent sandbox --token-life 30 --record ./received   short tokens, everything kept
\b
While it runs:
  curl localhost:9400/_sandbox/state                   what it has seen
  curl localhost:9400/_sandbox/requests?endpoint=otm5&body=1
  curl -X POST localhost:9400/_sandbox/expire          access tokens end now
  curl localhost:9400/oauth/token -u "demo-client:$PASSWORD" -d grant_type=client_credentials
  curl localhost:9400/_sandbox/faults -d '{"on": "refresh", "answer": 503, "times": 2}'
"""


@click.command(name="sandbox", epilog=EPILOG)
@click.option(
    "--listen",
    default="127.0.0.1:9400",
    show_default=True,
    help="Loopback address and port; port 0 takes any free one.",
)
@click.option("--username", default="demo", show_default=True, help="The only user there is.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the password is; made with a new one when missing. [default: a temporary file]",
)
@click.option("--token-life", type=click.FloatRange(min=0), default=3600, show_default=True, help="Seconds.")
@click.option(
    "--refresh-life", type=click.FloatRange(min=0), default=86400, show_default=True, help="Seconds."
)
@click.option("--gzip/--no-gzip", default=True, show_default=True, help="Take compressed bodies, or say 415.")
@click.option("--dedupe", is_flag=True, help="Process each Idempotency-Key once.")
@click.option("--lazy", is_flag=True, help="Answer /ingest before unpacking: for benchmarks.")
@click.option(
    "--record",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder in which every request is kept, in requests.jsonl.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the dice behind a fault's rate.")
@output_option
def command(  # noqa: PLR0917 - click passes by name
    listen: str,
    username: str,
    password_file: Path | None,
    token_life: float,
    refresh_life: float,
    gzip: bool,  # noqa: FBT001 - click passes by name
    dedupe: bool,  # noqa: FBT001 - click passes by name
    lazy: bool,  # noqa: FBT001 - click passes by name
    record: Path | None,
    seed: int,
    output: str,
) -> None:
    """Serve a local stand-in of the platform: sign-in, target APIs, faults on demand.

    It answers as the platform does and keeps what it received, so that a config can be tried out
    from login to delivery without an account. Ends on Ctrl-C.

    For the sign-ins of RFC 6749 there is /oauth/token too: grants password, client_credentials and
    refresh_token (rotating, with reuse detection), client demo-client with the password as its secret.
    """
    from agent.sandbox import Sandbox, Settings  # noqa: PLC0415 - aiohttp costs 150 ms

    host, port = _address(listen)
    with _password(password_file) as (path, password):
        settings = Settings(
            username=username,
            password=password,
            token_life=token_life,
            refresh_life=refresh_life,
            gzip=gzip,
            dedupe=dedupe,
            lazy=lazy,
            record=record,
            seed=seed,
        )
        sandbox = Sandbox(settings, host=host, port=port)
        run(_serve(sandbox, path, as_json=output == "json"))


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004 - RFC 9293
        raise UsageError(f"--listen {listen}: ADDRESS:PORT is needed", hint="such as 127.0.0.1:9400")
    return host.strip("[]") or "127.0.0.1", int(port)


@contextmanager
def _password(given: Path | None) -> Iterator[tuple[Path, str]]:
    """The file and what it holds; a temporary one is gone afterwards."""
    if given is not None:
        yield given.absolute(), _read_password(given) if given.exists() else _make_password(given)
        return
    with tempfile.TemporaryDirectory(prefix="push-agent-sandbox-") as folder:
        path = Path(folder) / "password"
        yield path, _make_password(path)


def _read_password(path: Path) -> str:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise SecretError(f"{path} can be read by others (mode {mode:04o})", hint=f"chmod 600 {path}")
    password = path.read_text().rstrip("\r\n")
    if not password:
        raise SecretError(f"{path} is empty", hint="remove it: a new password is made then")
    return password


def _make_password(path: Path) -> str:
    import secrets  # noqa: PLC0415 - only when there is none yet

    password = secrets.token_urlsafe(18)
    with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(password + "\n")
    return password


async def _serve(sandbox: Sandbox, password_file: Path, *, as_json: bool) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Before anything is said: whoever read that we are ready may end us at once.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    try:
        await sandbox.start()
    except OSError as error:
        where = f"{sandbox.host}:{sandbox.port}"
        raise AgentError(f"cannot serve on {where}: {error.strerror}", hint="--listen 127.0.0.1:0") from None
    try:
        click.echo(_ready_json(sandbox, password_file) if as_json else _ready_text(sandbox, password_file))
        await ended.wait()
    finally:
        await sandbox.stop()
    click.echo(_ending_json(sandbox) if as_json else _ending_text(sandbox))


def _ready_json(sandbox: Sandbox, password_file: Path) -> str:
    return json.dumps(
        {
            "event": "ready",
            "url": sandbox.url,
            "auth_url": sandbox.auth_url,
            "token_url": sandbox.token_url,
            "client_id": sandbox.settings.client_id,
            "endpoints": sandbox.endpoints,
            "username": sandbox.settings.username,
            "password_file": str(password_file),
            "record": str(sandbox.platform.recorder.path.absolute()) if sandbox.platform.recorder else None,
            "pid": os.getpid(),
        }
    )


def _ready_text(sandbox: Sandbox, password_file: Path) -> str:
    lines = [
        f"The sandbox serves on {sandbox.url} (process {os.getpid()}); Ctrl-C ends it.",
        f"Its password is in {password_file}.",
        f"OAuth 2.0: {sandbox.token_url}, client {sandbox.settings.client_id}, the password is its secret.",
        f"What it has seen: {sandbox.url}/_sandbox/state",
    ]
    if sandbox.platform.recorder:
        lines.append(f"Every request is kept in {sandbox.platform.recorder.path}.")
    lines += ["", "A connection for it, as connections/sandbox.yaml:", "", sandbox.connection(password_file)]
    return "\n".join(lines)


def _ending_json(sandbox: Sandbox) -> str:
    from dataclasses import asdict  # noqa: PLC0415 - at the end only

    return json.dumps({"event": "ended", **asdict(sandbox.state())})


def _ending_text(sandbox: Sandbox) -> str:
    state = sandbox.state()
    return (
        f"Ended after {state.total} requests with {sum(state.records.values())} records: "
        f"{state.logins} logins ({state.failed_logins} failed), {state.refreshes} refreshes "
        f"({state.refresh_reuse} reuses), {state.unauthorized} times 401, {state.repeats} repeats."
    )
