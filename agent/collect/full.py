"""Runs that are not started because they could append nothing: the spool has no room for their job.

A run that finds the spool full in the middle waits there. One that has not begun holds no thread for that: it
is recorded as skipped, and its job is looked at again soon, whatever its schedule says.
"""

from __future__ import annotations

from agent.clock import Clock
from agent.collect.result import RunResult
from agent.collect.tally import Tally
from agent.collect.wanted import Wanted
from agent.collect.worker import HINTS
from agent.spool import Spool

# Seconds until its job is looked at again.
_AGAIN = 15.0


class Full:
    """Of all jobs. Used in the event loop."""

    def __init__(self, spool: Spool, clock: Clock, tally: Tally) -> None:
        self._spool = spool
        self._clock = clock
        self._tally = tally

    async def why_full(self, job: str) -> str:
        """Why a run of the job could append nothing; "" when it could. Raises StateError."""
        return await self._spool.why_full(job) if self._spool.limits.concern(job) else ""

    def skip(self, wanted: Wanted, reason: str) -> RunResult:
        """Not now."""
        if wanted.trigger not in HINTS:
            self._tally.skip(wanted, reason)
        return RunResult(state="skipped", reason=reason, look_again_at=self._clock.now() + _AGAIN)
