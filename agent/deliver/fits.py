"""How large a body a target takes, learned from its 413s: kept in the spool, so that collecting knows it too.

413 to S bytes ─▶ half of S, or the largest that was taken since, if that is more
100 bodies of about that size delivered ─▶ a tenth more; twice what was refused: forgotten
the job or its connection was changed by a reload ─▶ forgotten
"""

from __future__ import annotations

from agent.clock import Clock
from agent.logs import get_log
from agent.spool import Fit, Spool

log = get_log("deliver")

GROWS_AFTER = 100
"""Bodies of more than half the size, delivered one after the other."""
GROWS_BY = 10
"""A tenth."""


class Fits:
    """Of all jobs. Only delivery writes it; what cannot be stored is learned again."""

    def __init__(self, spool: Spool, clock: Clock) -> None:
        self._spool = spool
        self._clock = clock
        self._known: dict[str, Fit] | None = None
        self._largest: dict[str, int] = {}
        self._delivered: dict[str, int] = {}
        self.begun: set[tuple[str, int]] = set()
        """Lanes that have settled something in this process."""

    async def most(self, job: str) -> int | None:
        """Bytes before gzip; None: nothing was learned."""
        if self._known is None:
            self._known = dict(await self._spool.fits())
        fit = self._known.get(job)
        return None if fit is None else fit.size

    async def refused(self, job: str, size: int, *, half: int) -> int:
        """A body of several records and so many bytes was too large. The size that counts from now on.

        `half`: bytes of the larger one of its halves.
        """
        before = await self.most(job)
        taken = self._largest.get(job, 0)
        found = max(half, taken if taken < size else 0)
        if before is not None and before <= found:
            return before
        log.warning("the target takes no bodies of this size", job=job, bytes=size, from_now_on=found)
        await self._learn(Fit(job=job, size=found, refused=size, learned_at=self._clock.now()))
        return found

    async def delivered(self, job: str, size: int) -> None:
        """A body of several records was taken."""
        self._largest[job] = max(size, self._largest.get(job, 0))
        fit = (self._known or {}).get(job)
        if fit is None or size * 2 < fit.size:
            return
        self._delivered[job] = self._delivered.get(job, 0) + 1
        if self._delivered[job] < GROWS_AFTER:
            return
        grown = fit.size + max(fit.size // GROWS_BY, 1)
        if grown >= fit.refused * 2:
            self.forget(job)
            return
        await self._learn(Fit(job=job, size=grown, refused=fit.refused, learned_at=self._clock.now()))

    def forget(self, job: str) -> None:
        """The job's target is another one, or takes what it did not take once."""
        self._largest.pop(job, None)
        self._delivered.pop(job, None)
        if self._known is not None and self._known.pop(job, None) is None:
            return
        self._spool.drop_fit(job)

    async def _learn(self, fit: Fit) -> None:
        assert self._known is not None
        self._known[fit.job] = fit
        self._delivered[fit.job] = 0
        try:
            await self._spool.set_fit(fit)
        except Exception as error:  # noqa: BLE001 - it holds in this process, and is learned again in the next
            log.debug("a size is not stored", job=fit.job, reason=str(error))
