"""Lives of the daemon, as the harness holds them: born by `tests/faults/child.py`, or started as a service does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Self

from tests.faults.points import Point
from tests.support.processes import unmeasured
from tests.support.world import ROOT


class Life:
    """One process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.Event()
        self._handle: int | None = None
        with contextlib.suppress(ProcessLookupError):
            self._handle = os.pidfd_open(pid)  # its number may be another's once it has ended

    def send_signal(self, number: signal.Signals) -> None:
        """To this very process; nothing when it has ended."""
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def has_ended(self, code: int) -> None:
        self.returncode = code
        self._ended.set()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class Nursery:
    """Use with `async with`: at its end whatever lives is killed."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._lives: dict[int, Life] = {}
        self._born: asyncio.Queue[Life] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._process: asyncio.subprocess.Process

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.child"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env=unmeasured(),
        )
        self._tasks.add(asyncio.create_task(self._listen()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for life in list(self._lives.values()):
            life.send_signal(signal.SIGKILL)
            await life.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await asyncio.gather(*self._tasks)

    async def bear(self, arguments: list[str], point: Point | None, passes: int) -> Life:
        """A life out of the nursery; it dies at this point, if there is one."""
        order = {
            "log": str(self._log),
            "point": point.name if point else "",
            "passes": passes,
            "arguments": arguments,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        await self._process.stdin.drain()
        return await self._born.get()

    async def start(self, arguments: list[str]) -> Life:
        """A life as a service begins it, with all that an interpreter does first."""
        with self._log.open("a") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "agent", *arguments),
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=unmeasured(),
            )
        life = self._lives[process.pid] = Life(process.pid)
        task = asyncio.create_task(self._follow(process, life))
        self._tasks.add(task)
        return life

    async def _follow(self, process: asyncio.subprocess.Process, life: Life) -> None:
        self._ended(life, await process.wait())

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            if "born" in said:
                life = self._lives[said["born"]] = Life(said["born"])
                self._born.put_nowait(life)
            else:
                self._ended(self._lives[said["ended"]], said["code"])

    def _ended(self, life: Life, code: int) -> None:
        del self._lives[life.pid]
        life.has_ended(code)
