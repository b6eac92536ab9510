"""Who wants to know of which folders, and the tasks that look after them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from agent.clock import Clock
from agent.watch.roots import Observers, Root

CHECK = 5.0
RESCAN = 30.0
POLL = 2.0
# The first event is told this late, with all that came meanwhile.
DEBOUNCE = 0.1

_Key: TypeAlias = "tuple[str, bool]"
"""Folder, recursive."""


class Subscription:
    """One user's interest in some folders."""

    def __init__(self, watch: FolderWatch, roots: tuple[_Key, ...], on_change: Callable[[], None]) -> None:
        self._watch = watch
        self.roots = roots
        self.on_change = on_change

    def close(self) -> None:
        """No more calls. Twice is fine."""
        self._watch.remove(self)


class FolderWatch:
    """All folders that anybody here watches, by one observer. Call it from the event loop.

    `check`, `rescan`, `poll`, `debounce` are in seconds.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        check: float = CHECK,
        rescan: float = RESCAN,
        poll: float = POLL,
        debounce: float = DEBOUNCE,
    ) -> None:
        self._clock = clock
        self._check = check
        self._rescan = rescan
        self._poll = poll
        self._debounce = debounce
        self._roots: dict[_Key, Root] = {}
        self._users: dict[_Key, list[Subscription]] = {}
        self._observers = Observers()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._due: set[_Key] = set()
        self._wanted = asyncio.Event()

    @property
    def polling(self) -> bool:
        """Whether at least one folder is only polled, because inotify's limits are reached."""
        return any(root.polled for root in self._roots.values())

    def add(
        self, folders: Iterable[Path], on_change: Callable[[], None], *, recursive: bool = False
    ) -> Subscription:
        """Call `on_change` when something changes in one of `folders`; they need not exist yet."""
        keys = tuple(dict.fromkeys((str(folder), recursive) for folder in folders))
        subscription = Subscription(self, keys, on_change)
        for key in keys:
            if key not in self._roots:
                self._roots[key] = Root(
                    Path(key[0]), recursive=recursive, hint=partial(self._hint, key), recheck=self._recheck
                )
            else:
                self._hint(key)
            self._users.setdefault(key, []).append(subscription)
        self._wanted.set()
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """What `Subscription.close` does."""
        for key in subscription.roots:
            users = self._users.get(key, [])
            if subscription in users:
                users.remove(subscription)
        self._wanted.set()

    async def start(self) -> None:
        """Watch from now on."""
        self._loop = asyncio.get_running_loop()
        self._due.clear()
        self._tasks = [
            self._loop.create_task(self._keep_checking(), name="watch: check"),
            self._loop.create_task(self._keep_listing(), name="watch: listing"),
        ]

    async def close(self) -> None:
        """No more calls and no more threads. Twice is fine."""
        self._loop = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await asyncio.to_thread(self._observers.close)

    async def _keep_checking(self) -> None:
        while True:
            self._wanted.clear()
            gone = [self._roots.pop(key) for key in list(self._roots) if not self._users.get(key)]
            for root in gone:
                await asyncio.to_thread(root.release, self._observers)
            for key in await asyncio.to_thread(self._inspect, list(self._roots.items())):
                self._hint(key)
            await self._pause()

    def _inspect(self, roots: list[tuple[_Key, Root]]) -> list[_Key]:
        return [key for key, root in roots if root.inspect(self._observers)]

    async def _keep_listing(self) -> None:
        waited = 0.0
        while True:
            await self._clock.sleep(self._poll)
            waited += self._poll
            everything = waited >= self._rescan
            waited = 0.0 if everything else waited
            roots = [(key, root) for key, root in self._roots.items() if everything or root.polled]
            if roots:
                for key in await asyncio.to_thread(_relist, roots):
                    self._hint(key)

    async def _pause(self) -> None:
        """Until the next check, or until somebody wants one."""
        timer = asyncio.ensure_future(self._clock.sleep(self._check))
        wanted = asyncio.ensure_future(self._wanted.wait())
        try:
            await asyncio.wait((timer, wanted), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            wanted.cancel()

    def _recheck(self) -> None:
        """From any thread: look at the folders now."""
        self._soon(self._wanted.set)

    def _hint(self, key: _Key) -> None:
        """From any thread: tell the users of a root, once for all events of the next moment."""
        if self._loop is not None and key not in self._due:
            self._due.add(key)
            self._soon(lambda: self._arm(key))

    def _soon(self, call: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed under us
                loop.call_soon_threadsafe(call)

    def _arm(self, key: _Key) -> None:
        if self._loop is not None:
            self._loop.call_later(self._debounce, self._signal, key)

    def _signal(self, key: _Key) -> None:
        self._due.discard(key)
        if self._loop is not None:
            for user in list(self._users.get(key, ())):
                user.on_change()


def _relist(roots: list[tuple[_Key, Root]]) -> list[_Key]:
    return [key for key, root in roots if root.relist()]
