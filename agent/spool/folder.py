"""The state folder: made for its owner alone, locked by one process, tied to one machine."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import time
from pathlib import Path

from agent.errors import SpoolFull, StateError, StateLocked

DATABASE = "state.db"
LOCK = "lock"
MACHINE = "machine"
_MACHINE_ID = Path("/etc/machine-id")
_TRIES, _PAUSE = 10, 0.02  # a reader holds the lock for some microseconds, to see whether it is free


class StateLock:
    """flock on `lock`, with the pid in it. Held until `release` or the end of the process."""

    def __init__(self, folder: Path, owner: str) -> None:
        self.folder = folder
        self._path = folder / LOCK
        self._owner = owner
        self._fd: int | None = None

    def take(self) -> None:
        """Raises StateLocked when another process has it."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._flock(fd)
            with contextlib.suppress(OSError):  # a full disk: it is ours all the same
                words = f"{os.getpid()} {self._owner}\n".encode()
                os.ftruncate(fd, os.pwrite(fd, words, 0))
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def _flock(self, fd: int) -> None:
        for left in reversed(range(_TRIES)):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if left:
                    time.sleep(_PAUSE)
                    continue
                words = os.pread(fd, 200, 0).decode("utf-8", "replace").split()
                pid, owner = words[:2] if len(words) > 1 else ("unknown", "process")
                raise StateLocked(
                    f"{self._path.parent} is in use by the {owner} with pid {pid}",
                    hint="only one process may own a state folder; stop that one first",
                ) from None
            return

    def release(self) -> None:
        """Give it back. Twice is fine."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def is_locked(folder: Path) -> bool:
    """Whether a process owns the folder now. Writes nothing."""
    try:
        fd = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def prepare(folder: Path) -> None:
    """Make the folder (0700) and see that it can be written. Raises StateError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / ".writable"
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        probe.unlink()
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return  # a full disk must not keep deliveries from starting: they make room
        raise unusable(folder, error) from None


def unusable(folder: Path, error: OSError) -> StateError:
    """The one clear line for a folder that cannot be written."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return full(folder)
    reason = (error.strerror or str(error)).lower()
    return StateError(
        f"the state folder {folder} cannot be written: {reason}",
        hint="it must be a folder of the user that runs push-agent, on a file system that is not read-only",
    )


def full(folder: Path) -> SpoolFull:
    """The same where only room is missing: that passes, and a later start succeeds."""
    return SpoolFull(
        f"the disk of the state folder {folder} is full", hint="free space on it; push-agent starts then"
    )


def check_machine(folder: Path, machine_id: Path = _MACHINE_ID) -> None:
    """Refuse a folder that was copied from another host: both would send the same messages.

    Only a hash of the machine's id is kept, as machine-id(5) asks. Raises StateError.
    """
    try:
        here = machine_id.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return
    if not here or here == "uninitialized":
        return
    mark = hashlib.sha256(f"push-agent {here}".encode()).hexdigest()[:32]
    path = folder / MACHINE
    try:
        known = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        known = ""
    if known and known != mark:
        raise StateError(
            f"the state in {folder} belongs to another host",
            hint=f"if push-agent has stopped there for good, delete {path} and start again",
        )
    if not known:
        _write(path, mark)


def _write(path: Path, text: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, f"{text}\n".encode())
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise


def sync_folder(folder: Path) -> None:
    """Make renames durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
