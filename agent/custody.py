"""What a person asks of the sign-in: the same in the daemon and, where none runs, in the command itself.

refresh, login, forget (of one connection) · rekey (of all)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, Literal, TypeAlias, get_args

from agent.auth import Session
from agent.auth.memory import turn_of
from agent.engine import Engine
from agent.errors import NotSignedIn, UsageError, no_connection
from agent.message import JsonValue
from agent.phrases import rfc3339
from agent.rekey import change_key

Action: TypeAlias = Literal["refresh", "login", "forget"]
ACTIONS: Final[tuple[str, ...]] = get_args(Action)
_WORTH_A_WORD = 1.0
"""Seconds; a shorter wait is over before the hint is read."""


async def act(engine: Engine, action: str, name: str, *, known: Iterable[str] = ()) -> dict[str, JsonValue]:
    """Do it; what came of it. Raises UsageError, NotSignedIn, StateError.

    `known` are the connections there are, where the engine has not opened all of them.
    """
    connection = engine.connections.get(name)
    if connection is None:
        if action == "forget" and (outcome := await _forget_stranger(engine, name)):
            return {"connection": name, "action": action, "outcome": outcome}
        raise no_connection(name, known or engine.connections)
    try:
        outcome = await _ask(connection.session, action)
    except NotSignedIn as error:
        raise _with_wait(error) from error
    return {"connection": name, "action": action, "outcome": outcome}


async def rekey(engine: Engine) -> dict[str, JsonValue]:
    """A new key for every stored pair. Raises UsageError, StateError."""
    async with engine.changing_key:
        return {"action": "rekey", "pairs": await change_key(engine.custody)}


async def _ask(session: Session, action: str) -> str:
    match action:
        case "refresh":
            await session.refresh()
        case "login":
            await session.login()
        case "forget":
            return await session.forget()
        case _:
            raise UsageError(f"auth knows no {action!r}", hint=f"it knows {', '.join(ACTIONS)}")
    status = session.status()
    until = f", good until {rfc3339(status.expires_at)}" if status.expires_at is not None else ""
    return f"generation {status.generation}{until}"


async def _forget_stranger(engine: Engine, name: str) -> str:
    """Of a connection that the config no longer has, only the row in the state is left."""
    # Behind a renewal that was under way when the connection left: its pair goes too.
    async with turn_of(engine.spool, name):
        row = await engine.spool.session(name)
        if row is None or row.sealed is None:
            return ""
        await engine.spool.store_session(replace(row, sealed=None, refreshing=None, expires_at=None))
    return "the tokens are erased; the connection is no longer in the config"


def _with_wait(error: NotSignedIn) -> NotSignedIn:
    wait = error.retry_after
    if wait is None or wait < _WORTH_A_WORD:
        return error
    words = f"the next try makes sense in {wait:.0f} s"
    hint = f"{error.hint}; {words}" if error.hint else words
    return NotSignedIn(error.message, hint=hint, retry_after=wait)
