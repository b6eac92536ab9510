"""One timer for all requests of a client."""

from __future__ import annotations

import asyncio

from agent.target.deadlines import Deadlines
from tests.support.virtual import VirtualLoop


def lived(life):
    """In a loop whose time jumps; what was late, and when."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        began, late = loop.time(), []
        deadlines = Deadlines(loop)

        def set_for(name, seconds):
            deadlines.set(name, deadlines.after(seconds), lambda: late.append((name, loop.time() - began)))

        runner.run(life(deadlines, set_for))
    return [(name, round(seconds, 3)) for name, seconds in late]


def test_each_is_late_at_its_own_time_and_once():
    async def life(deadlines, set_for):
        set_for("long", 30)
        set_for("short", 5)  # the timer is set for a later one
        await asyncio.sleep(1)
        set_for("middle", 10)
        await asyncio.sleep(100)

    assert lived(life) == [("short", 5), ("middle", 11), ("long", 30)]


def test_what_is_over_is_never_late_and_holds_up_nobody():
    async def life(deadlines, set_for):
        for number in range(1000):
            set_for(number, 30)
            await asyncio.sleep(0.01)
            deadlines.over(number)
        deadlines.over("never set")
        set_for("last", 30)
        await asyncio.sleep(100)
        set_for("after a rest", 2)
        await asyncio.sleep(3)

    assert lived(life) == [("last", 40), ("after a rest", 112)]


def test_what_is_set_by_one_that_is_late_is_watched_too():
    async def life(deadlines, set_for):
        deadlines.set("first", deadlines.after(1), lambda: set_for("second", 4))
        await asyncio.sleep(10)

    assert lived(life) == [("second", 5)]
