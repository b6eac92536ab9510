"""Which files a source has now: settled ones in order, and when to look again for the others.

Nothing here blocks on a FIFO or a device: names are looked at with `lstat`, files opened with O_NONBLOCK.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.clock import Clock
from agent.config.model import Files
from agent.errors import SourceError
from agent.sources import links
from agent.stamp import FileStamp

UNFINISHED = (".tmp", ".part", "~")
"""How writers name what is not yet a file."""
_NO_TEXT = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")
PIECE = 1 << 20
"""Bytes read at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """A file as it was listed."""

    path: Path
    stamp: FileStamp


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """What was found."""

    files: tuple[SourceFile, ...]
    """Settled, in the order in which they are to be read."""
    again: float | None
    """Wall clock: when the next of the others settles if nobody touches it; None: there are no others."""


def list_files(files: Files, clock: Clock) -> Listing:
    """List the files of a source. A folder that is missing or may not be read holds none."""
    now = clock.now()
    settle = files.settle.total_seconds()
    aside = [folder for folder in (files.done, files.failed) if folder]
    settled: list[SourceFile] = []
    waits: list[float] = []
    matched = {name for pattern in files.paths for name in _matches(pattern)}
    for name in sorted(matched):
        path = Path(name)
        if _skipped(path) or _set_aside(path, files.paths, aside):
            continue
        stamp = stamp_of(path)
        if stamp is None:
            continue
        # read anew: what was written while others were looked at is not of the future
        now = max(now, clock.now())
        # a time in the future (a clock that was set back) must not hide the file until then
        touched = min(stamp.mtime_ns / 1e9, now)
        if stamp.mtime_ns / 1e9 <= now and touched + settle > now:
            waits.append(touched + settle)
        else:
            settled.append(SourceFile(path=path, stamp=stamp))
    settled.sort(key=lambda file: _rank(file, files.order))
    return Listing(files=tuple(settled), again=min(waits, default=None))


def _matches(pattern: str) -> Iterator[str]:
    """The names that match. `**` goes into no folder through a link: two links to `.` would never end."""
    # glob and not Path.glob: the patterns are absolute
    parts = pattern.split("/")
    if "**" not in parts:
        yield from glob.iglob(pattern)  # noqa: PTH207
        return
    at = parts.index("**")
    rest = "/".join(part for part in parts[at + 1 :] if part != "**") or "*"
    for top in glob.iglob("/".join(parts[:at]) or "/"):  # noqa: PTH207
        for folder, folders, _ in os.walk(top):
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield from glob.iglob(f"{glob.escape(folder)}/{rest}")  # noqa: PTH207


def _rank(file: SourceFile, order: tuple[str, ...]) -> tuple[int | str, ...]:
    """By the order of the job, and by the whole path where that leaves a choice."""
    keys: dict[str, int | str] = {"mtime": file.stamp.mtime_ns, "name": file.path.name}
    return (*(keys[word] for word in order), str(file.path))


def _skipped(path: Path) -> bool:
    return path.name.startswith(".") or path.name.endswith(UNFINISHED)


def _set_aside(path: Path, patterns: tuple[str, ...], aside: list[str]) -> bool:
    """Whether the file lies in a `done` or `failed` folder.

    In one below the files' own only `**` can find it; one elsewhere (`../done`, `/data/done`) may lie where
    any pattern looks.
    """
    deep = any("**" in pattern for pattern in patterns)
    folders = [folder for folder in aside if deep or Path(folder).is_absolute() or ".." in Path(folder).parts]
    return any(
        path.is_relative_to(os.path.normpath(parent / folder))
        for folder in folders
        for parent in path.parents
    )


def is_text(path: str) -> bool:
    """Whether a path is text: no bytes that are not UTF-8 (surrogates), no control characters."""
    return _NO_TEXT.search(path) is None


def stamp_of(path: Path) -> FileStamp | None:
    """The stamp of a regular file; None for everything else, and for what is not there.

    A symbolic link to a regular file counts as that file; a loop of links counts as nothing.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - as_posix and back would cost more than it says
    except (OSError, ValueError):
        return None
    return _stamp(path, found) if stat.S_ISREG(found.st_mode) else None


def _stamp(path: Path, found: os.stat_result) -> FileStamp:
    return FileStamp(
        path=str(path),
        device=found.st_dev,
        inode=found.st_ino,
        size=found.st_size,
        mtime_ns=found.st_mtime_ns,
    )


@contextmanager
def opened(file: SourceFile) -> Iterator[int]:
    """Open a listed file and hold it: the descriptor stays on this content whatever happens to the name.

    Raises SourceError when the file is gone, may not be read, is no regular file any more, or changed
    since it was listed; and, at the end, when it changed while it was read.
    """
    try:
        descriptor = links.open_file(file.path)
    except FileNotFoundError as error:
        raise SourceError(f"{file.path.name}: is gone since it was listed") from error
    except OSError as error:
        raise SourceError(f"{file.path.name}: cannot be opened: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise SourceError(f"{file.path.name}: is not a regular file")
        unchanged(file, descriptor, "since it was listed")
        yield descriptor
        unchanged(file, descriptor, "while it was read")
    finally:
        os.close(descriptor)


def unchanged(file: SourceFile, descriptor: int, when: str) -> None:
    """Raise SourceError when the open file is not what was listed."""
    if _stamp(file.path, os.fstat(descriptor)) != file.stamp:
        raise SourceError(f"{file.path.name}: changed {when}", hint="it is read again once it has settled")


def place_of(descriptor: int) -> str:
    """Where an open file lies now: another place when it was renamed, replaced or deleted."""
    return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - the text, and no path: it may not exist


def sha256_of(path: Path) -> str:
    """The SHA-256 of a regular file, in hex. Raises SourceError when it cannot be read."""
    stamp = stamp_of(path)
    if stamp is None:
        raise SourceError(f"{path.name}: is gone or not a regular file")
    digest = hashlib.sha256()
    with opened(SourceFile(path=path, stamp=stamp)) as descriptor:
        for piece in pieces(descriptor):
            digest.update(piece)
    return digest.hexdigest()


def pieces(descriptor: int) -> Iterator[bytes]:
    """The content of an open file from its start."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    while piece := os.read(descriptor, PIECE):
        yield piece
