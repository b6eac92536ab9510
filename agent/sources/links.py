"""Opening what a path leads to, without being led astray by whoever may write to a folder on the way.

A data folder belongs to those who drop files into it. A link that one of them puts there may lead to what
only the agent may read: a secret, the state's key, another customer's files. So a symbolic link counts
only where root or the agent's own user made it, or where it leads to what belongs to its maker.

Every step is taken on an open descriptor, so that nothing can be swapped between a look and its use.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MOST_LINKS = 40
"""As many as the kernel follows (path_resolution(7))."""
_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def open_file(path: Path) -> int:
    """A descriptor to read from; never waits for a FIFO or a terminal.

    Raises PermissionError for a link of somebody else, OSError like os.open().
    """
    with _found(path) as found:
        return os.open(_again(found), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """A name for a folder that stays on this very folder for the length of a `with`.

    Raises PermissionError for a link of somebody else, OSError when it is missing or no folder.
    """
    with _found(path) as found:
        if not stat.S_ISDIR(os.fstat(found).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        yield Path(_again(found))


@contextmanager
def _found(path: Path) -> Iterator[int]:
    """What a path leads to, as an O_PATH descriptor."""
    makers: set[int] = set()
    here = os.open("/", _STEP | os.O_DIRECTORY)
    try:
        names = deque(path.absolute().parts[1:])
        links = 0
        while names:
            name = names.popleft()
            try:
                there = os.open(name, _STEP, dir_fd=here)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from None
            status = os.fstat(there)
            if not stat.S_ISLNK(status.st_mode):
                os.close(here)
                here = there
                continue
            try:
                to = os.readlink("", dir_fd=there)
            finally:
                os.close(there)
            makers.add(status.st_uid)
            links += 1
            if links > MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            names.extendleft(part for part in reversed(to.split("/")) if part not in {"", "."})
            if to.startswith("/"):
                os.close(here)
                here = os.open("/", _STEP | os.O_DIRECTORY)
        if makers - {0, os.geteuid(), os.fstat(here).st_uid}:
            raise PermissionError(
                errno.EACCES, "a link that somebody else made leads to what is not theirs", str(path)
            )
        yield here
    finally:
        os.close(here)


def _again(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"
