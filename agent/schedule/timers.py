"""APScheduler, used as what it is good at: waking up in time. It decides nothing.

    timers by name ──▶ heap of moments ──▶ one APScheduler job, whose trigger is the heap's top

Each timer asks its own `upcoming()` when to wake and calls its own `wake()`; what is due is worked
out there, from a clock that a test can hold. One APScheduler job and not ten thousand: adding one
takes it 0.4 ms.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

from apscheduler.executors.base import BaseExecutor
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from agent.logs import get_log

log = get_log("schedule")

_NEXT = "next"
# datetime's year ends at 9999, and a timer that far away is none: seconds.
_FURTHEST = 3650 * 86400.0
# A timer that does not move on is tried again this much later: seconds.
_AGAIN = 0.05
# Seconds of the event loop in one go; it must never stall for more than 50 ms.
_SLICE = 0.01


@dataclass(frozen=True, slots=True)
class _Timer:
    order: int
    """Tells its entries in the heap from those of an older timer of the same name."""
    wake: Callable[[], None]
    upcoming: Callable[[], float | None]


class Timers:
    """Named timers on the running event loop."""

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            executors={"default": _OnTheLoop()},
            # One call per wake-up, however late: what was missed is counted by whoever is woken.
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )
        self._timers: dict[str, _Timer] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._order = count()
        self._armed: float | None = None
        self._arming = False

    def start(self) -> None:
        """From inside the event loop."""
        self._scheduler.start()

    def stop(self) -> None:
        """No timer fires any more; none of them runs work that could be cut off."""
        self._timers.clear()
        if self._scheduler.running:
            self._scheduler.remove_all_jobs()
            self._scheduler.shutdown(wait=False)

    def set(self, name: str, wake: Callable[[], None], upcoming: Callable[[], float | None]) -> None:
        """Call `wake` at the moment that `upcoming` says (seconds since 1970), again and again; replaces."""
        self._timers[name] = _Timer(next(self._order), wake, upcoming)
        self._push(name, after=0.0)
        if not self._arming:
            self._arming = True
            asyncio.get_running_loop().call_soon(self._arm)

    def drop(self, name: str) -> None:
        """Forget a timer; it need not exist."""
        self._timers.pop(name, None)

    def upcoming(self) -> float | None:
        """When the first of all wants to wake."""
        while self._heap:
            moment, order, name = self._heap[0]
            timer = self._timers.get(name)
            if timer is not None and timer.order == order:
                return moment
            heapq.heappop(self._heap)
        return None

    def _push(self, name: str, *, after: float) -> None:
        timer = self._timers[name]
        moment = timer.upcoming()
        if moment is not None:
            heapq.heappush(self._heap, (max(moment, after), timer.order, name))

    def _arm(self) -> None:
        """Let APScheduler wake us earlier than it would, if need be."""
        self._arming = False
        first = self.upcoming()
        if first is None or not self._scheduler.running or (self._armed is not None and self._armed <= first):
            return
        trigger = _Trigger(self._fire_time)
        run_time = trigger.get_next_fire_time(None, datetime.now(UTC))
        self._scheduler.add_job(
            self._wake, trigger, id=_NEXT, name=_NEXT, next_run_time=run_time, replace_existing=True
        )

    def _fire_time(self, now: float) -> float | None:
        first = self.upcoming()
        self._armed = None if first is None else min(first, now + _FURTHEST)
        return self._armed

    def _wake(self) -> None:
        now = time.time()
        until = time.monotonic() + _SLICE
        while (first := self.upcoming()) is not None and first <= now and time.monotonic() < until:
            _, _, name = heapq.heappop(self._heap)
            timer = self._timers[name]
            try:
                timer.wake()
            except Exception as error:  # noqa: BLE001 - one timer must not stop the others
                log.bug("a timer failed", error, timer=name)
            if self._timers.get(name) is timer:
                self._push(name, after=now + _AGAIN)


class _Trigger(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """A trigger that asks. It never lies in the past: APScheduler would walk through all of it."""

    __slots__ = ("_fire_time",)

    def __init__(self, fire_time: Callable[[float], float | None]) -> None:
        self._fire_time = fire_time

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """The next moment; what is left of the last wake-up comes a millisecond later."""
        moment = self._fire_time(now.timestamp())
        if moment is None:
            return None
        earliest = now if previous is None else now + timedelta(milliseconds=1)
        return max(datetime.fromtimestamp(moment, UTC), earliest)


class _OnTheLoop(BaseExecutor):  # type: ignore[misc]  # APScheduler has no types
    """Calls at once, on the event loop: an announcement needs neither a task nor a thread."""

    def _do_submit_job(self, job: _Job, run_times: list[datetime]) -> None:
        del run_times
        try:
            job.func()
        except Exception as error:  # noqa: BLE001 - APScheduler would only log it in its own words
            log.bug("the timers failed", error)
        # submit_job counts the call after this returns, so it is given back a moment later.
        asyncio.get_running_loop().call_soon(self._run_job_success, job.id, [])


class _Job:
    """What we use of APScheduler's job."""

    id: str
    func: Callable[[], None]
