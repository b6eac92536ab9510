"""Which files the config is made of, and their bytes: nothing that others may write, nothing odd."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from agent.errors import Problem

Kind: TypeAlias = Literal["agent", "connection", "job"]

MAX_BYTES = 1_048_576
FOLDERS: dict[str, Kind] = {"connections": "connection", "jobs": "job"}
_ENDINGS = (".yaml", ".yml")
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A file of the config."""

    relative: str
    """`jobs/gps.yaml`: its key everywhere."""
    kind: Kind
    folder: Path
    """The config folder."""
    trusted: bool
    """False when its folder is not: the file is not read, and its last good version stays."""

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.folder / self.relative

    @property
    def shown(self) -> str:
        """As the user would write it; printable, whatever the name holds."""
        return shown(self.path)


class Text(NamedTuple):
    """What was read of a file."""

    raw: bytes
    sha256: str
    mark: str
    """See `mark_of`; empty for a link, of which more than its text has to be looked at each time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """All files of a config folder."""

    found: tuple[Found, ...]
    problems: tuple[Problem, ...]
    lost: tuple[str, ...] = ()
    """Beginnings of paths that could not be listed: what was there before may be there again soon."""


class Unreadable(Exception):
    """A file that is not read, with the reason."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def find(folder: Path, known: Iterable[str] = ()) -> Listing:
    """The files of a config folder, by name. `known`: paths that were there before."""
    problems: list[Problem] = []
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names, not paths
    except OSError as error:
        return Listing(found=(), problems=(_no_folder(folder, error),), lost=("",))
    trusted = _trust(folder, problems, upwards=True)
    found = list(_settings(folder, names, problems, trusted=trusted))
    lost = []
    for name, kind in FOLDERS.items():
        if name in names:
            listed = _list(folder, name, kind, problems, trusted=trusted)
            found += listed or ()
            lost += [f"{name}/"] if listed is None else []
        elif any(path.startswith(f"{name}/") for path in known):
            hint = "put it back; what ran before goes on until then"
            problems.append(Problem(file=shown(folder / name), message="the folder is gone", hint=hint))
            lost.append(f"{name}/")
    return Listing(found=tuple(found), problems=tuple(problems), lost=tuple(lost))


def _no_folder(folder: Path, error: OSError) -> Problem:
    if isinstance(error, FileNotFoundError):
        hint = f"start from the files in examples/: mkdir -p {folder}/jobs; or name another one with --config"
        return Problem(file=shown(folder), message="there is no such folder", hint=hint)
    if isinstance(error, NotADirectoryError):
        return Problem(
            file=shown(folder), message="is not a folder", hint="--config takes the folder, not a file"
        )
    return Problem(file=shown(folder), message=f"the folder cannot be read: {_why(error)}")


def _settings(folder: Path, names: list[str], problems: list[Problem], *, trusted: bool) -> Iterator[Found]:
    mine = [name for name in ("agent.yaml", "agent.yml") if name in names]
    if len(mine) > 1:
        hint = "delete agent.yml"
        problems.append(
            Problem(file=shown(folder / "agent.yml"), message="agent.yaml is there as well", hint=hint)
        )
    if mine:
        yield _found(folder, mine[0], "agent", trusted=trusted)
    problems.extend(
        Problem(
            file=shown(folder / name),
            message="is not read: it lies in the config folder itself",
            hint="move it to jobs/ or connections/",
            severity="warning",
        )
        for name in names
        if is_config(name) and name not in {"agent.yaml", "agent.yml"}
    )


def _list(root: Path, name: str, kind: Kind, problems: list[Problem], *, trusted: bool) -> list[Found] | None:
    """The files of jobs/ or connections/; None when they cannot be known now."""
    folder = root / name
    try:
        if not folder.resolve(strict=True).is_relative_to(root.resolve()):
            hint = "move it there"
            message = "is a link to a folder outside of the config folder"
            problems.append(Problem(file=shown(folder), message=message, hint=hint))
            return None
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names, not paths
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        problems.append(Problem(file=shown(folder), message=f"the folder cannot be read: {_why(error)}"))
        return None
    trusted = _trust(folder, problems, upwards=False) and trusted
    return [_found(root, f"{name}/{file}", kind, trusted=trusted) for file in names if is_config(file)]


def _found(root: Path, relative: str, kind: Kind, *, trusted: bool) -> Found:
    return Found(relative=relative, kind=kind, folder=root, trusted=trusted)


