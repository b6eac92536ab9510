"""The scheduler with a clock that the test moves, and once with the real one."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from agent.clock import SystemClock
from agent.config.model import Schedule
from agent.schedule.missed import ALL_AT_MOST, NAMED_AT_MOST
from agent.schedule.scheduler import Scheduler
from tests.support.clock import START, FakeClock, turns
from tests.support.schedules import DueMemory, job, schedule, until

HOUR = 3600.0
EVERY_30S = schedule(every=timedelta(seconds=30))
HOURLY = schedule(cron="0 * * * *")


def stamp(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


class World:
    """A scheduler, what it said, and how to go on after a restart."""

    def __init__(self, memory, clock):
        self.memory = memory
        self.clock = clock
        self.due = []
        self.skipped = []
        self.scheduler = self._new()

    def _new(self, **options):
        return Scheduler(
            lambda *said: self.due.append(said),
            lambda *said: self.skipped.append(said),
            self.memory,
            self.clock,
            **options,
        )

    async def start(self, *schedules: Schedule, name="a", **options):
        """A new life: whatever ran before is stopped."""
        await self.scheduler.stop()
        self.due.clear()
        self.skipped.clear()
        self.scheduler = self._new(**options)
        self.scheduler.set_jobs({name: job(name, *schedules)})
        await self.scheduler.start()
        await self.settle()

    async def settle(self):
        tasks = [task for task in self.scheduler._tasks if "first sight" in task.get_name()]
        await asyncio.gather(*tasks)
        await turns()

    def times(self):
        return [moment - START for _, moment, _ in self.due]


@pytest.fixture
def memory(tmp_path):
    opened = DueMemory(tmp_path / "due.db")
    yield opened
    opened.close()


@pytest.fixture
async def world(memory):
    made = World(memory, FakeClock())
    yield made
    await made.scheduler.stop()


async def test_every_runs_when_first_seen_and_then_by_the_clock(world):
    await world.clock.advance(7)
    await world.start(EVERY_30S)
    await world.clock.advance(70)
    assert world.due == [("a", START + 7, "first"), ("a", START + 30, "every"), ("a", START + 60, "every")]


async def test_cron_waits_for_its_time(world):
    await world.clock.advance(7)
    await world.start(HOURLY)
    assert world.scheduler.next_due("a") == START + HOUR
    await world.clock.advance(HOUR)
    assert world.due == [("a", START + HOUR, "cron")]


async def test_a_list_of_schedules_is_all_of_them(world):
    await world.start(HOURLY, schedule(at=("08:00:10",)))
    await world.clock.advance(HOUR)
    assert world.due == [("a", START + 10, "at"), ("a", START + HOUR, "cron")]


async def test_a_restart_in_time_repeats_and_skips_nothing(world):
    await world.start(EVERY_30S)
    await world.clock.advance(31)
    await world.start(EVERY_30S)
    assert (world.due, world.skipped) == ([], [])
    await world.clock.advance(30)
    assert world.times() == [60]


@pytest.mark.parametrize(
    ("missed", "run", "skipped"),
    [("latest", [4], [1, 2, 3]), ("all", [1, 2, 3, 4], []), ("none", [], [1, 2, 3, 4])],
)
async def test_after_a_restart_the_rule_for_missed_occurrences_decides(world, missed, run, skipped):
    rule = schedule(cron="0 * * * *", missed=missed)
    await world.start(rule)
    await world.scheduler.stop()
    await world.clock.advance(4 * HOUR + 60)
    await world.start(rule)
    assert [moment / HOUR for moment in world.times()] == run
    assert [(moment - START) / HOUR for _, moment, _ in world.skipped] == skipped
    assert all(reason == f"the agent was not running (missed: {missed})" for _, _, reason in world.skipped)
    await world.start(rule)
    assert (world.due, world.skipped) == ([], []), "what was dealt with is remembered"


async def test_a_changed_schedule_starts_anew(world):
    await world.start(EVERY_30S)
    await world.clock.advance(5)
    await world.start(schedule(every=timedelta(seconds=20)))
    assert world.due == [("a", START + 5, "first")]


async def test_a_long_outage_is_reported_in_few_words_and_run_in_bounds(world):
    often = schedule(every=timedelta(seconds=1))
    await world.start(often)
    await world.scheduler.stop()
    await world.clock.advance(5 * HOUR)
    await world.start(often)
    assert world.times() == [5 * HOUR]
    assert len(world.skipped) == NAMED_AT_MOST + 1
    assert "all after this one and before" in world.skipped[0][2]
    all_of_them = schedule(every=timedelta(seconds=1), missed="all")
    await world.scheduler.stop()
    await world.clock.advance(5 * HOUR)
    await world.start(all_of_them)
    assert len(world.due) == ALL_AT_MOST
    assert world.times() == sorted(world.times())
    assert len(world.skipped) == 1


async def test_unchanged_jobs_are_not_touched(world):
    kept, changed = job("kept", EVERY_30S), job("changed", EVERY_30S)
    await world.start(EVERY_30S, name="gone")
    world.scheduler.set_jobs({"kept": kept, "changed": changed})
    await world.settle()
    world.due.clear()
    other = job("changed", schedule(every=timedelta(seconds=20)), sha256="other")
    world.scheduler.set_jobs({"kept": job("kept", EVERY_30S, sha256="comment changed"), "changed": other})
    await world.settle()
    assert world.due == [("changed", START, "first")]
    world.scheduler.set_jobs({})
    await world.clock.advance(120)
    assert len(world.due) == 1
    assert world.scheduler.next_due("kept") is None


async def test_res_04_jitter_delays_by_what_chance_says_and_no_more(world):
    asked = []

    def uniform(low, high):
        asked.append((low, high))
        return 5.0

    jittered = schedule(every=timedelta(seconds=30), jitter=timedelta(seconds=8))
    await world.start(jittered, uniform=uniform)
    assert world.due == []
    await world.clock.advance(6)
    assert world.due == [("a", START, "first")]
    await world.clock.advance(27)
    assert len(world.due) == 1
    await world.clock.advance(3)
    assert world.due[1:] == [("a", START + 30, "every")]
    assert asked == [(0, 8.0)] * 2


async def test_clk_01_spring_and_autumn_follow_the_rule_of_dst(memory):
    world = World(memory, FakeClock(now=stamp("2027-10-30T23:00")))
    await world.start(schedule(cron="30 2 * * *", timezone="Europe/Amsterdam"))
    await world.clock.advance(4 * HOUR)
    assert [moment for _, moment, _ in world.due] == [stamp("2027-10-31T00:30")]
    await world.scheduler.stop()


@pytest.mark.parametrize("step", [HOUR, -HOUR, 10 * 365 * 24 * HOUR, -1_700_000_000.0])
async def test_clk_02_a_clock_that_is_set_neither_stops_nor_bursts_interval_jobs(world, step):
    await world.start(EVERY_30S)
    await world.clock.advance(60)
    world.due.clear()
    world.clock.step_wall(step)
    await world.clock.advance(120)
    assert len(world.due) == 4
    assert all(moment % 30 == 0 for _, moment, _ in world.due)
    assert world.skipped == []


@pytest.mark.parametrize("missed", ["latest", "all"])
async def test_clk_02_a_clock_set_forward_a_little_runs_cron_once(world, missed):
    await world.start(schedule(cron="*/10 * * * *", missed=missed))
    await world.clock.advance(30)
    world.clock.step_wall(2 * HOUR)
    await world.clock.advance(10)
    assert world.times() == [2 * HOUR]
    assert {reason for _, _, reason in world.skipped} == {
        "the clock was set forward by 7200 s (missed: latest)"
    }


async def test_clk_02_a_clock_set_far_forward_runs_cron_at_its_next_time(world):
    await world.start(schedule(cron="0 9 * * *"))
    await world.clock.advance(30)
    world.clock.step_wall(10 * 365 * 24 * HOUR)
    await world.clock.advance(10)
    assert world.due == []
    assert len(world.skipped) == NAMED_AT_MOST + 2
    await world.clock.advance(HOUR)
    assert len(world.due) == 1


async def test_clk_02_a_clock_set_back_a_little_does_not_repeat_cron(world):
    await world.start(HOURLY)
    await world.clock.advance(HOUR + 60)
    world.clock.step_wall(-HOUR)
    await world.clock.advance(HOUR)
    assert world.times() == [HOUR]
    await world.clock.advance(HOUR)
    assert world.times() == [HOUR, 2 * HOUR]


async def test_clk_02_a_clock_set_far_back_does_not_freeze_cron(world):
    await world.start(HOURLY)
    await world.clock.advance(60)
    world.clock.step_wall(-1_700_000_000)
    await world.clock.advance(HOUR)
    assert len(world.due) == 1


async def test_clk_02_set_back_over_a_restart_does_not_repeat_cron(world):
    await world.start(HOURLY)
    await world.clock.advance(2 * HOUR + 60)
    world.clock.step_wall(-HOUR)
    await world.start(HOURLY)
    await world.clock.advance(2 * HOUR)
    assert world.times() == [3 * HOUR]


async def test_clk_03_eight_hours_of_sleep_become_one_run(world):
    await world.start(EVERY_30S)
    await world.clock.advance(60)
    world.due.clear()
    world.clock.suspend(8 * HOUR)
    await world.clock.advance(2)
    assert world.times() == [8 * HOUR + 60]
    assert len(world.skipped) == NAMED_AT_MOST + 1
    await world.clock.advance(28)
    assert world.times()[1:] == [8 * HOUR + 90]


async def test_what_fails_in_one_job_does_not_silence_the_others(world):
    heard = []

    def announce(name, _due, _trigger):
        if name == "bad":
            raise RuntimeError("a bug")
        heard.append(name)

    world.scheduler._announcer._announce = announce
    world.scheduler.set_jobs({name: job(name, EVERY_30S) for name in ("bad", "good")})
    await world.scheduler.start()
    await world.settle()
    assert heard == ["good"]


async def test_a_job_that_watches_is_called_back_until_it_is_gone(world):
    calls, closed = [], []

    class Watched:
        def close(self):
            closed.append(True)

    def watch(what, changed):
        calls.append((what.name, changed))
        return Watched()

    both = schedule(every=timedelta(hours=1), watch=True)
    await world.start(both, watch=watch)
    world.due.clear()
    name, changed = calls[0]
    changed()
    await turns()
    assert (name, world.due) == ("a", [("a", START, "watch")])
    world.scheduler.set_jobs({})
    changed()
    await turns()
    assert closed
    assert len(world.due) == 1


async def test_res_03_ten_thousand_jobs_are_cheap_to_add_and_none_is_forgotten(world):
    jobs = {f"j{n}": job(f"j{n}", schedule(every=timedelta(seconds=30 + n % 100))) for n in range(10_000)}
    await world.scheduler.start()
    world.scheduler.set_jobs(jobs)
    await world.settle()
    assert len(world.due) == 10_000
    world.due.clear()
    await world.clock.advance(130)
    assert {name for name, _, _ in world.due} == set(jobs)
    assert len(world.scheduler._groups) == 100, "equal timings share one timer"


async def test_the_real_clock_wakes_the_timers_in_time(memory):
    said = []
    clock = SystemClock()
    scheduler = Scheduler(lambda *what: said.append((*what, clock.now())), print, memory, clock)
    scheduler.set_jobs({"a": job("a", schedule(every=timedelta(milliseconds=200)))})
    await scheduler.start()
    await until(lambda: len(said) >= 4)
    await scheduler.stop()
    # The first sight asks the memory first; a due time may pass meanwhile.
    assert {trigger for _, _, trigger, _ in said} == {"first", "every"}
    assert all(heard >= due for _, due, _, heard in said)
    assert await memory.last_due("a", "every 200000us") is not None


# ---------------------------------------------------------------------------------- pauses


@pytest.mark.parametrize(
    ("missed", "run", "skipped"),
    [("latest", 1, 2), ("all", 3, 0), ("none", 0, 3)],
    ids=["latest", "all", "none"],
)
async def test_what_falls_into_a_pause_was_missed_when_the_job_is_resumed(world, missed, run, skipped):
    hourly = schedule(cron="0 * * * *", missed=missed)
    paused = set()
    await world.start(hourly, paused=paused.__contains__)
    await world.clock.advance(HOUR + 60)
    [(_, first, _)] = world.due
    paused.add("a")
    await world.clock.advance(3 * HOUR)
    assert len(world.due) == 1, "nothing is announced in the pause"
    paused.clear()
    world.scheduler.resumed("a")
    await world.settle()
    assert [due for _, due, trigger in world.due if trigger == "missed"] == [
        first + HOUR * n for n in range(4 - run, 4)
    ]
    assert [(due, reason) for _, due, reason in world.skipped] == [
        (first + HOUR * (n + 1), f"it was paused (missed: {missed})") for n in range(skipped)
    ]
    await world.clock.advance(HOUR)
    assert world.due[-1][1:] == (first + 4 * HOUR, "cron")


async def test_a_pause_that_is_over_after_a_restart_forgets_no_occurrence(world):
    paused = {"a"}
    await world.start(HOURLY)
    await world.clock.advance(HOUR)
    await world.start(HOURLY, paused=paused.__contains__)
    await world.clock.advance(2 * HOUR)
    assert world.due == []
    await world.start(HOURLY, paused=paused.__contains__)
    paused.clear()
    world.scheduler.resumed("a")
    await world.settle()
    assert [trigger for _, _, trigger in world.due] == ["missed"]
    assert len(world.skipped) == 1


async def test_a_resumed_job_that_watches_looks_at_its_folders_once(world):
    paused = {"a"}
    await world.start(schedule(watch=True), paused=paused.__contains__)
    assert world.due == []
    paused.clear()
    world.scheduler.resumed("a")
    await world.settle()
    assert [trigger for _, _, trigger in world.due] == ["watch"]
    world.scheduler.resumed("unknown")


async def test_a_short_pause_repeats_nothing_that_was_announced_just_before(world):
    await world.start(HOURLY)
    await world.clock.advance(HOUR)
    assert len(world.due) == 1
    world.scheduler.resumed("a")
    await world.settle()
    assert len(world.due) == 1
