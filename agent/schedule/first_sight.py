"""What a schedule does when it is added: it is first seen, or it was known and missed something.

the memory knows nothing      every: run at once; cron, at: wait for their time
the memory knows a time       what lies between it and now was missed: `missed` decides
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from agent.config.model import Schedule
from agent.errors import AgentError
from agent.logs import get_log
from agent.occurrences import Rule
from agent.schedule.announcer import Memory
from agent.schedule.groups import resume_from
from agent.schedule.missed import Verdict, judge

log = get_log("schedule")

# Asked of the memory and worked out together, so that neither holds the event loop.
_TOGETHER = 200
WHY = "the agent was not running"
PAUSED = "it was paused"


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A job's schedule, added at a moment (seconds since 1970)."""

    job: str
    schedule: Schedule
    rule: Rule
    moment: float
    why: str = WHY
    """What kept it from running in time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """What it has to do."""

    seen: Seen
    verdict: Verdict
    trigger: str
    """`first` or `missed`."""
    remember: float | None = None
    """Write this, although nothing is announced."""
    held: float | None = None
    """Nothing up to this moment runs: it ran before the clock was set back."""


async def look(
    new: Sequence[Seen], memory: Memory, alive: Callable[[str, str], bool], do: Callable[[Sight], None]
) -> None:
    """Work out what each has to do, in parts; those that are gone meanwhile do nothing."""
    for part in _parts(new):
        try:
            known = await asyncio.gather(*(memory.last_due(seen.job, seen.rule.ident) for seen in part))
        except AgentError as error:
            # Better to run once too often than not at all: messages carry their own keys.
            log.warning("cannot recall what was due", reason=error.message)
            known = [None] * len(part)
        # In a thread: ten thousand occurrences of one cron text take a tenth of a second.
        for sight in await asyncio.to_thread(_decide_all, part, known):
            if alive(sight.seen.job, sight.seen.rule.ident):
                do(sight)


def decide(seen: Seen, remembered: float | None) -> Sight:
    """What one has to do."""
    if remembered is None:
        if seen.rule.kind == "every":
            return Sight(seen=seen, verdict=Verdict(run=[seen.moment]), trigger="first")
        return Sight(seen=seen, verdict=Verdict(), trigger="first", remember=seen.moment)
    start = resume_from(seen.rule, remembered, seen.moment)
    if start > seen.moment:
        return Sight(seen=seen, verdict=Verdict(), trigger="missed", held=start)
    verdict = judge(seen.rule, start, seen.moment, seen.schedule.missed, seen.why)
    return Sight(seen=seen, verdict=verdict, trigger="missed")


def _decide_all(part: Sequence[Seen], known: Sequence[float | None]) -> list[Sight]:
    return [decide(seen, remembered) for seen, remembered in zip(part, known, strict=True)]


def _parts(items: Sequence[Seen]) -> Iterator[Sequence[Seen]]:
    return (items[start : start + _TOGETHER] for start in range(0, len(items), _TOGETHER))
