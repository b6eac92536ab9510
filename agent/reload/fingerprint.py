"""What the config folder holds, by content: times and sizes may lie. Blocking: in a thread."""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FOLDERS = ("", "connections", "jobs")
# Twice what a config file may hold: a larger one is refused anyway, and is told apart by its size.
_READ_AT_MOST = 2 * 1024 * 1024
EMPTY = "empty"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """One look."""

    files: Mapping[str, str] = field(default_factory=dict)
    """Path below the config folder → SHA-256 of its content, `EMPTY`, or why it cannot be read."""
    folders: frozenset[str] = frozenset()
    """Of `FOLDERS`, those that can be listed."""
    writing: frozenset[str] = field(default=frozenset(), compare=False)
    """Files that somebody has open for writing, as far as that can be known."""


def look(folder: Path, known: Mapping[str, str], beside: frozenset[str] = frozenset()) -> Fingerprint:
    """Look at all config files; only those that are not as in `known` are asked for writers.

    `beside`: absolute paths of other files that count.
    """
    files: dict[str, str] = {}
    writing: set[str] = set()
    folders: set[str] = set()
    for place in FOLDERS:
        try:
            names = sorted(os.listdir(folder / place))  # noqa: PTH208 - names, not paths
        except OSError:
            continue
        folders.add(place)
        for name in names:
            if is_config(name):
                path = f"{place}/{name}" if place else name
                _look_at(folder, path, known, files, writing)
    for path in sorted(beside):
        _look_at(folder, path, known, files, writing)
    return Fingerprint(files=files, folders=frozenset(folders), writing=frozenset(writing))


def is_config(name: str) -> bool:
    """Not what editors and copying tools leave beside it: `.gps.yaml.swp`, `gps.yaml~`, `4913`."""
    return name.endswith((".yaml", ".yml")) and not name.startswith((".", "#"))


def _look_at(
    folder: Path, path: str, known: Mapping[str, str], files: dict[str, str], writing: set[str]
) -> None:
    try:
        # Not blocking: a named pipe would never open.
        descriptor = os.open(folder / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        files[path] = f"unreadable: {error.strerror}"
        return
    try:
        files[path] = _content(descriptor)
        if files[path] != known.get(path) and _is_written(descriptor):
            writing.add(path)
    except OSError as error:
        files[path] = f"unreadable: {error.strerror}"
    finally:
        os.close(descriptor)


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
    # Who may read it is part of it: a file that others may write is refused until that is put right.
    return f"{digest.hexdigest()} {about.st_uid} {about.st_mode & 0o7777:o}" if size else EMPTY


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
