"""Which logs there are to be read on, and from where: after a rename, a copy, a truncation.

same inode, same text before the place ──▶ on from there, under whatever name in its folder
another text, or shorter ────────────────▶ a new log; the rest of the old one, where a copy of it lies
gone ────────────────────────────────────▶ forgotten
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from agent.clock import Clock
from agent.config.model import Files
from agent.errors import SourceError
from agent.logs import get_log
from agent.message import Cursor
from agent.sources import links
from agent.sources.files import SourceFile, is_text, list_files, stamp_of
from agent.sources.log_mark import LOOKED_AT, Mark, from_cursor, new_mark, prints, to_cursor

log = get_log("collect")

PACKED = (".gz", ".zst")


@dataclass(frozen=True, kw_only=True, slots=True)
class Log:
    """A file, and how far it was read."""

    file: SourceFile
    mark: Mark


@dataclass(kw_only=True, slots=True)
class Survey:
    """What there is."""

    logs: list[Log] = field(default_factory=list)
    """In the order in which they were met first: a renamed log is older than its successor."""
    cursor: Cursor
    """With what was found out."""
    following: int
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def survey(files: Files, stored: Cursor | None, clock: Clock) -> Survey:
    """Look at all logs of a job. Blocks; opens each that is known."""
    marks, following = from_cursor(stored)
    found = Survey(cursor={}, following=following)
    listed = _listed(files, clock, found)
    there, renamed, lost = _known(marks, listed)
    # one that was empty may be the beginning of a copy
    known = {path for path, mark in there.items() if mark.offset}
    known |= {one.file.path for one in renamed}
    for file in listed.values():
        if file.path in known:
            continue
        begun = there.pop(file.path, None)
        copied = next((mark for mark in lost if _is_copy(file, mark)), None)
        original = next((mark for mark in there.values() if _is_copied_now(file, mark)), None)
        if copied is not None:
            lost.remove(copied)
            renamed.append(Log(file=file, mark=_in(file, copied)))
        elif original is not None:
            found.notes.append(f"{file.path.name} is not read: a copy of {Path(original.path).name}")
        elif begun is not None:
            there[file.path] = begun
        else:
            there[file.path] = new_mark(found.following, str(file.path), *_numbers(file))
            found.following += 1
    for mark in lost:
        _told(mark, there=Path(mark.path) in there)
    rest = [Log(file=file, mark=there[file.path]) for file in listed.values() if file.path in there]
    found.logs = sorted([*renamed, *rest], key=lambda one: one.mark.number)
    found.cursor = to_cursor([one.mark for one in found.logs], found.following)
    return found


def _known(
    marks: list[Mark], listed: Mapping[tuple[str, str], SourceFile]
) -> tuple[dict[Path, Mark], list[Log], list[Mark]]:
    """The logs that were read before: where they were, under another name, and not there any more."""
    there: dict[Path, Mark] = {}
    renamed: list[Log] = []
    lost: list[Mark] = []
    folders = _Folders()
    for mark in marks:
        file = listed.get((mark.device, mark.inode))
        found = file or folders.beside(mark)
        if found is None or not is_text(str(found.path)) or not _holds(found, mark):
            lost.append(mark)
        elif file is not None and str(file.path) == mark.path:
            there[file.path] = mark
        else:
            renamed.append(Log(file=found, mark=_in(found, mark)))
    return there, renamed, lost


def _in(file: SourceFile, mark: Mark) -> Mark:
    device, inode = _numbers(file)
    return replace(mark, path=str(file.path), device=str(device), inode=str(inode))


def _listed(files: Files, clock: Clock, found: Survey) -> dict[tuple[str, str], SourceFile]:
    """By device and inode: a link beside its file does not make two logs. A log never settles."""
    listed: dict[tuple[str, str], SourceFile] = {}
    for file in list_files(replace(files, settle=timedelta(0)), clock).files:
        if not is_text(str(file.path)):
            # such a name is no text in any table, log or header
            found.problems.append(f"{str(file.path)!a}: its name holds characters that are no text")
        elif file.path.name.endswith(PACKED):
            hint = "let `path` name the unpacked ones only"
            found.problems.append(f"{file.path.name}: a packed file cannot be read as it grows ({hint})")
        else:
            listed.setdefault((str(file.stamp.device), str(file.stamp.inode)), file)
    for path in files.paths:
        if not set(path) & set("*?[") and os.path.lexists(path) and stamp_of(Path(path)) is None:
            found.problems.append(f"{Path(path).name}: is not a regular file")
    return listed


@dataclass(kw_only=True, slots=True)
class _Folders:
    """Where the logs lie; each folder is looked at once in a survey."""

    names: dict[Path, dict[str, str]] = field(default_factory=dict)

    def beside(self, mark: Mark) -> SourceFile | None:
        """A log that was renamed in its folder to what no pattern names."""
        folder = Path(mark.path).parent
        if folder not in self.names:
            self.names[folder] = _inodes(folder)
        name = self.names[folder].get(mark.inode)
        stamp = stamp_of(folder / name) if name is not None else None
        if stamp is None or (str(stamp.device), str(stamp.inode)) != (mark.device, mark.inode):
            return None
        return SourceFile(path=Path(stamp.path), stamp=stamp)


def _inodes(folder: Path) -> dict[str, str]:
    try:
        with os.scandir(folder) as entries:
            return {str(entry.inode()): entry.name for entry in entries if not entry.is_symlink()}
    except OSError:
        return {}


def _holds(file: SourceFile, mark: Mark) -> bool:
    try:
        with opened_log(file) as descriptor:
            return mark.is_in(descriptor)
    except (SourceError, OSError):
        return True  # it cannot be read now: the reading will say so


def _may_be_copy(file: SourceFile, mark: Mark) -> bool:
    path = Path(mark.path)
    return file.path != path and file.path.parent == path.parent and bool(mark.offset)


def _is_copy(file: SourceFile, mark: Mark) -> bool:
    """Whether a new file has the text of a log that was read and is cut off since (`copytruncate`)."""
    return _may_be_copy(file, mark) and _holds_surely(file, mark)


def _holds_surely(file: SourceFile, mark: Mark) -> bool:
    try:
        with opened_log(file) as descriptor:
            return mark.is_in(descriptor)
    except (SourceError, OSError):
        return False


def _is_copied_now(file: SourceFile, mark: Mark) -> bool:
    """Whether a new file is the beginning of a log that is there still: soon that one will be cut off.

    Little text could be the same by chance.
    """
    if not _may_be_copy(file, mark) or file.stamp.size < LOOKED_AT:
        return False
    path = Path(mark.path)
    stamp = stamp_of(path)
    if stamp is None or (str(stamp.device), str(stamp.inode)) != (mark.device, mark.inode):
        return False
    if stamp.size < mark.offset:  # just now
        return True
    try:
        with opened_log(file) as copy, opened_log(SourceFile(path=path, stamp=stamp)) as original:
            size = os.fstat(copy).st_size
            return size <= os.fstat(original).st_size and prints(copy, size) == prints(original, size)
    except (SourceError, OSError):
        return False


def _told(mark: Mark, *, there: bool) -> None:
    unread = max(mark.size - mark.offset, 0)
    if there:
        log.warning(
            "a log begins anew: it is read from its start",
            file=mark.path,
            read_up_to=mark.offset,
            hint="what was added behind that place and taken away before it was read is lost",
        )
    elif unread:
        log.warning("a log is gone before its end was read", file=mark.path, bytes_not_read=unread)
    else:
        log.info("a log is gone", file=mark.path, read_up_to=mark.offset)


def _numbers(file: SourceFile) -> tuple[int, int]:
    return file.stamp.device, file.stamp.inode


class MovedError(SourceError):
    """A log was renamed, replaced or cut off since it was looked at: the next run sees to it."""


@contextmanager
def opened_log(file: SourceFile) -> Iterator[int]:
    """Open a log and hold it; it may grow meanwhile. Raises SourceError; MovedError for another file."""
    name = file.path.name
    try:
        descriptor = links.open_file(file.path)
    except FileNotFoundError as error:
        raise MovedError(f"{name}: is gone since it was listed") from error
    except OSError as error:
        raise SourceError(f"{name}: cannot be opened: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{name}: is not a regular file")
        if (status.st_dev, status.st_ino) != _numbers(file):
            raise MovedError(f"{name}: is another file than was listed")
        yield descriptor
    finally:
        os.close(descriptor)
