"""The files of the vault's key, and how one key follows another.

    key       the key: private, made at the first start, unless systemd gives one
    key.old   the key before, for as long as something may be sealed with it
    marks     what fingerprints are keyed with, sealed; only from the first change of the key on

    key → key.old · new → key (one rename) · everything is sealed anew · key.old is removed

Whenever that is cut short, `key` or `key.old` opens whatever lies there; the next start does the rest.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from agent.errors import StateError
from agent.logs import get_log

KEY, OLD, MARKS = "key", "key.old", "marks"
CREDENTIAL, CREDENTIAL_OLD = "push-agent-key", "push-agent-key-old"
MIN_KEY = 16
"""Bytes; less is a damaged file, not a key."""
_MAX_KEY = 4096

log = get_log("vault")


def given_key(credentials: Path, name: str) -> bytes | None:
    """A key among systemd's credentials, or None. Raises StateError when it is none."""
    path = credentials / name
    if not path.exists():
        return None
    key = _read(path)
    if len(key) < MIN_KEY:
        raise StateError(f"{path} has {len(key)} bytes", hint=f"a key has at least {MIN_KEY} bytes")
    return key


def own_key(state: Path) -> bytes:
    """The key in the state folder; made when there is none: complete or not at all. Raises StateError."""
    path = state / KEY
    try:
        key = _read_private(path)
    except FileNotFoundError:
        return _make(path)
    if len(key) >= MIN_KEY:
        return key
    log.error("the key file is damaged: a new one is made, sessions sign in again", file=str(path))
    path.replace(path.with_name("key.bad"))
    return _make(path)


def old_key(state: Path) -> bytes | None:
    """The key before, while it is still needed. Raises StateError."""
    try:
        key = _read_private(state / OLD)
    except FileNotFoundError:
        return None
    if len(key) < MIN_KEY:
        log.error("the old key is damaged: what is still sealed with it is lost", file=str(state / OLD))
        drop_old_key(state)
        return None
    return key


def change_key(state: Path) -> bytes:
    """Put a new key in place and keep the one before beside it, durably. Raises StateError."""
    new = _write_new(state, KEY, key := secrets.token_bytes(32))
    try:
        os.link(state / KEY, state / OLD)
        _sync(state)  # before the rename: at no moment may the only key be the new one
        new.replace(state / KEY)
        _sync(state)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise StateError(f"the key in {state} could not be changed: {error.strerror}") from error
    return key


def drop_old_key(state: Path) -> None:
    """Nothing is sealed with it any more. Raises StateError."""
    try:
        (state / OLD).unlink(missing_ok=True)
        _sync(state)
    except OSError as error:
        raise StateError(f"the old key in {state} could not be removed: {error.strerror}") from error


def read_marks(state: Path) -> bytes | None:
    """What `write_marks` wrote, or None. Raises StateError."""
    try:
        return _read_private(state / MARKS)
    except FileNotFoundError:
        return None


def write_marks(state: Path, sealed: bytes) -> None:
    """Durable, whole or not at all. Raises StateError."""
    new = _write_new(state, MARKS, sealed)
    try:
        new.replace(state / MARKS)
        _sync(state)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise StateError(f"{state / MARKS} could not be written: {error.strerror}") from error


def set_marks_aside(state: Path) -> None:
    """They belong to a key that is not here."""
    with contextlib.suppress(OSError):
        (state / MARKS).replace(state / f"{MARKS}.bad")


def _read_private(path: Path) -> bytes:
    """The content, after the file was made private where it was not. Raises FileNotFoundError, StateError."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise StateError(f"{path} is not a regular file")
    if status.st_uid != os.geteuid():
        raise StateError(f"{path} belongs to user {status.st_uid}", hint=f"chown it to user {os.geteuid()}")
    if status.st_mode & 0o077:
        hint = "if they did: push-agent auth rekey, and a new password"
        log.warning("the key file could be read by others: repaired", file=str(path), hint=hint)
        path.chmod(0o600)
    return _read(path)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_KEY)
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}") from error


def _make(path: Path) -> bytes:
    """Write, sync, then link into place: whoever comes second takes the key of the first."""
    new = _write_new(path.parent, path.name, secrets.token_bytes(32))
    try:
        with contextlib.suppress(FileExistsError):
            os.link(new, path)
        new.unlink()
        _sync(path.parent)
    except OSError as error:
        raise StateError(f"no key could be made in {path.parent}: {error.strerror}") from error
    return _read(path)


def _write_new(state: Path, name: str, content: bytes) -> Path:
    """A file beside the one that it is to become: private, and on the disk."""
    new = state / f"{name}.{os.getpid()}.{secrets.token_hex(4)}.new"
    try:
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, content)
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise StateError(f"no {name} could be made in {state}: {error.strerror}") from error
    return new


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
