"""A folder as the user wrote it, and the directories that are watched for it. Blocking: in a thread."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agent.logs import get_log

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver, EventEmitter, ObservedWatch

log = get_log("watch")

_LIMITS = (errno.ENOSPC, errno.EMFILE)
# The library takes a thread for each directory, and a process that cannot start one more is lost.
MOST_WATCHED = 1_000


@dataclass(frozen=True, slots=True)
class Identity:
    """What must stay the same for a watch to be of use."""

    device: int
    inode: int
    real: str
    """Where the symlinks lead to."""
    readable: bool


def identity_of(path: Path) -> Identity | None:
    """None when there is no such folder."""
    try:
        real = os.path.realpath(path)
        stat = os.stat(real)  # noqa: PTH116 - beside realpath, which pathlib would also raise for loops
    except OSError:
        return None
    return Identity(stat.st_dev, stat.st_ino, real, os.access(real, os.R_OK | os.X_OK))


@dataclass(slots=True)
class _Directory:
    """One watched directory, for all roots that want it."""

    identity: Identity
    watch: ObservedWatch
    emitter: EventEmitter
    users: dict[Hashable, Callable[[str], None]] = field(default_factory=dict)


class Observers:
    """The one observer of this process, and what it watches."""

    def __init__(self) -> None:
        self.closed = False
        self._observer: BaseObserver | None = None
        self._lock = threading.RLock()
        self._directories: dict[tuple[str, bool], _Directory] = {}
        self._full = False

    def want(self, path: str, user: Hashable, call: Callable[[str], None], *, recursive: bool) -> bool:
        """Call `call` with the path of whatever changes. True when the watch is a new one.

        Raises OSError: the limits of inotify are reached, or the folder cannot be watched.
        """
        with self._lock:
            return self._want(path, user, call, recursive=recursive)

    def _want(self, path: str, user: Hashable, call: Callable[[str], None], *, recursive: bool) -> bool:
        identity = identity_of(Path(path))
        if identity is None or self.closed:
            raise FileNotFoundError(errno.ENOENT, "no such folder", path)
        known = self._directories.get((path, recursive))
        if known is not None and known.identity == identity and known.emitter.is_alive():
            new = user not in known.users
            known.users[user] = call
            return new
        users = known.users if known is not None else {}
        if known is not None:
            self._drop((path, recursive))
        if len(self._directories) >= MOST_WATCHED:
            if not self._full:
                log.warning("too many folders to watch: all others are polled", watched=MOST_WATCHED)
            self._full = True
            raise OSError(errno.EUSERS, "too many folders to watch", path)
        try:
            made = self._watch(path, identity, recursive=recursive)
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, str(error), path) from error
        made.users.update(users)
        made.users[user] = call
        self._directories[path, recursive] = made
        return True

    def unwant(self, user: Hashable) -> None:
        """The user is called no more; what nobody wants is watched no more."""
        with self._lock:
            for key, directory in list(self._directories.items()):
                if directory.users.pop(user, None) is not None and not directory.users:
                    self._drop(key)

    def close(self) -> None:
        """Stop all threads."""
        with self._lock:
            self.closed = True
            self._directories.clear()
            if self._observer is not None:
                self._observer.stop()
                self._observer.join()
                self._observer = None

    def _watch(self, path: str, identity: Identity, *, recursive: bool) -> _Directory:
        from watchdog import events  # noqa: PLC0415 - late: it takes 60 ms

        # Opening and closing for reading is left out: our own reading must not wake us.
        kinds: list[type[FileSystemEvent]] = [
            events.FileCreatedEvent,
            events.FileModifiedEvent,
            events.FileMovedEvent,
            events.FileDeletedEvent,
            events.FileClosedEvent,
            events.DirCreatedEvent,
            events.DirMovedEvent,
            events.DirDeletedEvent,
        ]
        users: dict[Hashable, Callable[[str], None]] = {}

        class Handler(events.FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:
                for place in (event.src_path, event.dest_path):
                    for call in list(users.values()) if place else []:
                        call(os.fsdecode(place))

        observer = self._open()
        watch = observer.schedule(Handler(), path, recursive=recursive, event_filter=kinds)
        emitter = next(emitter for emitter in observer.emitters if emitter.watch == watch)
        return _Directory(identity, watch, emitter, users)

    def _open(self) -> BaseObserver:
        from watchdog.observers import Observer  # noqa: PLC0415 - late: it takes 60 ms

        if self._observer is None:
            # Its thread complains, as an error, of having been stopped; we say ourselves what is missed.
            logging.getLogger("watchdog").setLevel(logging.CRITICAL)
            observer = Observer()
            observer.start()
            self._observer = observer
        return self._observer

    def _drop(self, key: tuple[str, bool]) -> None:
        directory = self._directories.pop(key)
        if self._observer is not None:
            self._observer.unschedule(directory.watch)


class Root:
    """A folder as the user wrote it: it may be a symlink, and may be missing."""

    def __init__(
        self, path: Path, *, recursive: bool, hint: Callable[[], None], recheck: Callable[[], None]
    ) -> None:
        self._path = path
        self._recursive = recursive
        self._hint = hint
        self._recheck = recheck
        self._identity: Identity | None = None
        self._seen = False
        self._listing = 0
        self._gone = False
        self.polled = False
        """Its listing is all there is to go by."""

    def inspect(self, observers: Observers) -> bool:
        """Watch it, again if need be. True when something may have happened unseen."""
        if observers.closed:
            return False
        identity = identity_of(self._path)
        # The first look is always news: what happened before it is nobody's event.
        changed = identity != self._identity or not self._seen
        self._seen = True
        if changed:
            observers.unwant((self, "folder"))
            self._tell(identity)
            self.relist()
        self._identity = identity
        try:
            self._want_parent(observers)
            if identity is not None:
                user = (self, "folder")
                changed |= observers.want(
                    identity.real, user, lambda _: self._hint(), recursive=self._recursive
                )
            self.polled = False
        except OSError as error:
            self._fall_back(error)
        return changed

    def relist(self) -> bool:
        """Whether names, sizes or times are other than at the last look."""
        listing = hash(tuple(_listing(str(self._path), recursive=self._recursive)))
        changed = listing != self._listing
        self._listing = listing
        return changed

    def release(self, observers: Observers) -> None:
        """Nobody wants it any more."""
        observers.unwant((self, "folder"))
        observers.unwant((self, "parent"))

    def _want_parent(self, observers: Observers) -> None:
        parent = os.path.realpath(self._path.parent)
        own = os.path.join(parent, self._path.name)  # noqa: PTH118 - text, as events give it
        if os.path.isdir(parent) and own != parent:  # noqa: PTH112
            user = (self, "parent")
            observers.want(
                parent, user, lambda place: self._recheck() if place == own else None, recursive=False
            )

    def _tell(self, identity: Identity | None) -> None:
        if identity is None and not self._gone:
            log.warning("a watched folder is missing", folder=str(self._path))
        if identity is not None and self._gone:
            log.info("a watched folder is back", folder=str(self._path))
        self._gone = identity is None

    def _fall_back(self, error: OSError) -> None:
        if not self.polled and self._identity is not None and error.errno != errno.EUSERS:
            reason = "the limit of inotify is reached" if error.errno in _LIMITS else str(error)
            log.warning("a folder is polled instead of watched", folder=str(self._path), reason=reason)
        self.polled = self._identity is not None


def _listing(folder: str, *, recursive: bool) -> list[tuple[str, int, int, int]]:
    found: list[tuple[str, int, int, int]] = []
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    stat = entry.stat()
                    found.append((entry.path, stat.st_ino, stat.st_size, stat.st_mtime_ns))
                    if recursive and entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:
            found.append((place, 0, 0, 0))  # gone meanwhile, or not to be read: seen as it is
    return sorted(found)
