"""A file goes into another folder: that very file, whole, whatever others do to the folders meanwhile.

Both folders are held open while it is done: whoever may write to a drop folder could otherwise put a link
in the place of `done/` or of the folder itself, and have the agent write or move what is not theirs.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from agent.logs import get_log
from agent.message import JsonValue
from agent.sources import links
from agent.stamp import FileStamp

log = get_log("finish")

Note = Callable[[], Mapping[str, JsonValue]]

_CHANGED = "it changed since it was read"
_LONGEST = 255  # bytes of a file's name: NAME_MAX of every file system that Linux is run on


def move_aside(
    source: Path, name: str, stamp: FileStamp, *, note: Note | None = None
) -> tuple[Path | None, str]:
    """Move the file of this stamp to `name` (from its folder on); note: what NAME.why.json beside it says.

    Where it is now (None: where it was, or nowhere), and what there is to say. Raises OSError.
    """
    folder = source.parent / name
    with links.folder(source.parent) as here, _errors_of(folder):
        now = _stamp(here / source.name, source)
        if now is None:
            moved = _moved_before(source.name, folder, stamp)
            return moved, "" if moved else "it was gone"
        if now != stamp:
            return None, _CHANGED
        (here / name).mkdir(exist_ok=True)
        with links.folder(folder) as there:
            target = _free_name(there, source.name)
            why = _beside(target, ".why.json")
            if note is not None:
                _write(why, note())
            if _move(here / source.name, target, stamp):
                return folder / target.name, ""
            with contextlib.suppress(FileNotFoundError):
                why.unlink()
            return None, _CHANGED


@contextlib.contextmanager
def _errors_of(folder: Path) -> Iterator[None]:
    """Errors by a name that people know: the names of held folders are the kernel's."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


def _stamp(path: Path, named: Path) -> FileStamp | None:
    """The stamp of what lies there, None when nothing does. Other errors are raised: they may pass."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return _stamp_of(found, named)


def _stamp_of(found: os.stat_result, named: str | Path) -> FileStamp:
    return FileStamp(
        path=str(named),
        device=found.st_dev,
        inode=found.st_ino,
        size=found.st_size,
        mtime_ns=found.st_mtime_ns,
    )


def _names(name: str) -> Iterator[str]:
    yield name
    number = 0
    while True:
        number += 1
        yield _fitting(name, f".{number}")


def _beside(path: Path, ending: str) -> Path:
    """The path with this ending; short enough that it can be written under a name of its own first."""
    return path.with_name(_fitting(path.name, ending, room=len("..part")))


def _part(path: Path) -> Path:
    """Where it is written until it is whole."""
    return path.with_name(_fitting(f".{path.name}", ".part"))


def _fitting(name: str, ending: str, *, room: int = 0) -> str:
    """`name + ending`; of a name that would get too long the start, and a hash that tells it from others."""
    raw = os.fsencode(name)
    most = _LONGEST - room - len(ending)
    if len(raw) <= most:
        return name + ending
    digest = "~" + hashlib.sha256(raw).hexdigest()[:8]
    return raw[: most - len(digest)].decode(errors="ignore") + digest + ending


def _free_name(folder: Path, name: str) -> Path:
    """NAME, NAME.1, … Nobody but this thread puts files there, so that looking first is enough."""
    return next(folder / each for each in _names(name) if not os.path.lexists(folder / each))


def _moved_before(name: str, folder: Path, stamp: FileStamp) -> Path | None:
    """Where an earlier process moved it before it could note so: same size and time."""
    with contextlib.suppress(FileNotFoundError), links.folder(folder) as there:
        for each in _names(name):
            place = there / each
            if not os.path.lexists(place):
                return None
            with contextlib.suppress(OSError):
                found = place.stat()
                if (found.st_size, found.st_mtime_ns) == (stamp.size, stamp.mtime_ns):
                    return folder / each
    return None


def _move(source: Path, target: Path, stamp: FileStamp) -> bool:
    """Move exactly the file of this stamp; False when another one took its name just now."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return _copy(source, target, stamp)
    if target.is_symlink():
        return True  # the link was dropped, so the link is put aside; from here it may lead elsewhere
    found = target.stat()
    if (found.st_ino, found.st_size, found.st_mtime_ns) == (stamp.inode, stamp.size, stamp.mtime_ns):
        return True
    # Somebody wrote between the look and the move. It is new work: back to where it is looked for.
    if not os.path.lexists(source):
        target.rename(source)
    else:
        log.error("a file took the name of another in its move", file=stamp.path, kept_as=target.name)
    return False


def _copy(source: Path, target: Path, stamp: FileStamp) -> bool:
    """To another file system: durable there before it is gone here."""
    part = _part(target)
    if not _copied(stamp, part) or _stamp(source, Path(stamp.path)) != stamp:
        part.unlink()
        return False
    part.rename(target)
    _sync_folder(target.parent)
    source.unlink()
    return True


def _copied(stamp: FileStamp, part: Path) -> bool:
    """Whether `part` holds, durably, what the file of this stamp holds; False: it is another file now."""
    with os.fdopen(links.open_file(Path(stamp.path)), "rb") as old, _fresh(part) as new:
        found = os.fstat(old.fileno())
        if _stamp_of(found, stamp.path) != stamp:
            return False
        shutil.copyfileobj(old, new, 1 << 20)
        new.flush()
        os.fchmod(new.fileno(), stat.S_IMODE(found.st_mode))
        os.utime(new.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))
        os.fsync(new.fileno())
    return True


def _write(path: Path, value: Mapping[str, JsonValue]) -> None:
    """Whole or not at all."""
    part = _part(path)
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with _fresh(part) as out:
        # A lone surrogate (a file name that is no UTF-8) becomes the escape that JSON has for it.
        out.write(text.encode("utf-8", "backslashreplace"))
    part.rename(path)


def _fresh(path: Path) -> BinaryIO:
    """A new file to write to: what lay there goes, and a link there leads nowhere."""
    path.unlink(missing_ok=True)
    return path.open("xb")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
