"""Names for files that are moved: one that is free, one beside it, one that nobody looks at. Pure."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

_LONGEST = 255  # bytes of a file's name: NAME_MAX of every file system that Linux is run on


def names(name: str) -> Iterator[str]:
    """NAME, NAME.1, NAME.2, … without an end."""
    yield name
    number = 0
    while True:
        number += 1
        yield _fitting(name, f".{number}")


def beside(path: Path, ending: str) -> Path:
    """The path with this ending; short enough that it can be written under a name of its own first."""
    return path.with_name(_fitting(path.name, ending, room=len("..part")))


def part_of(path: Path) -> Path:
    """Where it is written until it is whole."""
    return path.with_name(_fitting(f".{path.name}", ".part"))


def on_the_way(path: Path) -> Path:
    """Where a file lies while it is copied to another file system."""
    return path.with_name(_fitting(f".{path.name}", ".moving"))


def _fitting(name: str, ending: str, *, room: int = 0) -> str:
    """`name + ending`; of a name that would get too long the start, and a hash that tells it from others."""
    raw = os.fsencode(name)
    most = _LONGEST - room - len(ending)
    if len(raw) <= most:
        return name + ending
    digest = "~" + hashlib.sha256(raw).hexdigest()[:8]
    return raw[: most - len(digest)].decode(errors="ignore") + digest + ending
