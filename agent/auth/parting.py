"""How a pair is given up: first here, durably, then at the Auth API, where it can be told.

In this order, so that whatever the network does, nothing of it is left here.
"""

from __future__ import annotations

from typing import Protocol

from agent.auth.exchange import Denied, Failed, Lost
from agent.auth.memory import SessionMemory
from agent.auth.token import Token

ERASED = "the tokens are erased"
NOTHING = "there were no tokens"
ONLY_IN_MEMORY = "the tokens are erased in memory, but the state cannot be written now: it is tried again"


class Farewell(Protocol):
    """A grant that may know how to end a pair at the Auth API."""

    async def part(self, token: Token, /) -> Denied | Failed | Lost | str:
        """How it was told, or why it was not; "" where it cannot be told. Never raises."""


async def part(farewell: Farewell, memory: SessionMemory, token: Token | None) -> str:
    """Erase the pair, then tell the Auth API. What came of both, for people."""
    had = token is not None or memory.row.sealed is not None
    async with memory.turn():
        await memory.erase()
    words = ONLY_IN_MEMORY if memory.unsaved else ERASED if had else NOTHING
    if token is None or not token.refresh:
        return words
    match await farewell.part(token):
        case "":
            return words
        case str(told):
            return f"{words}; {told}"
        case Denied(text=text) | Failed(text=text) | Lost(text=text):
            return f"{words}; the Auth API could not be told: {text}"
