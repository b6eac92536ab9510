"""`push-agent find` asked of the daemon, which has all that looking needs in memory already.

The database is read beside the spool's thread, by a connection of its own that can only read, in a thread:
neither the event loop nor a delivery waits for it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent.errors import UsageError
from agent.message import JsonValue
from agent.spool import Outside
from agent.trace import MOST_TOLD, to_json


class Finding:
    """Looks for one who asks after the other: a look takes milliseconds, and they share a disk."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._turn = asyncio.Lock()

    async def answer(self, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """`{"key": …, "job": …, "limit": …}` → `{"found": […]}` (see `agent.trace`). Raises UsageError."""
        key, job, limit = arguments.get("key"), arguments.get("job", ""), arguments.get("limit", 20)
        if not (isinstance(key, str) and isinstance(job, str) and isinstance(limit, int)):
            raise UsageError("find takes a key, a job and a limit")
        if not 0 < limit <= MOST_TOLD:
            raise UsageError(f"the daemon finds {MOST_TOLD} messages at most")
        async with self._turn:
            return {"found": await asyncio.to_thread(self._look, key, job, limit)}

    def _look(self, key: str, job: str, limit: int) -> list[JsonValue]:
        with Outside.open(self._state) as outside:
            return [to_json(one) for one in outside.find(key, job=job, limit=limit)]
