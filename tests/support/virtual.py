"""Simulated time for whole programs: an event loop that never waits, and lives that end in the middle.

    with simulated() as runner:
        runner.run(main())          # hours of asyncio.sleep, timeouts and all, in milliseconds

When nobody has anything to do, time jumps to the next timer; when there is no timer either, somebody waits for
ever, and that is an error. Work for threads is done on the spot. So a run depends on nothing but its input.
"""

from __future__ import annotations

import asyncio
import selectors
from contextvars import ContextVar

from tests.support.clock import START


class StuckError(Exception):
    """Everybody waits, and nothing will ever happen."""


class _Jump(selectors.DefaultSelector):
    loop = None

    def select(self, timeout=None):
        if timeout is None:
            raise StuckError("everybody waits, and nothing will ever happen")
        self.loop.elapsed += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps from timer to timer."""

    def __init__(self):
        self.elapsed = 0.0
        selector = _Jump()
        selector.loop = self
        super().__init__(selector)
        self.set_task_factory(_task_of_a_life)

    def time(self):
        return self.elapsed

    def run_in_executor(self, executor, func, *args):
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except BaseException as error:  # noqa: BLE001 - it is the waiter's
            future.set_exception(error)
        return future


def simulated():
    return asyncio.Runner(loop_factory=VirtualLoop)


class VirtualClock:
    """Implements `agent.clock.Clock` on the loop's time; the wall can be set and the machine can sleep."""

    def __init__(self, loop):
        self._loop = loop
        self.wall = START
        self.boot = 1_000.0

    def now(self):
        return self._loop.time() + self.wall

    def boottime(self):
        return self._loop.time() + self.boot

    def monotonic(self):
        return self._loop.time()

    async def sleep(self, seconds):
        await asyncio.sleep(max(seconds, 0.0))

    def step_wall(self, seconds):
        self.wall += seconds

    def suspend(self, seconds):
        self.wall += seconds
        self.boot += seconds


_LIFE = ContextVar("life", default=None)


def _task_of_a_life(loop, coroutine, **more):
    task = asyncio.Task(coroutine, loop=loop, **more)
    life = _LIFE.get()
    if life is not None:
        life.tasks.add(task)
        task.add_done_callback(life.tasks.discard)
    return task


class Life:
    """One process of the agent: every task that it starts ends with it, wherever it is.

    Whatever a life does outside of itself (send, store) asks `alive` first: a dead one does nothing any more.
    """

    def __init__(self, number):
        self.number = number
        self.tasks = set()
        self.dead = asyncio.Event()

    def start(self, coroutine):
        token = _LIFE.set(self)
        try:
            return asyncio.get_running_loop().create_task(coroutine)
        finally:
            _LIFE.reset(token)

    async def alive(self):
        if self.dead.is_set():
            await asyncio.get_running_loop().create_future()

    def die(self):
        """SIGKILL. To be called from anywhere, also from inside."""
        self.dead.set()

    async def bury(self):
        """Let go of what is left. It can do nothing any more."""
        for _ in range(50):
            for task in list(self.tasks):
                task.cancel()
            if not self.tasks:
                return
            await asyncio.wait(list(self.tasks))
        raise AssertionError(f"tasks outlive their process: {self.tasks}")
