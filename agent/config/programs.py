"""Programs that the config names: whether only root and we can change what would be run."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Distrust(NamedTuple):
    """Why a program is not run."""

    message: str
    hint: str


def distrust(program: str) -> Distrust | None:
    """Why it must not or cannot be run; None when it may. Blocking."""
    try:
        real = Path(program).resolve(strict=True)
        info = real.stat()
    except (OSError, RuntimeError):
        return Distrust(f"there is no program {program}", "write the whole path of a program that is there")
    if not stat.S_ISREG(info.st_mode):
        return Distrust(f"{program} is not a regular file", "write the whole path of a program")
    if (changed := _changeable(real, info, sticky=False)) is not None:
        return changed
    for folder in real.parents:
        if (changed := _changeable(folder, folder.stat(), sticky=folder != real.parent)) is not None:
            return changed
    if not os.access(real, os.X_OK):
        return Distrust(f"{program} may not be run by this user", f"run: chmod +x {program}")
    return None


def _changeable(place: Path, info: os.stat_result, *, sticky: bool) -> Distrust | None:
    """`sticky`: in a folder with that bit nobody can replace what belongs to others (/tmp)."""
    if info.st_mode & _OTHERS_WRITE and not (sticky and info.st_mode & stat.S_ISVTX):
        return Distrust(
            f"others may write to {place}, so the command cannot be trusted", f"run: chmod go-w {place}"
        )
    if info.st_uid not in {0, os.geteuid()}:
        return Distrust(
            f"{place} belongs to somebody else, so the command cannot be trusted", f"run: chown root {place}"
        )
    return None
