"""A day of the real session over the real spool, in simulated time; `pytest -s` shows its figures."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections import deque

import pytest

from agent.errors import StateLocked
from agent.spool import Spool
from tests.support.histories import History, Platform, pair_of
from tests.support.rotation import LOST
from tests.support.spool import draft, receipt
from tests.support.virtual import simulated

HOURS = 24
LANES = 64
LIFETIME = 300.0
RESTARTS = 50
KILLS = ["now", "die heard", "die unsent", ("before", 0), ("after", 0), ("before", 1), ("after", 1)]


class SpoolDisk:
    """What survives, on a real disk; one process owns it."""

    def __init__(self, folder, clock, judge):
        self.folder = folder
        self.clock = clock
        self.judge = judge
        self.mood = "ok"
        self.spool = None
        self.run = None

    def open(self):
        self.spool = Spool.open(self.folder, max_bytes=1_000_000_000, clock=self.clock)
        self.run = self.spool.start_run("gps", self.clock.now(), "every", "sha").result()

    def second_process(self):
        with pytest.raises(StateLocked):
            Spool.open(self.folder, max_bytes=1_000_000_000, clock=self.clock)

    def read(self, name):
        return self.spool.session(name).result()

    def write(self, row):
        self.spool.store_session(row).result()
        if row.sealed is not None:
            self.judge.stored(pair_of(row))


class Day(Platform):
    """`Platform` whose messages lie in the spool and whose luck is a matter of percents."""

    def __init__(self, history, loop, folder):
        super().__init__(history, loop)
        self.disk.db.raw.close()
        self.disk = SpoolDisk(folder, self.clock, self.judge)
        self.windows = []
        self.hungry = set()
        """Lanes for which something may lie in the spool that is not in their window."""
        self.calls = []
        """When the Auth API was called."""
        self.lost = 0
        self.early = 0

    def begin(self):
        self.disk.open()
        self.windows = [deque() for _ in range(LANES)]
        self.hungry = set(range(LANES))
        super().begin()

    def buried(self, life):
        super().buried(life)
        self.disk.spool.close()

    def plan(self, kind):
        self.calls.append(self.clock.monotonic())
        how = super().plan(kind)
        if kind == "refresh" and how == "ok" and self.random.random() < 0.01:
            how = "lost"
        self.lost += how in LOST
        return how

    def lost_answers(self):
        """Those that were lost on the way, and those that died with the process before they were durable."""
        sent = [sending for sendings in self.judge.sendings.values() for sending in sendings]
        died = sum(sending.outcome == "open" for sending in sent)
        died += sum(not pairs & self.judge.durable for pairs in self.judge.successor.values())
        return self.lost + died

    def refuses(self):
        refused = self.random.random() < 0.01
        self.early += refused
        return refused

    def head(self, lane):
        window = self.windows[lane]
        if not window and lane in self.hungry:
            self.hungry.discard(lane)
            window.extend(self.disk.spool.oldest("gps", lane).result())
        return window[0].id if window else None

    def ack(self, lane):
        message = self.windows[lane].popleft()
        self.disk.spool.ack(message, receipt(message, at=self.clock.now())).result()

    def work(self, each):
        lot = [draft(b"position", lane=lane) for lane in range(LANES) for _ in range(each)]
        self.disk.spool.append(self.disk.run, lot).result()
        self.put += len(lot)
        self.hungry.update(range(LANES))
        self.news, news = asyncio.Event(), self.news
        news.set()

    async def restart(self, number):
        if number % 10 == 0:
            self.disk.second_process()
        how = KILLS[number // 2 % len(KILLS)]
        if number % 2:
            await self.stop()
        elif how == "now":
            self.life.die()
        elif isinstance(how, str):
            self.plans["refresh"].append(how)
        else:
            self.life.handle.fatal = (how[1], how[0])

    async def awake(self):
        while self.life.dead.is_set():  # noqa: ASYNC110 - simulated time
            await asyncio.sleep(1.0)


async def a_day(folder, seed, grace):
    loop = asyncio.get_running_loop()
    history = History(seed=seed, lanes=LANES, lifetime=LIFETIME, grace=grace, detects=False)
    day = Day(history, loop, folder)
    day.begin()
    end = HOURS * 3600.0
    restarts = sorted(day.random.uniform(60.0, end - 600.0) for _ in range(RESTARTS))
    done = 0
    while loop.time() < end:
        await day.awake()
        day.work(1)
        until = min(loop.time() + LIFETIME, end)
        while done < RESTARTS and restarts[done] <= until:
            await asyncio.sleep(max(restarts[done] - loop.time(), 0.0))
            await day.awake()
            await day.restart(done)
            done += 1
        await asyncio.sleep(max(until - loop.time(), 0.0))
        day.look()
    day.plans["refresh"].clear()
    await day.awake()
    day.life.handle.fatal = None
    await asyncio.sleep(600.0)
    left = day.disk.spool.lanes().result()
    day.undertaker.cancel()
    day.life.die()
    await day.life.bury()
    day.disk.spool.close()
    return day, left


@pytest.mark.parametrize("grace", [0.0, 30.0], ids=["strict", "forgiving"])
def test_a_day_of_short_tokens_restarts_and_bad_luck(tmp_path, grace):
    logging.disable(logging.CRITICAL)
    try:
        with simulated() as runner:
            day, left = runner.run(a_day(tmp_path / "state", 7, grace))
    finally:
        logging.disable(logging.NOTSET)
    refused = len(day.judge.refused)
    busiest = max(bisect_right(day.calls, at + 60.0) - index for index, at in enumerate(day.calls))
    arrived = sum(len(lane) for lane in day.arrived)
    print(
        f"\n{HOURS} h, tokens of {LIFETIME:.0f} s, {LANES} lanes, {len(day.lives) - 1} restarts:"
        f" {day.put} messages, {arrived} arrived, {day.early} early 401s;"
        f" {day.server.processed['refresh']} refreshes, {day.lost_answers()} answers lost, {refused} of them"
        f" refused afterwards, {day.server.processed['login']} logins;"
        f" at most {busiest} calls of the Auth API in a minute"
    )
    assert day.judge.wrong == []
    assert left == []
    assert arrived == day.put == LANES * HOURS * 3600 / LIFETIME
    assert all(lane == sorted(set(lane)) for lane in day.arrived)
    assert len(day.lives) - 1 == RESTARTS
    assert day.server.processed["login"] == 1 + refused
    assert refused <= day.lost_answers()
    assert busiest <= 6
