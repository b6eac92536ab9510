"""Says once when the spool, or a job's share of it, is nearly full, and once when there is room again.

0 ───────────── 70 % ───── 80 % ───── 100 %
                  │          └─ warning, once        at the limit collecting waits
                  └─ info, once; in between nothing is said
"""

from __future__ import annotations

from agent.clock import Clock
from agent.errors import AgentError
from agent.limit import HIGH, LOW
from agent.logs import get_log
from agent.spool import Spool

log = get_log("spool")

_LOOK = 5.0
"""Seconds between two looks."""
_ALL = ""


class Levels:
    """Of one spool. Belongs to the event loop."""

    def __init__(self, spool: Spool, clock: Clock) -> None:
        self._spool = spool
        self._clock = clock
        self._high: set[str] = set()

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            try:
                await self.look()
            except AgentError as error:
                log.debug("the level of the spool is not known", reason=error.message)
            await self._clock.sleep(_LOOK)

    async def look(self) -> None:
        """At all limits. Raises StateError."""
        limits, used = self._spool.limits, await self._spool.used_bytes()
        backlogs = {one.job: one for one in await self._spool.backlogs()} if limits.any else {}
        messages = sum(one.messages + one.held for one in backlogs.values())
        share = max(used / self._spool.max_bytes, limits.total.share(messages, 0))
        told = f"{used:,} of {self._spool.max_bytes:,} bytes"
        if limits.total.share(messages, 0) == share and limits.total:
            told = limits.total.told(messages, 0)
        self._see(_ALL, share, told)
        for job, limit in limits.jobs.items():
            one = backlogs.get(job)
            count, size = (one.messages + one.held, one.bytes + one.held_bytes) if one else (0, 0)
            self._see(job, limit.share(count, size), limit.told(count, size))
        self._high -= {job for job in self._high if job != _ALL and job not in limits.jobs}

    def _see(self, job: str, share: float, told: str) -> None:
        words = {"job": job} if job else {}
        percent = round(share * 100)
        if share >= HIGH and job not in self._high:
            self._high.add(job)
            log.warning("the spool is nearly full", **words, percent=percent, used=told)
        elif share < LOW and job in self._high:
            self._high.discard(job)
            log.info("the spool has room again", **words, percent=percent, used=told)
