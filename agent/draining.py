"""Draining: nothing more is collected, and what is in the spool leaves. `push-agent drain` asks for it.

begin ─▶ collecting is paused (kept over restarts) ─▶ ask how far it is (`following`) … ─▶ end
                                                        end with resume: what `begin` has paused goes on
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from agent.engine import Engine
from agent.errors import AgentError
from agent.message import JsonValue
from agent.pauses.wish import Wish, wish_of

_REASON = "drained"


@dataclass(frozen=True, kw_only=True, slots=True)
class Drain:
    """What was begun."""

    jobs: tuple[str, ...]
    """That are to be waited for."""
    paused: tuple[str, ...]
    """Those of them that collected until then."""


class Draining:
    """For one engine. Belongs to its event loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def begin(self, wish: Wish) -> Drain:
        """Pause collecting of these jobs, of those that deliver over these connections, or of all.

        Raises UsageError for an unknown name, AgentError when delivering of one is paused.
        """
        pauses = self._engine.pauses
        jobs = pauses.jobs_of(wish)
        stuck = [row for row in map(pauses.delivering_paused, jobs) if row is not None]
        if stuck:
            name = stuck[0].name if stuck[0].kind == "job" else f"--connection {stuck[0].name}"
            hint = f"push-agent resume {name} --delivering, then drain"
            raise AgentError(f"{stuck[0].said}: what is in the spool cannot leave", hint=hint)
        before = {row.name for row in pauses.rows() if (row.kind, row.part) == ("job", "collecting")}
        collecting = tuple(job for job in jobs if job not in before)  # a pause of before keeps its end
        wanted = Wish(jobs=collecting, parts=("collecting",), reason=wish.reason or _REASON)
        fresh = await pauses.pause(wanted)
        return Drain(jobs=jobs, paused=tuple(row.name for row in fresh))

    async def end(self, drain: Drain) -> None:
        """What `begin` has paused is collected again."""
        await self._engine.pauses.resume(Wish(jobs=drain.paused, parts=("collecting",)))

    async def answer(self, arguments: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """For the control socket: `begin` (jobs, connections, everything, reason), `end` (paused)."""
        action = arguments.get("action")
        wish = replace(wish_of(arguments), parts=("collecting",))
        if action == "begin":
            drain = await self.begin(wish)
            return {"jobs": [*drain.jobs], "paused": [*drain.paused]}
        if action == "end":
            await self.end(Drain(jobs=(), paused=wish.jobs))
            return {}
        raise AgentError("drain wants an action (begin, end)")
