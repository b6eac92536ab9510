"""Running a program of the config: no shell, no file of ours but 0, 1 and 2, only the variables it is given.

It is run by a `warden` of its own, so that nothing of it stays behind: no child that holds a pipe, no child
in another session, and nothing at all once the agent is gone. Blocks: for worker threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast

from agent.cores import anywhere

T = TypeVar("T")

_WARDEN = Path(__file__).with_name("warden.py")
_PIECE = 65_536
_POLL = 0.1
"""Seconds between two looks whether to go on."""
_LAST_WORDS = 10.0
"""Seconds in which the warden answers once all is killed; it gives up before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """What to run, and its bounds."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str = "/"
    timeout: float
    """Seconds."""
    max_bytes: int
    """Of its stdout."""
    keep_errors: int = 65_536
    """Bytes of stderr that are kept: the first half of them and the last. The rest is read and dropped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a program ended."""

    how: Literal["exit", "not started", "timeout", "too much", "cancelled", "lost"]
    """`lost`: something killed it from outside, with its warden."""
    code: int = 0
    """Of the exit; negative: the signal that ended it."""
    why: str = ""
    """Why it was not started."""
    errors: bytes = b""
    """Of its stderr."""


def run_program(program: Program, take: Callable[[bytes], None], cancelled: Callable[[], bool]) -> Ended:
    """Run it to its end; `take` is given its stdout piece by piece. What `take` raises ends it too."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            try:
                process = _warden(theirs)
            except OSError as error:  # no memory, no process, no Python any more
                return Ended(how="not started", why=(error.strerror or str(error)).lower())
        try:
            return _Attendance(program, ours, take).attend(process, cancelled)
        finally:
            ours.close()  # whatever is left is killed
            _reap(process)


async def in_own_thread(work: Callable[[Callable[[], bool]], T]) -> T:
    """Do it beside the event loop, in a thread that no other work has to wait for.

    `work` is given what says that it is to end: cancelled, this waits until it did.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    ending = threading.Event()

    def say(result: T | None, error: BaseException | None) -> None:
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast("T", result))

    def live() -> None:
        anywhere()
        result, error = None, None
        try:
            result = work(ending.is_set)
        except BaseException as caught:  # noqa: BLE001 - it is raised where it is waited for
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(say, result, error)

    threading.Thread(target=live, name="program", daemon=True).start()
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        ending.set()
        await asyncio.wait({done})
        if not done.cancelled():
            done.exception()  # nobody will ask for it
        raise


def _warden(link: socket.socket) -> subprocess.Popen[bytes]:
    # isolated and without site: it needs nothing of ours, and is there in a few hundredths of a second
    return subprocess.Popen(  # noqa: S603 - our own file
        [sys.executable, "-I", "-S", "-B", str(_WARDEN), str(link.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        env={},
        pass_fds=(link.fileno(),),
        start_new_session=True,
    )


def _reap(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(_LAST_WORDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Attendance:
    """Hears a program out: what it prints, how it ends, and when it is enough."""

    def __init__(self, program: Program, link: socket.socket, take: Callable[[bytes], None]) -> None:
        self._program = program
        self._link = link
        self._take = take
        self._size = 0
        self._errors = _Kept(program.keep_errors)
        self._answer = b""
        self._stopped: Literal["", "timeout", "too much", "cancelled"] = ""
        self._until = math.inf

    def attend(self, process: subprocess.Popen[bytes], cancelled: Callable[[], bool]) -> Ended:
        deadline = time.monotonic() + self._program.timeout
        assert process.stdout is not None
        assert process.stderr is not None
        with selectors.DefaultSelector() as selector, contextlib.suppress(BrokenPipeError):
            selector.register(process.stdout, selectors.EVENT_READ, self._output)
            selector.register(process.stderr, selectors.EVENT_READ, self._errors.take)
            selector.register(self._link, selectors.EVENT_READ, self._heard)
            self._link.sendall(self._order())
            while selector.get_map() and time.monotonic() < self._until:
                if not self._stopped and time.monotonic() >= deadline:
                    self._stop("timeout")
                elif not self._stopped and cancelled():
                    self._stop("cancelled")
                for key, _ in selector.select(_POLL):
                    piece = os.read(key.fd, _PIECE)
                    if piece:
                        key.data(piece)
                        continue
                    selector.unregister(key.fileobj)
                    if key.fileobj is self._link:  # all is killed: who holds a pipe still never lets go
                        self._until = time.monotonic() + _LAST_WORDS
        return self._ended()

    def _order(self) -> bytes:
        order = {
            "command": self._program.command,
            "environment": dict(self._program.environment),
            "folder": self._program.folder,
        }
        return json.dumps(order).encode() + b"\n"

    def _output(self, piece: bytes) -> None:
        if self._stopped:
            return
        self._size += len(piece)
        if self._size > self._program.max_bytes:
            self._stop("too much")
        else:
            self._take(piece)

    def _heard(self, piece: bytes) -> None:
        self._answer += piece

    def _stop(self, why: Literal["timeout", "too much", "cancelled"]) -> None:
        self._stopped = why
        self._until = time.monotonic() + _LAST_WORDS
        with contextlib.suppress(OSError):
            self._link.shutdown(socket.SHUT_WR)

    def _ended(self) -> Ended:
        errors = self._errors.all
        if self._stopped:
            return Ended(how=self._stopped, errors=errors)
        answer = json.loads(self._answer) if self._answer else {}
        if "error" in answer:
            return Ended(how="not started", why=str(answer["error"]).lower())
        if "code" in answer:
            return Ended(how="exit", code=int(answer["code"]), errors=errors)
        return Ended(how="lost", errors=errors)


class _Kept:
    """The first and the last part of what may never end."""

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self._first = b""
        self._last = b""

    def take(self, piece: bytes) -> None:
        """One more piece."""
        room = self._half - len(self._first)
        self._first += piece[:room] if room > 0 else b""
        self._last = (self._last + piece[max(room, 0) :])[-self._half :]

    @property
    def all(self) -> bytes:
        """What is kept."""
        return self._first + self._last
