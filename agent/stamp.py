"""What tells one state of a file from another without reading it. Pure: spool and sources share it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class FileStamp:
    """The identity, size and time of a file: equal stamps mean the same, unchanged file."""

    path: str
    """Absolute."""
    device: int
    """st_dev."""
    inode: int
    """st_ino: a file renamed over this path has another one."""
    size: int
    """Bytes."""
    mtime_ns: int
    """Nanoseconds since 1970, as the file system keeps them."""
