"""A copy that is whole and durable, or not there; and a note that is whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from agent.message import JsonValue
from agent.naming import part_of
from agent.sources import links
from agent.stamp import FileStamp

_PIECE = 1 << 20
_LONGEST_NOTE = 16_000_000
"""Bytes; ours are some thousand."""
_OURS = frozenset({"file", "job", "time", "reason", "answers"})


def copied(source: Path, part: Path, stamp: FileStamp, sha256: str) -> bool:
    """Whether `part` holds, durably, what the file of this stamp holds; False: it is another file now.

    `sha256`: of what it must be, "" when nobody knows. Raises OSError.
    """
    digest, length = hashlib.sha256(), 0
    with os.fdopen(links.open_file(source), "rb") as old, fresh(part) as new:
        found = os.fstat(old.fileno())
        lies = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        if lies != (stamp.device, stamp.inode, stamp.size, stamp.mtime_ns):
            return False
        while piece := old.read(_PIECE):
            new.write(piece)
            digest.update(piece)
            length += len(piece)
        new.flush()
        os.fchmod(new.fileno(), stat.S_IMODE(found.st_mode))
        os.utime(new.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))
        os.fsync(new.fileno())
        written = os.fstat(new.fileno()).st_size
    return length == written == stamp.size and sha256 in {"", digest.hexdigest()}


def same_content(one: Path, other: Path) -> bool:
    """Whether two files hold the same bytes. Raises OSError."""
    with one.open("rb") as first, other.open("rb") as second:
        return hashlib.file_digest(first, "sha256").digest() == hashlib.file_digest(second, "sha256").digest()


def write_note(path: Path, value: Mapping[str, JsonValue]) -> None:
    """Whole, durable, or not at all."""
    part = part_of(path)
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with fresh(part) as out:
        # A lone surrogate (a file name that is no UTF-8) becomes the escape that JSON has for it.
        out.write(text.encode("utf-8", "backslashreplace"))
        out.flush()
        os.fsync(out.fileno())
    part.rename(path)


def written_by_us(path: Path) -> bool:
    """Whether it is such a note: of an earlier failure, or of a move that a kill cut short."""
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LONGEST_NOTE:
            return False
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(value, dict) and value.keys() >= _OURS


def fresh(path: Path) -> BinaryIO:
    """A new file to write to: what lay there goes, and a link there leads nowhere."""
    path.unlink(missing_ok=True)
    return path.open("xb")


def sync_folder(folder: Path) -> None:
    """Make renames in it durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
