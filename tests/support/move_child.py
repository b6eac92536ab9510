"""Run as a process: for each line of its input (JSON: source, folder, step, failed) it has a child that moves
the file and dies by SIGKILL before that step; then it prints how the child ended.

A step is whatever changes a file system: mkdir, rename, unlink, open for writing, each piece that is written,
fsync. One process for all, since most of the time of one is its imports.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from pathlib import Path

from agent import copying, moving, renaming
from agent.sources.files import sha256_of, stamp_of

_CHANGES = frozenset({"os.mkdir", "os.rename", "os.remove", "os.chmod", "os.utime"})


class Killer:
    """Counts steps; the chosen one does not happen any more."""

    def __init__(self, step: int) -> None:
        self._step = step
        self._seen = 0

    def count(self) -> None:
        self._seen += 1
        if self._seen == self._step:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, words: tuple[object, ...]) -> None:
        # open(2) flags: a look changes nothing
        writes = event == "open" and isinstance(words[2], int) and words[2] & (os.O_WRONLY | os.O_RDWR)
        if event in _CHANGES or writes:
            self.count()


def move(source: Path, folder: str, step: int, *, failed: bool) -> None:
    stamp = stamp_of(source)
    assert stamp is not None
    sha256 = sha256_of(source)
    killer = Killer(step)
    real_fsync, real_rename, real_fresh = os.fsync, renaming.rename_new, copying.fresh
    copying._PIECE = 8

    def fsync(descriptor: int) -> None:
        killer.count()
        real_fsync(descriptor)

    def rename(one: Path, other: Path) -> None:
        killer.count()  # by the C library, which tells no audit hook
        real_rename(one, other)

    class Counting(io.FileIO):
        def write(self, data: object) -> int:
            killer.count()
            return super().write(data)

    def fresh(path: Path) -> io.FileIO:
        real_fresh(path).close()
        return Counting(path, "w")

    os.fsync = fsync
    moving.rename_new = rename
    copying.fresh = fresh
    sys.addaudithook(killer.audit)
    words = {**dict.fromkeys(("file", "job", "time", "reason"), "x"), "answers": []}
    moving.move_aside(source, folder, stamp, sha256=sha256, note=(lambda: words) if failed else None)


def main() -> None:
    for line in sys.stdin:
        source, folder, step, failed = json.loads(line)
        child = os.fork()
        if not child:
            move(Path(source), folder, step, failed=failed)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
