"""The daemon: one life from start to stop, told in order.

start   logs · state folder (lock, migrations, recovery) · first load · engine · control socket · pages ·
        schedule · watch · READY
life    announcements start runs, appends wake lanes, file events and SIGHUP reload, the watchdog is fed
stop    STOPPING · no new announcements · no reloads · runs end at their next chunk · requests in flight
        end and are committed · files are moved · sessions are closed · pages and socket · the spool

A background task that dies takes the daemon down: half a daemon looks alive and delivers nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from pathlib import Path

from agent import __version__
from agent.clock import Clock
from agent.collect.known import sweep_gone
from agent.config import load_settings
from agent.config.model import AgentSettings, Job, Plan
from agent.custody import act, rekey
from agent.draining import Draining
from agent.engine import Engine
from agent.errors import AgentError
from agent.finding import Finding
from agent.following import Following
from agent.harmless import Consultation
from agent.letters import LettersByHand
from agent.levels import Levels
from agent.logs import get_log, set_up_logs
from agent.loop import grown_up, run
from agent.reload import Change, Prepared, Reloader
from agent.schedule.folders import watch_sources
from agent.schedule.scheduler import Scheduler
from agent.stall import StallMonitor
from agent.systemd import Notifier
from agent.together import Together
from agent.view import LiveView, change_json
from agent.watch import FolderWatch
from agent.web.control import ControlServer, JsonObject
from agent.web.server import WebServer

log = get_log("daemon")

GRACE = 9.0
"""Seconds that runs and requests in flight get at a stop: with the sessions' 6 and the pages' 3 below 20."""
_PRUNE_EVERY = 3600.0


class Daemon:
    """Runs by the plan; the world that a reload changes."""

    def __init__(self, config: Path, settings: AgentSettings, clock: Clock) -> None:
        self._config = config
        self._settings = settings
        self._clock = clock
        self._ending = asyncio.Event()
        self._ready = False
        self._hung_up = False
        self._failed: BaseException | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # ------------------------------------------------------------------------------ the story

    async def run(self) -> int:
        """Start, live until asked to stop, stop. The exit code."""
        self._signals()
        notifier = Notifier.from_environment(os.environ, clock=self._clock)
        log.info("starting", version=__version__, config=str(self._config), state=str(self._settings.state))
        engine = await asyncio.to_thread(Engine.open, self._settings, self._config, self._clock)
        try:
            async with contextlib.AsyncExitStack() as stack:
                started = await self._unless_ending(self._start(engine, notifier, stack))
                await self._ending.wait()
                notifier.stopping("stopping: requests in flight end")
                log.info("stopping")
                if started:
                    await self._stop_early(engine)
        finally:
            await asyncio.to_thread(engine.close)
            notifier.close()
        if self._failed is not None:
            log.bug("stopped by a fault", self._failed)
            return 1
        log.info("stopped")
        return 0

    async def _unless_ending(self, start: Coroutine[object, object, None]) -> bool:
        """Whether the start came to its end; a stop cuts it short, and the stack undoes what was begun."""
        starting = asyncio.create_task(start, name="start")
        ending = asyncio.create_task(self._ending.wait(), name="asked to end")
        await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
        for task in (starting, ending):
            task.cancel()  # does nothing to one that is done
        await asyncio.wait({starting, ending})
        if starting.cancelled():
            return False
        starting.result()
        return True

    async def _start(self, engine: Engine, notifier: Notifier, stack: contextlib.AsyncExitStack) -> None:
        if engine.spool.recovered is not None:
            log.error("the state database was damaged", set_aside=str(engine.spool.recovered.set_aside))
        self._engine = engine
        self._notifier = notifier
        self._watch = FolderWatch(self._clock)
        self._reloader = Reloader(self._config, self, engine.spool, self._clock)
        self._scheduler = Scheduler(
            engine.collector.due,
            self._skipped,
            engine.spool,
            self._clock,
            watch=watch_sources(self._watch),
            paused=engine.pauses.is_collecting_paused,
        )
        engine.pauses.on_resumed = self._scheduler.resumed
        stall = StallMonitor(self._clock)
        self._view = LiveView(
            self._config,
            engine=engine,
            reloader=self._reloader,
            scheduler=self._scheduler,
            stall=stall,
            clock=self._clock,
        )
        stack.push_async_callback(engine.stop, 2.0)  # does nothing after an orderly stop
        await self._watch.start()
        stack.push_async_callback(self._watch.close)
        change = await self._reloader.start()
        await engine.start()  # only now it is known where messages and files go
        await self._open_doors(stack)
        stack.push_async_callback(self._scheduler.stop)
        self._reloader.follow(self._watch)  # before the many folders that jobs may watch
        await self._scheduler.start()
        self._spawn("watchdog", notifier.watch(self._view.unhealthy))
        self._spawn("stall", stall.run())
        threads = (threading.get_native_id(), engine.spool.thread_id)
        self._spawn("cores", Together(threads, self._clock).run())
        self._spawn("prune", self._prune())
        self._spawn("levels", Levels(engine.spool, self._clock).run())
        self._view.started()
        grown_up()
        self._ready = True
        if self._hung_up:
            self._hang_up()
        notifier.ready(f"{change}")
        log.info("ready", jobs=len(self._reloader.plan.jobs), change=str(change))

    async def _open_doors(self, stack: contextlib.AsyncExitStack) -> None:
        handlers = {"status": self._on_status, "reload": self._on_reload}
        handlers["auth"] = self._on_auth
        handlers["dead"] = LettersByHand(self._engine.spool, lambda: self._reloader.plan.jobs).answer
        handlers["find"] = Finding(self._settings.state).answer
        following = Following(self._engine)
        handlers["push"], handlers["left"] = following.answer_push, following.answer
        handlers["drain"] = Draining(self._engine).answer
        handlers["pause"] = self._engine.pauses.answer
        handlers["backfill"] = self._engine.backfills.answer
        handlers["auth-check"] = Consultation(lambda: self._engine.connections).answer
        control = ControlServer(self._settings.state, handlers)
        await control.start()
        stack.push_async_callback(control.stop)
        if self._settings.listen is not None:
            pages = WebServer(self._settings.listen, self._view)
            await pages.start()
            stack.push_async_callback(pages.stop)

    async def _stop_early(self, engine: Engine) -> None:
        """What must stop before the rest: whatever starts new work."""
        await self._scheduler.stop()
        await self._reloader.close()
        for task in self._tasks:
            if task.get_name() != "watchdog":  # a slow stop is no reason to be killed in the middle of it
                task.cancel()
        await engine.stop(GRACE)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def end(self) -> None:
        """Begin to stop. Twice is fine."""
        self._ending.set()

    # ------------------------------------------------------------------------------ signals and tasks

    def _signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.end)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        # A storm of signals fills the pipe that wakes the loop. One byte in it wakes as well as many, and
        # Python's complaint about each lost one, a traceback out of a signal, can keep the loop from running.
        pipe = signal.set_wakeup_fd(-1)
        if pipe != -1:
            signal.set_wakeup_fd(pipe, warn_on_full_buffer=False)

    def _hang_up(self) -> None:
        self._hung_up = True  # before the first load it is not lost: the files may have been read already
        if self._ready and not self._ending.is_set():
            self._spawn("reload by SIGHUP", self._reload_quietly())

    async def _reload_quietly(self) -> None:
        try:
            await self._reload("SIGHUP")
        except AgentError as error:
            log.warning("the reload failed, all goes on as it was", reason=error.message)

    def _spawn(self, name: str, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.remove(task)
        if task.cancelled() or task.exception() is None:
            return
        self._failed = self._failed or task.exception()
        self.end()

    async def _prune(self) -> None:
        while True:
            try:
                settings = self._settings
                await self._engine.spool.prune(settings.receipts_keep, settings.receipts_max_bytes)
                jobs = {*self._reloader.plan.jobs, *self._reloader.draining}
                await asyncio.to_thread(sweep_gone, settings.state, jobs, self._clock.now())
            except (AgentError, OSError) as error:
                log.warning("what is old is not removed now", reason=str(error))
            await self._clock.sleep(_PRUNE_EVERY)

    # ------------------------------------------------------------------------------ the world of reload

    async def prepare(self, plan: Plan, draining: Mapping[str, Job], change: Change) -> Prepared:
        """See `agent.reload.World`."""
        return await self._engine.prepare(plan, draining, change)

    def swap(self, prepared: Prepared) -> None:
        """See `agent.reload.World`."""
        self._engine.swap(prepared)
        self._scheduler.set_jobs(prepared.plan.jobs)
        settings = prepared.plan.settings
        set_up_logs(settings.log_level, settings.log_format)

    def _skipped(self, job: str, time: float, reason: str) -> None:
        self._engine.spool.skip(job, time, "schedule", reason)

    # ------------------------------------------------------------------------------ the control socket

    async def _on_status(self, arguments: JsonObject) -> JsonObject:
        del arguments
        return await self._view.status()

    async def _on_reload(self, arguments: JsonObject) -> JsonObject:
        del arguments
        return change_json(await self._reload("reload"))

    async def _reload(self, reason: str) -> Change:
        self._notifier.reloading()
        try:
            change = await self._reloader.reload(reason)
        finally:
            self._notifier.ready()
        self._notifier.status(str(change))
        return change

    async def _on_auth(self, arguments: JsonObject) -> JsonObject:
        action, connection = arguments.get("action"), arguments.get("connection")
        if action == "rekey":
            return await rekey(self._engine)
        if not isinstance(action, str) or not isinstance(connection, str):
            raise AgentError("auth wants an action and the name of a connection")
        return await act(self._engine, action, connection)


def run_daemon(config: Path, state: Path | None, clock: Clock) -> int:
    """Run until a signal. Raises AgentError when it cannot start; blocks."""
    settings = load_settings(config)
    if state is not None:
        settings = replace(settings, state=state)
    set_up_logs(settings.log_level, settings.log_format)

    async def live() -> int:
        return await Daemon(config, settings, clock).run()

    code = run(live())
    if any(thread.name.startswith("collect") for thread in threading.enumerate()):
        # An expression that computes for ever holds its thread, and Python would wait for it. All that
        # counts is on the disk and closed.
        logging.shutdown()
        os._exit(code)
    return code
