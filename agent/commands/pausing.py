"""What `pause`, `resume` and `drain` share: asking the daemon, or doing it under the state's lock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.commands.options import state_folder
from agent.commands.screen import good, moment, note
from agent.errors import ConfigError, StateLocked, UsageError
from agent.web.client import call_and_wait, is_living

if TYPE_CHECKING:
    from agent.message import JsonValue

PATIENCE = 30.0
PARTS = ("collecting", "delivering")


def parts_of(*, collecting: bool, delivering: bool) -> list[str]:
    """Those that were named; both when none was."""
    named = [part for part, wanted in zip(PARTS, (collecting, delivering), strict=True) if wanted]
    return named or list(PARTS)


def wish(
    jobs: Iterable[str],
    connections: Iterable[str],
    *,
    everything: bool,
    parts: list[str],
    reason: str = "",
    seconds: float | None = None,
) -> dict[str, JsonValue]:
    """What the control socket is asked for. Raises UsageError when nothing is named, or too much."""
    names, places = list(jobs), list(connections)
    if everything and (names or places):
        raise UsageError("--all means all of them", hint="leave the names out")
    if not (everything or names or places):
        raise UsageError("name a job, --connection NAME, or --all", hint="push-agent status lists them")
    return {
        "jobs": [*names],
        "connections": [*places],
        "everything": everything,
        "parts": [*parts],
        "reason": reason,
        "seconds": seconds,
    }


def ask(action: str, wanted: dict[str, JsonValue], config: Path, state: Path | None) -> dict[str, Any]:
    """What changed, and all that is paused now. Raises AgentError."""
    folder = state_folder(config, state)
    if is_living(folder):
        return dict(call_and_wait(folder, "pause", {"action": action, **wanted}, timeout=PATIENCE))
    if not folder.is_dir():
        raise UsageError(f"there is no state folder {folder}", hint="it is made at the first start")
    try:
        return asyncio.run(_alone({"action": action, **wanted}, config, folder))
    except StateLocked as error:
        raise StateLocked(error.message, hint="the daemon is starting or stopping: try again") from error


async def _alone(words: dict[str, JsonValue], config: Path, state: Path) -> dict[str, Any]:
    from agent.clock import SystemClock  # noqa: PLC0415
    from agent.config import load  # noqa: PLC0415 - yaml and jsonschema
    from agent.logs import set_up_logs  # noqa: PLC0415
    from agent.pauses import Pauses  # noqa: PLC0415
    from agent.spool import Spool  # noqa: PLC0415 - sqlalchemy costs 250 ms

    loaded = await asyncio.to_thread(load, config)
    settings, clock = loaded.plan.settings, SystemClock()
    set_up_logs("error", settings.log_format)
    spool = await asyncio.to_thread(
        Spool.open, state, max_bytes=settings.spool_max_bytes, clock=clock, owner=str(words["action"])
    )
    try:
        pauses = Pauses(spool, clock)
        pauses.set_plan(loaded.plan, {})
        await pauses.recall()
        return await pauses.answer(words)
    except UsageError:
        if loaded.errors:  # the name may stand in a file that is wrong
            raise ConfigError(loaded.errors) from None
        raise
    finally:
        await asyncio.to_thread(spool.close)


def tell(answer: dict[str, Any], wanted: dict[str, Any]) -> None:
    """What came of it, a line for each name."""
    changed = _by_name(answer["changed"])
    for name, rows in changed.items():
        click.echo(_line(answer["action"], name, rows))
    named = [f"job {name}" for name in wanted["jobs"]]
    named += [f"connection {name}" for name in wanted["connections"]]
    paused = _by_name(answer["paused"])
    for name in named:
        if name in changed:
            continue
        if name in paused and answer["action"] == "pause":
            click.echo(f"{name}: {note('was paused already')}: {_told(paused[name])}")
        else:
            click.echo(f"{name}: nothing to resume")
    if not changed and not named:
        click.echo("nothing was paused" if answer["action"] == "resume" else "all was paused already")


def _by_name(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(f"{row['kind']} {row['name']}", []).append(row)
    return found


def _line(action: str, name: str, rows: list[dict[str, Any]]) -> str:
    if action == "resume":
        return f"{name}: {good('goes on')}: {' and '.join(row['part'] for row in rows)}"
    return f"{name}: {note('paused')}: {_told(rows)}"


def _told(rows: list[dict[str, Any]]) -> str:
    words = " and ".join(row["part"] for row in rows)
    ends = rows[0]["until_at"]
    words += f", until {moment(ends)}" if ends else ", until it is resumed"
    return words + (f" ({rows[0]['reason']})" if rows[0]["reason"] else "")
