"""The event loop and the spool's thread are kept on one core while both work, and only then."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from agent.cores import EVERYWHERE, SystemCores, Used, anywhere
from agent.loop import run
from agent.together import LOOK_EVERY, NOT_AGAIN, Together
from tests.support.clock import FakeClock

LOOP, SPOOL = 11, 22
FOUR = frozenset({0, 1, 2, 3})


class ScriptedCores:
    """Each look of the script: what loop and spool ran and waited since the last one."""

    def __init__(self, *script, error=None):
        self.script, self.error = list(script), error
        self.sums = {LOOP: Used(5.0, 1.0), SPOOL: Used(3.0, 1.0)}
        self.kept = []
        self.last = 2

    def used(self, thread):
        if thread == LOOP and self.sums_read:
            if not self.script:
                raise asyncio.CancelledError
            for who, (ran, waited) in zip((LOOP, SPOOL), self.script.pop(0), strict=True):
                before = self.sums[who]
                self.sums[who] = Used(before.ran + ran, before.waited + waited)
        self.sums_read = thread == SPOOL or self.sums_read
        return self.sums[thread]

    sums_read = False

    def where(self, thread):
        assert thread == LOOP
        return self.last

    def keep(self, thread, cores):
        if self.error:
            raise self.error
        self.kept.append((thread, set(cores)))


async def looked(cores, among=FOUR):
    together = Together((LOOP, SPOOL), FakeClock(auto=True), cores=cores, among=among)
    with pytest.raises(asyncio.CancelledError):
        await together.run()
    return together


WORKS = ((0.4, 0.1), (0.3, 0.1))
RESTS = ((0.005, 0.0), (0.4, 0.0))
CROWDED = ((0.3, 0.6), (0.2, 0.3))
TOGETHER = [(LOOP, {2}), (SPOOL, {2})]
APART = [(LOOP, set(FOUR)), (SPOOL, set(FOUR))]


async def test_two_that_work_are_kept_where_the_loop_is_and_let_go_when_one_rests():
    cores = ScriptedCores(RESTS, WORKS, WORKS, WORKS, RESTS, RESTS)
    await looked(cores)
    assert cores.kept == [*TOGETHER, *APART]


async def test_what_they_wait_for_each_other_is_no_crowd():
    cores = ScriptedCores(WORKS, ((0.5, 0.5), (0.5, 0.5)), WORKS)
    await looked(cores)
    assert cores.kept == [*TOGETHER, *APART]  # apart at the end only


async def test_who_is_crowded_out_comes_back_after_a_while():
    looks = round(NOT_AGAIN / LOOK_EVERY)
    cores = ScriptedCores(WORKS, CROWDED, *[WORKS] * (looks - 1))
    await looked(cores)
    assert cores.kept == [*TOGETHER, *APART]
    cores = ScriptedCores(WORKS, CROWDED, *[WORKS] * looks)
    await looked(cores)
    assert cores.kept == [*TOGETHER, *APART, *TOGETHER, *APART]


async def test_nothing_is_done_where_there_is_one_core_or_it_is_not_allowed(caplog):
    one = ScriptedCores(WORKS, WORKS)
    await Together((LOOP, SPOOL), FakeClock(auto=True), cores=one, among=frozenset({0})).run()
    assert (one.kept, len(one.script)) == ([], 2)
    forbidden = ScriptedCores(WORKS, WORKS, error=PermissionError(1, "Operation not permitted"))
    together = Together((LOOP, SPOOL), FakeClock(auto=True), cores=forbidden, among=FOUR)
    await together.run()  # ends by itself: the daemon goes on
    assert together.core is None
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]


async def test_real_threads_that_work_are_really_kept_together_and_let_go():
    ending = threading.Event()
    partner = threading.Thread(target=lambda: all(not ending.is_set() for _ in iter(int, 1)))
    partner.start()
    pair = (threading.get_native_id(), partner.native_id)
    clock = FakeClock()
    together = Together(pair, clock)
    task = asyncio.create_task(together.run())
    try:
        system = SystemCores()
        await asyncio.sleep(0)
        before = [system.used(each).ran for each in pair]
        while any(system.used(each).ran < old + 0.2 for each, old in zip(pair, before, strict=True)):
            pass  # both work
        await clock.advance(LOOK_EVERY)
        kept = EVERYWHERE if len(EVERYWHERE) == 1 else frozenset({together.core})
        assert {frozenset(os.sched_getaffinity(each)) for each in pair} == {kept}
        with ThreadPoolExecutor(initializer=anywhere) as pool:
            assert pool.submit(os.sched_getaffinity, 0).result() == EVERYWHERE
    finally:
        task.cancel()
        await asyncio.wait({task})
        ending.set()
        partner.join()
    assert os.sched_getaffinity(pair[0]) == EVERYWHERE


def test_threads_of_a_kept_loop_run_anywhere():
    async def life():
        core = min(EVERYWHERE)
        os.sched_setaffinity(0, {core})
        try:
            return await asyncio.to_thread(os.sched_getaffinity, 0)
        finally:
            os.sched_setaffinity(0, EVERYWHERE)

    assert run(life()) == EVERYWHERE
