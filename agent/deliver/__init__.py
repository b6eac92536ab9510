"""Delivery: one task per lane that has something to send; nothing else costs anything.

on_append ─▶ wake(job) ─▶ scan ─▶ Lane, Lane, …   each: oldest ─▶ attempt ─▶ ack
reload ────▶ set_routes ─▶ the next attempt goes the new way; lanes in a wait look at it at once
pause ─────▶ hold ───────▶ what is in flight ends; lanes wait until they are let go, then go on at once
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeAlias

from agent.clock import Clock
from agent.config.model import Delivery
from agent.connections import OpenConnection
from agent.deliver.fits import Fits
from agent.deliver.house import House, Way
from agent.deliver.lane import Lane
from agent.deliver.tally import DeliverySnapshot, Durations, Sums, Tally
from agent.deliver.waiting import first_of
from agent.logs import get_log
from agent.message import lane_number
from agent.pacing import Random, backoff
from agent.request import Route
from agent.spool import LaneWait, PauseRow, Spool
from agent.target import Terms

__all__ = ["Deliverer", "DeliverySnapshot", "Durations", "LaneWait", "RouteEntry", "Sums"]

RouteEntry: TypeAlias = "tuple[Route, Delivery, OpenConnection]"

log = get_log("deliver")


class Deliverer:
    """Sends what is in the spool. Belongs to one event loop."""

    def __init__(
        self, spool: Spool, *, clock: Clock, random: Random, settled: Callable[[], None] = lambda: None
    ) -> None:
        """`settled` is called when a message of a source file was delivered or buried."""
        self._tally = Tally()
        self._entries: dict[str, RouteEntry] = {}
        self._ways: dict[str, Way] = {}
        self._held: Mapping[str, PauseRow] = {}
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._lanes_of: Counter[str] = Counter()
        self._tasks: dict[Lane, asyncio.Task[None]] = {}
        self._scanner: asyncio.Task[None] | None = None
        self._look = asyncio.Event()
        self._jobs_to_look_at: set[str] = set()
        self._look_at_all = True
        self._stopping = False
        self._news: asyncio.Event = asyncio.Event()
        self._clock = clock
        self._random = random
        self._spool = spool
        self._house = House(
            spool=spool,
            clock=clock,
            random=random,
            tally=self._tally,
            fits=Fits(spool, clock),
            way_of=self._way_of,
            held=lambda job: self._held.get(job),  # noqa: PLW0108 - another mapping takes its place
            news=self._tell,
            settled=settled,
        )

    # ------------------------------------------------------------------ life

    async def start(self, only: str = "") -> None:
        """Begin with all that lies in the spool, or with what is there of one job.

        `set_routes` may come before or after.
        """
        if only:
            self._look_at_all = False
            self._jobs_to_look_at.add(only)
        self._look.set()
        self._scanner = asyncio.create_task(self._scan(), name="deliver scan")

    async def stop(self, grace: float) -> int:
        """Start nothing new, let what is in flight end and be stored; after `grace` seconds cut it off.

        Returns how many requests were cut off: they will be sent again, with the same key. Twice is fine.
        """
        self._stopping = True
        if self._scanner is not None:
            self._scanner.cancel()
            await asyncio.wait({self._scanner})
        for lane, task in self._tasks.items():
            lane.waiting.stopping = True
            if not lane.waiting.busy:
                task.cancel()
        if self._tasks:
            ends = asyncio.gather(*self._tasks.values(), return_exceptions=True)
            await first_of(asyncio.shield(ends), self._clock.sleep(grace))
        left = [lane for lane, task in self._tasks.items() if not task.done() and lane.waiting.busy]
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tell()
        return len(left)

    # ------------------------------------------------------------------ what it is told

    def set_routes(self, entries: Mapping[str, RouteEntry]) -> None:
        """Swap all ways at once. What is in flight ends as it began; unchanged jobs notice nothing.

        A job that is missing here keeps its messages: they wait, visibly, for a route.
        """
        ways: dict[str, Way] = {}
        changed: list[str] = []
        for job, entry in entries.items():
            known = self._entries.get(job)
            if known is entry or known == entry:
                ways[job] = self._ways[job]
                continue
            changed.append(job)
            route, delivery, connection = entry
            target = route.target
            terms = Terms(
                success=target.success,
                total=target.timeout.total_seconds(),
                connect=target.connect_timeout.total_seconds(),
                reply=target.reply is not None,
            )
            ways[job] = Way(
                route=route,
                delivery=delivery,
                connection=connection,
                terms=terms,
                door=connection.door(route.url),
            )
        before, self._ways = self._ways, ways
        self._entries = dict(entries)
        for job in changed:
            if job in before:
                self._house.fits.forget(job)
        for lane in self._lanes.values():
            if before.get(lane.job) is not ways.get(lane.job):
                lane.waiting.look_again = True
                lane.waiting.changed.set()

    def hold(self, held: Mapping[str, PauseRow]) -> None:
        """These jobs are paused, and no others: their lanes wait; those that were let go look at once."""
        before, self._held = self._held, dict(held)
        for lane in self._lanes.values():
            if before.get(lane.job) != self._held.get(lane.job):
                lane.waiting.changed.set()

    def wake(self, job: str) -> None:
        """Messages of this job became visible in the spool."""
        self._jobs_to_look_at.add(job)
        self._look.set()

    # ------------------------------------------------------------------ what it tells

    def snapshot(self) -> DeliverySnapshot:
        """What was done and what is waited for."""
        waits = tuple(lane.waiting.now for lane in self._lanes.values() if lane.waiting.now is not None)
        return self._tally.snapshot(lanes=len(self._lanes), waits=waits)

    async def drained(self, job: str) -> LaneWait | None:
        """Wait until the job has nothing more to send (None), or one of its lanes waits: then why."""
        while not self._stopping:
            news = self._news
            waits = (lane.waiting.now for lane in self._lanes.values() if lane.job == job)
            if (wait := next((one for one in waits if one is not None), None)) is not None:
                return wait
            if not await self._spool.lanes(job):
                return None
            self.wake(job)
            await news.wait()
        return None

    # ------------------------------------------------------------------ lanes come and go

    async def _scan(self) -> None:
        """Start a lane wherever something lies and none runs."""
        failures = 0
        while True:
            await self._look.wait()
            self._look.clear()
            everything, self._look_at_all = self._look_at_all, False
            jobs, self._jobs_to_look_at = self._jobs_to_look_at, set()
            try:
                found = await self._spool.lanes() if everything else []
                for job in () if everything else jobs:
                    found += await self._spool.lanes(job)
            except Exception as error:  # noqa: BLE001 - the spool may come back; its own log says what is wrong
                failures += 1
                if failures == 1:
                    log.warning("the spool cannot say what there is to send", reason=str(error))
                self._look_at_all |= everything
                self._jobs_to_look_at |= jobs
                self._look.set()
                await self._clock.sleep(backoff(failures, self._random))
                continue
            failures = 0
            for job, number in found:
                self._open(job, number)

    def _open(self, job: str, number: int) -> None:
        lane = self._lanes.get((job, number))
        if lane is not None:
            lane.woken = lane.waiting.look_again = True
            return
        lane = Lane(job, number, self._house, gone=self._gone)
        self._lanes[job, number] = lane
        self._lanes_of[job] += 1
        task = asyncio.create_task(lane.run(), name=f"lane {job} {number}")
        self._tasks[lane] = task
        task.add_done_callback(lambda task: self._ended(lane, task))

    def _gone(self, lane: Lane) -> None:
        """This lane ends; whatever is appended from now on opens a new one."""
        del self._lanes[lane.job, lane.number]
        self._left(lane.job)
        self._tell()

    def _left(self, job: str) -> None:
        """One lane less; behind the last of them the job's next layout may wait."""
        self._lanes_of[job] -= 1
        if not self._lanes_of[job]:
            del self._lanes_of[job]
            self.wake(job)

    def _ended(self, lane: Lane, task: asyncio.Task[None]) -> None:
        self._tasks.pop(lane, None)
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.bug("a lane died and is started again", error, job=lane.job, lane=lane_number(lane.number))
        if self._lanes.pop((lane.job, lane.number), None) is lane:
            self._left(lane.job)
            self.wake(lane.job)

    def _way_of(self, job: str) -> Way | None:
        return None if job in self._held else self._ways.get(job)

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
