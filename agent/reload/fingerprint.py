"""What the config folder holds, by content. Blocking: in a thread.

A file is read again when anything at all is new about it (size, times, inode, owner, rights), or when it was
changed so lately that a second change might not show. Times may lie all the same (a page of memory written
to, a clock set back): so whoever looks with `unstamped` reads everything.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from agent.config.files import mark_of

Stamp: TypeAlias = "tuple[tuple[int, ...], int, int]"

FOLDERS = ("", "connections", "jobs")
# Twice what a config file may hold: a larger one is refused anyway, and is told apart by its size.
_READ_AT_MOST = 2 * 1024 * 1024
EMPTY = "empty"
# A change this soon after the one before may bear the same time (ticks of the kernel, 2 s on some file
# systems): nanoseconds.
_TICK = 2_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """One look."""

    files: Mapping[str, str] = field(default_factory=dict)
    """Path below the config folder → its mark (see `mark_of`), `EMPTY`, or why it cannot be read."""
    folders: frozenset[str] = frozenset()
    """Of `FOLDERS`, those that can be listed."""
    rights: Mapping[str, str] = field(default_factory=dict)
    """Of these: who may change what lies in them, which decides whether it is trusted."""
    writing: frozenset[str] = field(default=frozenset(), compare=False)
    """Files that somebody has open for writing, as far as that can be known."""
    stamps: Mapping[str, Stamp] = field(default_factory=dict, compare=False)
    """Of files that need not be read again while they have this stamp."""

    def unstamped(self) -> Fingerprint:
        """The same, after which the next look reads every file."""
        return replace(self, stamps={})


def look(
    folder: Path,
    known: Fingerprint,
    beside: frozenset[str] = frozenset(),
    *,
    before: Fingerprint | None = None,
) -> Fingerprint:
    """Look at all config files; only those that are not as in `known` are read and asked for writers.

    `beside`: absolute paths of other files that count. `before`: a look of a moment ago; what it found as it
    is in `known` is not looked at again, only whether it is still there.
    """
    return _Look(folder, known, before or known.unstamped()).at_all(beside)


def is_config(name: str) -> bool:
    """Not what editors and copying tools leave beside it: `.gps.yaml.swp`, `gps.yaml~`, `4913`."""
    return name.endswith((".yaml", ".yml")) and not name.startswith((".", "#"))


class _Look:
    """One look, as it grows."""

    def __init__(self, folder: Path, known: Fingerprint, before: Fingerprint) -> None:
        self._folder = folder
        self._known = known
        self._before = before
        self._lately = time.time_ns() - _TICK  # the clock that file systems go by
        self._files: dict[str, str] = {}
        self._rights: dict[str, str] = {}
        self._writing: set[str] = set()
        self._stamps: dict[str, Stamp] = {}

    def at_all(self, beside: frozenset[str]) -> Fingerprint:
        folders = {place for place in FOLDERS if self._at_folder(place)}
        for path in beside:
            self._at(path, (self._folder / path).lstat)
        return Fingerprint(
            files=self._files,
            folders=frozenset(folders),
            rights=self._rights,
            writing=frozenset(self._writing),
            stamps=self._stamps,
        )

    def _at_folder(self, place: str) -> bool:
        """Whether it can be listed."""
        try:
            with os.scandir(self._folder / place) as entries:
                self._rights[place] = mark_of("", (self._folder / place).stat())
                for entry in entries:
                    if is_config(entry.name):
                        path = f"{place}/{entry.name}" if place else entry.name
                        self._at(path, partial(entry.stat, follow_symlinks=False))
        except OSError:
            return False
        return True

    def _at(self, path: str, lstat: Callable[[], os.stat_result]) -> None:
        stamped = self._before.stamps.get(path)
        if stamped is not None and self._before.files[path] == self._known.files.get(path):
            self._files[path], self._stamps[path] = self._before.files[path], stamped
            return
        try:
            info = lstat()
        except OSError:
            self._read(path, is_link=False)  # gone meanwhile, or it says what is wrong
            return
        if stat.S_ISLNK(info.st_mode):  # says nothing of what it leads to
            self._read(path, is_link=True)
            return
        stamp = _stamp(info)
        if stamp == stamped:
            self._files[path], self._stamps[path] = self._before.files[path], stamp
        elif stamp == self._known.stamps.get(path):
            self._files[path], self._stamps[path] = self._known.files[path], stamp
        elif self._read(path, is_link=False) and info.st_ctime_ns < self._lately:
            self._stamps[path] = stamp

    def _read(self, path: str, *, is_link: bool) -> bool:
        """Whether its content is known now."""
        try:
            # Not blocking: a named pipe would never open.
            descriptor = os.open(self._folder / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            self._files[path] = f"unreadable: {error.strerror}"
            return False
        try:
            mark = _content(descriptor)
            self._files[path] = f"{mark} link" if is_link and mark != EMPTY else mark
            if self._files[path] != self._known.files.get(path) and _is_written(descriptor):
                self._writing.add(path)
                return False
        except OSError as error:
            self._files[path] = f"unreadable: {error.strerror}"
            return False
        finally:
            os.close(descriptor)
        return True


def _stamp(info: os.stat_result) -> Stamp:
    """Mode, inode, device, links, owner, group and size; and the times."""
    return info[:7], info.st_mtime_ns, info.st_ctime_ns


def _content(descriptor: int) -> str:
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        return "no regular file"
    if about.st_size > _READ_AT_MOST:
        return f"too large: {about.st_size} bytes"
    digest = hashlib.sha256()
    size = 0
    for part in _parts(descriptor):
        digest.update(part)
        size += len(part)
    # Who may write it is part of it: a file that others may change is refused until that is put right.
    return mark_of(digest.hexdigest(), about) if size else EMPTY


def _parts(descriptor: int) -> Iterator[bytes]:
    left = _READ_AT_MOST
    while left > 0 and (part := os.read(descriptor, min(left, 65536))):
        left -= len(part)
        yield part


def _is_written(descriptor: int) -> bool:
    """Whether somebody has it open for writing: a read lease is refused then (fcntl(2), Linux).

    Only the owner of a file may ask; for all others the answer is no, and settling has to do.
    """
    try:
        # Somebody who opens it in this very moment breaks the lease. The signal for that would be
        # SIGIO, which kills; SIGURG is ignored by default.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
