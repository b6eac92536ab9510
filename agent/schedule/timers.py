"""APScheduler, used as what it is good at: waking up in time for ten thousand timers.

It decides nothing. Each timer asks our own `next()` when to wake and calls our own `wake()`; what is
due is worked out there, from a clock that a test can hold.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.executors.base import BaseExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from agent.logs import get_log

log = get_log("schedule")

# datetime's year ends at 9999, and a timer that far away is none.
_FURTHEST = timedelta(days=3650)
_AGAIN = timedelta(milliseconds=50)


class Timers:
    """Named timers on the running event loop."""

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            executors={"default": _OnTheLoop()},
            # One call per wake-up, however late: what was missed is counted by whoever is woken.
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )

    def start(self) -> None:
        """From inside the event loop."""
        self._scheduler.start()

    def stop(self) -> None:
        """No timer fires any more; none of them runs work that could be cut off."""
        if self._scheduler.running:
            self._scheduler.remove_all_jobs()
            self._scheduler.shutdown(wait=False)

    def set(self, name: str, wake: Callable[[], None], upcoming: Callable[[], float | None]) -> None:
        """Call `wake` at the moment that `upcoming` says (seconds since 1970), again and again; replaces."""
        trigger = _Upcoming(upcoming)
        first = trigger.get_next_fire_time(None, datetime.now(UTC))
        if first is None:
            self.drop(name)
            return
        self._scheduler.add_job(wake, trigger, id=name, name=name, next_run_time=first, replace_existing=True)

    def drop(self, name: str) -> None:
        """Forget a timer; it need not exist."""
        try:
            self._scheduler.remove_job(name)
        except JobLookupError:
            return


class _Upcoming(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """A trigger that asks. It never lies in the past: APScheduler would walk through all of it."""

    __slots__ = ("_upcoming",)

    def __init__(self, upcoming: Callable[[], float | None]) -> None:
        self._upcoming = upcoming

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """The next moment; one that does not move on is tried again soon, not at once."""
        moment = self._upcoming()
        if moment is None:
            return None
        earliest = now if previous is None else now + _AGAIN
        latest = now + _FURTHEST
        wanted = datetime.fromtimestamp(min(moment, latest.timestamp()), UTC)
        return max(wanted, earliest)


class _OnTheLoop(BaseExecutor):  # type: ignore[misc]  # APScheduler has no types
    """Calls at once, on the event loop: an announcement needs neither a task nor a thread."""

    def _do_submit_job(self, job: _Job, run_times: list[datetime]) -> None:
        del run_times
        try:
            job.func()
        except Exception as error:  # noqa: BLE001 - one timer must not stop the others
            log.bug("a timer failed", error, timer=job.id)
        # submit_job counts the call after this returns, so it is given back a moment later.
        self._scheduler._eventloop.call_soon(self._run_job_success, job.id, [])  # noqa: SLF001


class _Job:
    """What we use of APScheduler's job."""

    id: str
    func: Callable[[], None]
