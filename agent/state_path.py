"""The state folder that agent.yaml names, without all that reading a config takes: commands start fast.

Only what cannot mean anything else is read here: one line `state: /path` of plain characters, or none at all,
in a file and folders that only root and we can change. Everything else is for `config.load_settings`, which
takes 0.25 s. What is wrong elsewhere in the file does not matter for where the state lies.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

DEFAULT_STATE = Path("/var/lib/push-agent")

_MOST_BYTES = 65_536
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LINE = re.compile(rb"^state:[ ]+(/[A-Za-z0-9._/-]+)[ ]*(?:[ ]#[^\n]*)?\r?$", re.MULTILINE)
_GOES_ON = re.compile(rb"(?:\s*\n)?[ \t]+\S")
"""What follows a line whose text goes on in the next one."""


def state_path(folder: Path) -> Path | None:
    """None: only reading the whole file tells."""
    root = folder.absolute()
    try:
        if (root / "agent.yml").exists():
            return None
        raw = _read(root / "agent.yaml")
    except FileNotFoundError:
        return DEFAULT_STATE
    except OSError:
        return None
    return None if raw is None else _named(raw)


def _read(path: Path) -> bytes | None:
    """None: it may not be trusted."""
    handle = os.open(path, _OPEN)
    with os.fdopen(handle, "rb") as file:
        info = os.fstat(handle)
        own, *above = (place.stat() for place in path.resolve().parents)
        ours = [_is_ours(info), _is_ours(own), *(_is_ours(place, sticky=True) for place in above)]
        if not (stat.S_ISREG(info.st_mode) and all(ours)):
            return None
        return file.read(_MOST_BYTES)


def _is_ours(info: os.stat_result, *, sticky: bool = False) -> bool:
    """Whether only root and we can change it, or with `sticky`, in a folder like /tmp, what is ours."""
    others = info.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not (sticky and info.st_mode & stat.S_ISVTX)
    return not others and info.st_uid in {0, os.geteuid()}


def _named(raw: bytes) -> Path | None:
    if not raw.isascii() or len(raw) == _MOST_BYTES or {0, ord("\\")} & set(raw):
        return None
    line = _LINE.search(raw)
    if line is None:
        return None if b"state" in raw else DEFAULT_STATE
    elsewhere = raw[: line.start()] + raw[line.end() :]
    if b"state" in elsewhere or _GOES_ON.match(raw, line.end() + 1):
        return None
    return Path(line[1].decode())
