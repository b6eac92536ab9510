"""The two threads that hand over to each other all the time belong on one core.

Python lets one of its threads run at a time. The event loop and the thread of the spool change places several
times for each message; on two cores each change wakes the other core and moves the interpreter's whole
state to it, which takes as long again as the work itself. So while both are busy they are kept on the core
that the loop runs on, and let go when they rest or when somebody else wants that core too.

    rest ──both busy──▶ together ──one rests──▶ rest
                           └───crowded──▶ rest, and not again for a while

All other threads run anywhere (see `cores`).
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.clock import Clock
from agent.cores import EVERYWHERE, Cores, SystemCores, Used
from agent.logs import get_log

log = get_log("cores")

LOOK_EVERY = 0.5
"""Seconds between two looks while they run anywhere: a short burst gains, too."""
STAY = 1.0
"""The same while they are kept: whether they are crowded shows in a longer while only."""
BUSY = 0.03
"""Share of a core that a busy thread takes."""
CROWDED = 0.25
"""Share of the time that the two wait for their core while neither of them has it."""
NOT_AGAIN = 10.0
"""Seconds after they were crowded out."""


class Together:
    """Keeps these threads together while they are busy."""

    def __init__(
        self,
        threads: Sequence[int],
        clock: Clock,
        *,
        cores: Cores | None = None,
        among: frozenset[int] | None = None,
    ) -> None:
        """The first one leads: the others come to its core. `among`: the cores that they may run on."""
        self.core: int | None = None
        """Where they are kept; None: nowhere."""
        self._threads = threads
        self._clock = clock
        self._cores = SystemCores() if cores is None else cores
        self._among = EVERYWHERE if among is None else among
        self._not_before = 0.0

    async def run(self) -> None:
        """Look for ever, or until it is clear that nothing can be done."""
        if len(self._among) < 2:  # noqa: PLR2004 - of one core there is nothing to choose
            return
        try:
            before, at = self._read(), self._clock.monotonic()
            while True:
                await self._clock.sleep(LOOK_EVERY if self.core is None else STAY)
                now, then = self._read(), self._clock.monotonic()
                self._look(before, now, max(then - at, 1e-3), then)
                before, at = now, then
        except OSError as error:
            log.debug("threads stay where the system puts them", reason=str(error))
        finally:
            self._let_go()

    def _read(self) -> list[Used]:
        return [self._cores.used(thread) for thread in self._threads]

    def _look(self, before: Sequence[Used], now: Sequence[Used], seconds: float, at: float) -> None:
        ran = [new.ran - old.ran for old, new in zip(before, now, strict=True)]
        waited = [new.waited - old.waited for old, new in zip(before, now, strict=True)]
        busy = min(ran) > BUSY * seconds
        if self.core is None:
            if busy and at >= self._not_before:
                core = self._cores.where(self._threads[0])
                for thread in self._threads:
                    self._cores.keep(thread, frozenset({core}))
                self.core = core
        elif not busy:
            self._let_go()
        elif any(wait - (sum(ran) - own) > CROWDED * seconds for wait, own in zip(waited, ran, strict=True)):
            # they wait for each other, too, but for no longer than the other one runs
            self._not_before = at + NOT_AGAIN
            self._let_go()

    def _let_go(self) -> None:
        if self.core is None:
            return
        self.core = None
        try:
            for thread in self._threads:
                self._cores.keep(thread, self._among)
        except OSError as error:  # a thread that has ended needs no core
            log.debug("a thread is kept where it was", reason=str(error))
