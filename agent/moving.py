"""A file goes into another folder: that very file, whole, whatever others do to the folders meanwhile.

    same file system    rename NAME → done/NAME
    another one         rename NAME → .NAME.moving · copy it → done/.NAME.part, whole and durable
                        rename → done/NAME · unlink .NAME.moving

Nothing is ever written over: a name that is taken gets a number. Killed at any step, the next start finds one
of the two names of the one file, whole, and goes on from there; a half copy has a name that nobody looks at.

Both folders are held open while it is done: whoever may write to a drop folder could otherwise put a link
in the place of `done/` or of the folder itself, and have the agent write or move what is not theirs.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.copying import copied, same_content, sync_folder, write_note, written_by_us
from agent.logs import get_log
from agent.message import JsonValue
from agent.naming import beside, names, on_the_way, part_of
from agent.renaming import rename_new
from agent.sources import links
from agent.stamp import FileStamp

log = get_log("finish")

Note = Callable[[], Mapping[str, JsonValue]]

_CHANGED = "it changed since it was read"


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    """The file that is to go, by the names of held folders."""

    name: str
    named: Path
    """As a person knows it."""
    here: Path
    there: Path
    stamp: FileStamp
    sha256: str
    """Of what was read, "" when nobody knows."""

    @property
    def at(self) -> Path:
        return self.here / self.name

    @property
    def way(self) -> Path:
        """Where it lies while it is copied."""
        return on_the_way(self.at)


def move_aside(
    source: Path, name: str, stamp: FileStamp, *, sha256: str = "", note: Note | None = None
) -> tuple[Path | None, str]:
    """Move the file of this stamp to `name` (from its folder on); note: what NAME.why.json beside it says.

    `sha256` is checked when it must be copied. Where it is now (None: where it was, or nowhere), and what
    there is to say. Raises OSError.
    """
    folder = source.parent / name
    with links.folder(source.parent) as here, _errors_of(folder):
        way = on_the_way(here / source.name)
        half_way = _stamp(way, source) == stamp
        if not half_way:
            _give_back(way, here / source.name)  # new work that was taken by its name, by a process that died
            now = _stamp(here / source.name, source)
            if now is None:
                moved = _moved_before(source.name, folder, stamp)
                return moved, "" if moved else "it was gone"
            if now != stamp:
                return None, _CHANGED
        _make(source.parent, name)
        with links.folder(folder) as there:
            file = _File(name=source.name, named=source, here=here, there=there, stamp=stamp, sha256=sha256)
            if half_way and (copy := _copied_before(file)) is not None:
                way.unlink()
                return folder / copy.name, ""
            target = _moved(file, way if half_way else file.at, note)
            return (folder / target.name, "") if target is not None else (None, _CHANGED)


def _moved(file: _File, lying: Path, note: Note | None) -> Path | None:
    """Move it to the first name that is free; None when another file took its name just now."""
    for target in (file.there / each for each in names(file.name)):
        why = beside(target, ".why.json")
        if os.path.lexists(target) or (note is not None and not _may_write(why)):
            continue
        if note is not None:
            write_note(why, note())
        try:
            if _move(file, lying, target):
                return target
        except FileExistsError:  # somebody put a file there since the look
            if not os.path.lexists(target):
                raise
            _forget(why, note)
            continue
        _forget(why, note)
        return None
    raise AssertionError


def _forget(why: Path, note: Note | None) -> None:
    if note is not None:
        why.unlink(missing_ok=True)


def _may_write(why: Path) -> bool:
    """What an earlier failure of the name left may be replaced; a file of somebody else may not."""
    return not os.path.lexists(why) or written_by_us(why)


@contextlib.contextmanager
def _errors_of(folder: Path) -> Iterator[None]:
    """Errors by a name that people know: the names of held folders are the kernel's."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


def _make(start: Path, name: str) -> None:
    """The folder, and those on the way from the file's own.

    Of another place only the last one: what is not mounted now must not be filled where it would be.
    """
    parts = Path(name).parts
    if Path(name).is_absolute():
        start, parts = Path(name).parent, (Path(name).name,)
    for part in parts:
        with links.folder(start) as held:
            (held / part).mkdir(exist_ok=True)
        start /= part


def _stamp(path: Path, named: Path) -> FileStamp | None:
    """The stamp of what lies there, None when nothing does. Other errors are raised: they may pass."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return FileStamp(
        path=str(named),
        device=found.st_dev,
        inode=found.st_ino,
        size=found.st_size,
        mtime_ns=found.st_mtime_ns,
    )


def _moved_before(name: str, folder: Path, stamp: FileStamp) -> Path | None:
    """Where an earlier process moved it before it could note so: same size and time."""
    with contextlib.suppress(FileNotFoundError), links.folder(folder) as there:
        for place in _alike(there, name, stamp):
            return folder / place.name
    return None


def _copied_before(file: _File) -> Path | None:
    """Its whole copy, where the process that made it died before it removed the original."""
    for place in _alike(file.there, file.name, file.stamp):
        if same_content(file.way, place):
            return place
    return None


def _alike(there: Path, name: str, stamp: FileStamp) -> Iterator[Path]:
    """Files of its name or its name with a number, of its size and time."""
    for each in names(name):
        place = there / each
        if not os.path.lexists(place):
            return
        with contextlib.suppress(OSError):
            found = place.stat()
            if (found.st_size, found.st_mtime_ns) == (stamp.size, stamp.mtime_ns):
                yield place


def _move(file: _File, lying: Path, target: Path) -> bool:
    """Move exactly the file of this stamp; False when another one took its name just now."""
    try:
        rename_new(lying, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return _carry(file, lying, target)
    sync_folder(file.there)
    if target.is_symlink():
        return True  # the link was dropped, so the link is put aside; from here it may lead elsewhere
    found = target.stat()
    stamp = file.stamp
    if (found.st_ino, found.st_size, found.st_mtime_ns) == (stamp.inode, stamp.size, stamp.mtime_ns):
        return True
    # Somebody wrote between the look and the move. It is new work: back to where it is looked for.
    _give_back(target, file.at)
    return False


def _carry(file: _File, lying: Path, target: Path) -> bool:
    """To another file system: durable there before it is gone here, and first out of the way of others."""
    part = part_of(target.with_name(file.name))
    if lying != file.way:
        rename_new(lying, file.way)
    try:
        is_it = _stamp(file.way, file.named) == file.stamp
        # A second look behind the copy: a writer may have had the file open since before.
        whole = is_it and copied(file.named.with_name(file.way.name), part, file.stamp, file.sha256)
        if not whole or _stamp(file.way, file.named) != file.stamp:
            part.unlink(missing_ok=True)
            _give_back(file.way, file.at)
            return False
        rename_new(part, target)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if _stamp(file.way, file.named) is not None and not os.path.lexists(file.at):
            file.way.rename(file.at)
        raise
    sync_folder(file.there)
    file.way.unlink()
    return True


def _give_back(taken: Path, place: Path) -> None:
    """New work that was taken by its name goes back to it, or beside it when the name is taken by now."""
    if not os.path.lexists(taken):
        return
    for each in names(place.name):
        with contextlib.suppress(FileExistsError):
            rename_new(taken, place.with_name(each))
            if each != place.name:
                log.error("a file took the name of another in its move", file=place.name, kept_as=each)
            return