def is_config(name: str) -> bool:
    """Whether a file's name is one of the config's: editors' helpers and backups are not."""
    return name.endswith(_ENDINGS) and not name.startswith(".")


def _trust(folder: Path, problems: list[Problem], *, upwards: bool) -> bool:
    """Whether only root and we can change what lies in a folder; every folder above counts too."""
    real = folder.resolve()
    for place in [real, *(real.parents if upwards else ())]:
        info = place.stat()
        name = folder if place == real else place
        sticky_above = place != real and info.st_mode & stat.S_ISVTX
        if info.st_mode & _OTHERS_WRITE and not sticky_above:
            hint = f"run: chmod go-w {shown(name)}"
            message = "others may write to this folder, so nothing in it can be trusted"
            problems.append(Problem(file=shown(name), message=message, hint=hint))
            return False
        if info.st_uid not in {0, os.geteuid()}:  # who owns a folder may rename what is in it
            hint = f"run: chown root {shown(name)}"
            message = "the folder belongs to somebody else, so nothing in it can be trusted"
            problems.append(Problem(file=shown(name), message=message, hint=hint))
            return False
    return True


def mark_of(sha256: str, info: os.stat_result) -> str:
    """All that counts of a file: its content, and who may change it, which decides whether it is trusted."""
    return f"{sha256} {info.st_uid} {info.st_mode & 0o7777:o}"


def read(found: Found, root: Path) -> Text:
    """A file as it lies there. Raises Unreadable."""
    try:
        handle, is_link = _opened(found.path, root)
    except (OSError, RuntimeError, ValueError) as error:
        raise Unreadable(f"the file cannot be read: {_why(error)}") from None
    try:
        info = os.fstat(handle)
        _inspect(info, found)
        raw = _bytes(handle, info.st_size)
    except OSError as error:
        raise Unreadable(f"the file cannot be read: {_why(error)}") from None
    finally:
        os.close(handle)
    if len(raw) > MAX_BYTES:  # it grew after it was looked at
        raise Unreadable("the file is larger than 1 MiB")
    sha256 = hashlib.sha256(raw).hexdigest()
    return Text(raw, sha256, "" if is_link else mark_of(sha256, info))


def _opened(path: Path, root: Path) -> tuple[int, bool]:
    """A descriptor, and whether a link led there."""
    try:
        return os.open(path, _OPEN), False
    except OSError as error:
        if error.errno != errno.ELOOP:  # what O_NOFOLLOW says of a link
            raise
    return os.open(_target(path, root), _OPEN), True


def _bytes(handle: int, size: int) -> bytes:
    """All of it, and one byte more than is allowed at most."""
    parts: list[bytes] = []
    left = MAX_BYTES + 1
    while left > 0 and (part := os.read(handle, min(size + 1, left))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _target(path: Path, root: Path) -> Path:
    """The file itself, or what a link leads to: a link may not leave the config folder."""
    if not path.is_symlink():
        return path
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise Unreadable("is a link that leads nowhere", "delete it, or repair it") from None
    if not target.is_relative_to(root.resolve()):
        hint = "copy the file, or link to one inside of the config folder"
        raise Unreadable("is a link to a file outside of the config folder", hint)
    if target.parent.stat().st_mode & _OTHERS_WRITE:
        raise Unreadable(
            "is a link into a folder that others may write to", f"run: chmod go-w {shown(target.parent)}"
        )
    return target


def _inspect(info: os.stat_result, found: Found) -> None:
    if stat.S_ISDIR(info.st_mode):
        raise Unreadable("is a folder, not a file", "rename it; job files lie in jobs/ itself")
    if not stat.S_ISREG(info.st_mode):
        raise Unreadable("is not a regular file")
    if info.st_mode & _OTHERS_WRITE:
        raise Unreadable(
            "others may write to this file, so it cannot be trusted", f"run: chmod go-w {found.shown}"
        )
    if info.st_uid not in {0, os.geteuid()}:
        raise Unreadable(
            "the file belongs to somebody else, so it cannot be trusted", f"run: chown root {found.shown}"
        )
    if info.st_size > MAX_BYTES:
        raise Unreadable("the file is larger than 1 MiB", "a job file holds a few lines; did data get here?")


def shown(path: Path) -> str:
    """A path that can be printed, whatever bytes its name is made of."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _why(error: Exception) -> str:
    return (error.strerror or "").lower() if isinstance(error, OSError) else "its path is wrong"
