"""`auth refresh|login|forget|rekey`: by the daemon if one runs, else here, under the state's lock."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.commands.options import state_folder
from agent.errors import AgentError, ConfigError, StateLocked, UsageError
from agent.web.client import call_and_wait, is_living

if TYPE_CHECKING:
    from agent.message import JsonValue

# A call to an Auth API takes 25 s at most; a lost answer is replayed, and what is under way is waited for.
PATIENCE = 120.0


def ask(action: str, names: tuple[str, ...], config: Path, state: Path | None) -> list[dict[str, Any]]:
    """The outcome for each name: what was done, or the error with its hint and exit code."""
    folder = state_folder(config, state)
    living = is_living(folder)
    answers = []
    for name in dict.fromkeys(names):
        answer: dict[str, Any] = {"connection": name, "action": action, "outcome": ""}
        answer |= {"error": "", "hint": "", "exit_code": 0}
        try:
            if living:
                answer |= _call(folder, {"action": action, "connection": name})
            else:
                answer |= _alone(action, name, config, folder)
        except AgentError as error:
            answer |= _told(error)
        answers.append(answer)
    return answers


def rekey(config: Path, state: Path | None) -> dict[str, Any]:
    """How many pairs were sealed anew. Raises AgentError."""
    folder = state_folder(config, state)
    if is_living(folder):
        return _call(folder, {"action": "rekey"})
    from agent.clock import SystemClock  # noqa: PLC0415 - beside its use
    from agent.config import load_settings  # noqa: PLC0415 - yaml costs 30 ms
    from agent.oneshot import rekey_once  # noqa: PLC0415 - the heavy half of the agent

    if not folder.is_dir():
        raise UsageError(f"there is no state folder {folder}", hint="its key is made at the first start")
    settings = replace(load_settings(config), state=folder)
    try:
        return dict(asyncio.run(rekey_once(config=config, settings=settings, clock=SystemClock())))
    except StateLocked as error:
        raise _between(error) from error


def _call(state: Path, arguments: dict[str, JsonValue]) -> dict[str, Any]:
    return dict(call_and_wait(state, "auth", arguments, timeout=PATIENCE))


def _alone(action: str, name: str, config: Path, state: Path) -> dict[str, Any]:
    from agent.clock import SystemClock  # noqa: PLC0415 - beside its use
    from agent.config import load  # noqa: PLC0415 - yaml and jsonschema
    from agent.logs import set_up_logs  # noqa: PLC0415
    from agent.oneshot import act_once  # noqa: PLC0415 - the heavy half of the agent

    loaded = load(config)
    if name not in loaded.plan.connections and loaded.errors:
        raise ConfigError(loaded.errors)
    set_up_logs("error", loaded.plan.settings.log_format)
    settings = replace(loaded.plan.settings, state=state)
    work = act_once(action, name, config=config, settings=settings, plan=loaded.plan, clock=SystemClock())
    try:
        return dict(asyncio.run(work))
    except StateLocked as error:
        raise _between(error) from error


def _between(error: StateLocked) -> StateLocked:
    return StateLocked(error.message, hint="the daemon is starting or stopping: try again")


def _told(error: AgentError) -> dict[str, Any]:
    from agent.logs import blotter  # noqa: PLC0415 - only when something is wrong

    text = str(error) if isinstance(error, ConfigError) else error.message
    return {
        "error": blotter.clean(text),
        "hint": blotter.clean(error.hint),
        "exit_code": error.exit_code,
    }
