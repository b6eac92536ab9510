"""Announces when jobs are due; owns no work.

    set_jobs ──▶ groups (one per timing) ──▶ take ──▶ announcer ──▶ announce(job, time, trigger)
                   ▲ timers (APScheduler)                    │    ──▶ skipped(job, time, reason)
                   ▲ tick, every 2 s                         └──▶ memory: what was last due

Timers are only woken by; what is due is always worked out from the clock. The tick finds what timers
cannot: a machine that slept (the loop's timers sleep with it) and a wall clock that was set, which is
one that moved differently from CLOCK_BOOTTIME.

A job is *first seen* when the memory knows nothing of its schedule: `every` then runs at once, the
others wait for their time. After a restart the occurrences since the remembered one were missed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING

from agent.clock import Clock
from agent.config.model import Job, Schedule, files_of
from agent.logs import get_log
from agent.occurrences import Rule, ScheduleError
from agent.schedule.announcer import Announce, Announcer, Memory, Notice, Skipped
from agent.schedule.first_sight import PAUSED, Seen, Sight, look
from agent.schedule.groups import Group
from agent.schedule.missed import Verdict

if TYPE_CHECKING:
    from agent.schedule.folders import Closable, Watch
    from agent.schedule.timers import Timers

log = get_log("schedule")

# Seconds between looks at the clocks: how long a suspend or a set clock may go unnoticed.
TICK = 2.0
# A wall clock that is slewed by NTP stays far below this between two looks: seconds.
_STEP = 1.0
_JITTER = "jitter"


class Scheduler:
    """Call all of it from the event loop."""

    def __init__(
        self,
        announce: Announce,
        skipped: Skipped,
        memory: Memory,
        clock: Clock,
        *,
        watch: Watch | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
        paused: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._memory = memory
        self._clock = clock
        self._watch = watch
        self._uniform = uniform
        self._announcer = Announcer(announce, skipped, memory, clock, self._alive, paused)
        self._jobs: dict[str, Job] = {}
        self._idents: dict[str, frozenset[str]] = {}
        self._groups: dict[str, Group] = {}
        self._watches: dict[str, Closable] = {}
        self._held: dict[tuple[str, str], float] = {}
        self._timers: Timers | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._new: list[Seen] = []
        self._wall = clock.now()
        self._boot = clock.boottime()

    # ------------------------------------------------------------------------------ life

    async def start(self) -> None:
        """Announce from now on, beginning with what was missed."""
        from agent.schedule.timers import Timers  # noqa: PLC0415 - APScheduler takes 150 ms

        self._timers = Timers()
        self._timers.start()
        for group in self._groups.values():
            self._set_timer(group)
        for job in self._jobs.values():
            self._start_watch(job)
        self._spawn(self._announcer.write(), "schedule: memory")
        self._spawn(self._tick(), "schedule: tick")
        self._look_at_new()

    async def stop(self) -> None:
        """Announce nothing more; what was last due is written. Twice is fine."""
        if self._timers is None:
            return
        self._timers.stop()
        self._timers = None
        for watch in self._watches.values():
            watch.close()
        self._watches.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._announcer.flush()

    # ------------------------------------------------------------------------------ jobs

    def set_jobs(self, jobs: Mapping[str, Job]) -> None:
        """These jobs and no others; one whose schedule and folders are as before is not touched."""
        if self._timers is not None:
            self.check()
        for name in [name for name in self._jobs if name not in jobs]:
            self._remove(name)
        for name, job in jobs.items():
            old = self._jobs.get(name)
            if old is job:
                continue
            if old is not None and old.schedules == job.schedules and _folders(old) == _folders(job):
                self._jobs[name] = job
            else:
                self._replace(job)
        self._look_at_new()

    def resumed(self, name: str) -> None:
        """The job is paused no more: what fell into its pause was missed, as after a restart."""
        if (job := self._jobs.get(name)) is None or self._timers is None:
            return
        now = self._clock.now()
        for group in [self._groups[ident] for ident in self._idents.get(name, ())]:
            schedule = group.members[name]
            self._new.append(Seen(job=name, schedule=schedule, rule=group.rule, moment=now, why=PAUSED))
        if any(schedule.watch for schedule in job.schedules):
            self._announcer.say(Notice(job=name, ident="", due=now, trigger="watch"))
        self._look_at_new()

    def next_due(self, job: str) -> float | None:
        """Seconds since 1970; None when nothing is planned (a job that only watches, a past `at`)."""
        moments = [self._groups[ident].next for ident in self._idents.get(job, ()) if ident in self._groups]
        return min((moment for moment in moments if moment is not None), default=None)

    def _replace(self, job: Job) -> None:
        rules: dict[str, tuple[Rule, Schedule]] = {}
        for schedule in job.schedules:
            try:
                rule = Rule.of(schedule)
            except ScheduleError as error:  # validate has refused it already
                log.warning("a schedule is wrong", job=job.name, reason=str(error))
                continue
            if rule is not None:
                rules.setdefault(rule.ident, (rule, schedule))
        self._remove(job.name, keep=frozenset(rules))
        now = self._clock.now()
        before = self._idents.get(job.name, frozenset())
        for ident, (rule, schedule) in rules.items():
            group = self._groups.get(ident) or self._add_group(rule, now)
            group.members[job.name] = schedule
            if ident not in before:
                self._new.append(Seen(job=job.name, schedule=schedule, rule=rule, moment=now))
        self._jobs[job.name] = job
        self._idents[job.name] = frozenset(rules)
        if self._timers is not None:
            self._start_watch(job)

    def _remove(self, name: str, keep: frozenset[str] = frozenset()) -> None:
        for ident in self._idents.get(name, frozenset()) - keep:
            group = self._groups[ident]
            group.members.pop(name, None)
            self._held.pop((name, ident), None)
            if not group.members:
                del self._groups[ident]
                if self._timers is not None:
                    self._timers.drop(ident)
        if watch := self._watches.pop(name, None):
            watch.close()
        self._jobs.pop(name, None)
        if not keep:
            self._idents.pop(name, None)

    def _add_group(self, rule: Rule, now: float) -> Group:
        group = self._groups[rule.ident] = Group.of(rule, now)
        self._set_timer(group)
        return group

    def _set_timer(self, group: Group) -> None:
        if self._timers is not None:
            self._timers.set(group.rule.ident, partial(self._fire, group), group.upcoming)

    def _start_watch(self, job: Job) -> None:
        if not any(schedule.watch for schedule in job.schedules):
            return

        def changed() -> None:
            notice = Notice(job=job.name, ident="", due=self._clock.now(), trigger="watch")
            self._announcer.say(notice)

        if self._watch is None:
            changed()
        else:
            self._watches[job.name] = self._watch(job, changed)

    def _alive(self, job: str, ident: str) -> bool:
        return self._timers is not None and (
            ident in self._idents.get(job, ()) if ident else job in self._jobs
        )

    # ------------------------------------------------------------------------------ time

    def check(self) -> None:
        """Look at the clocks, and at every timing whether it is due."""
        now = self._clock.now()
        self._notice_step(now)
        for group in list(self._groups.values()):
            self._take(group, now)
        self._announcer.release()

    def _fire(self, group: Group) -> None:
        now = self._clock.now()
        if abs(self._moved(now)) > _STEP:
            # Not from inside the timers, which are to be set anew.
            asyncio.get_running_loop().call_soon(self.check)
            return
        self._take(group, now)

    def _moved(self, now: float) -> float:
        return (now - self._wall) - (self._clock.boottime() - self._boot)

    def _notice_step(self, now: float) -> None:
        step = self._moved(now)
        self._wall, self._boot = now, self._clock.boottime()
        if abs(step) <= _STEP:
            return
        log.warning("the wall clock was set", seconds=round(step, 1))
        self._announcer.shift(step)
        for group in self._groups.values():
            group.step(step, now)
            self._set_timer(group)
        self._set_jitter_timer()

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(TICK)
            self.check()

    def _take(self, group: Group, now: float) -> None:
        for job, verdict in group.take(now).items():
            self._say(job, group.rule, group.members[job], verdict, group.rule.kind)

    def _say(self, job: str, rule: Rule, schedule: Schedule, verdict: Verdict, trigger: str) -> None:
        held = self._held.get((job, rule.ident), float("-inf"))
        for due, reason in verdict.skip:
            self._announcer.say(Notice(job=job, ident=rule.ident, due=due, trigger=trigger, reason=reason))
        for due in verdict.run:
            notice = Notice(job=job, ident=rule.ident, due=due, trigger=trigger)
            if due <= held:  # it ran before a clock was set back and the daemon restarted
                continue
            if schedule.jitter:
                delay = self._uniform(0, schedule.jitter.total_seconds())
                self._announcer.say_later(notice, self._clock.now() + delay)
                self._set_jitter_timer()
            else:
                self._announcer.say(notice)

    def _set_jitter_timer(self) -> None:
        if self._timers is not None and self._announcer.upcoming() is not None:
            self._timers.set(_JITTER, self._announcer.release, self._announcer.upcoming)

    # ------------------------------------------------------------------------------ first sight

    def _look_at_new(self) -> None:
        if self._new and self._timers is not None:
            new, self._new = self._new, []
            self._spawn(self._look(new), "schedule: first sight")

    async def _look(self, new: list[Seen]) -> None:
        await self._announcer.flush()  # the memory must know what was announced up to now
        await look(new, self._memory, self._alive, self._first_seen)

    def _first_seen(self, sight: Sight) -> None:
        seen = sight.seen
        key = (seen.job, seen.rule.ident)
        if sight.held is not None:
            self._held[key] = sight.held
        if sight.remember is not None:
            self._announcer.remember(*key, sight.remember)
        self._say(seen.job, seen.rule, seen.schedule, sight.verdict, sight.trigger)

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.bug("the scheduler failed", error, task=task.get_name())


def _folders(job: Job) -> tuple[str, ...]:
    files = files_of(job.source)
    return files.paths if files is not None and any(schedule.watch for schedule in job.schedules) else ()
