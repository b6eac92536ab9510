"""Started as a process of its own: runs one program, and leaves nothing of it behind.

    agent ─┬─ socket ──▶ warden ──fork, exec──▶ program ──▶ children, also those that leave its session
           └─ closed ──▶ all of them are killed: at its end, at its time limit, when the agent dies

A child that leaves the program's session cannot leave the warden: whoever loses its parent becomes a child
of it (PR_SET_CHILD_SUBREAPER). This file is run by its path, so it imports nothing of the agent.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
# Seconds in which killed processes must be gone; one that waits for a broken disk may never be.
_PATIENCE = 5.0
_LONGEST = 8_000_000  # bytes of the order: argv and environment have limits of their own far below


def main() -> None:
    """Take the order from the socket that the first argument names, run it, answer how it ended."""
    link = socket.socket(fileno=int(sys.argv[1]))
    link.set_inheritable(False)
    order = _heard(link)
    if order is None:
        return
    prctl = _prctl()
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    # Whatever ends the warden is sent to the program, not to it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    child, failed = _started(order, prctl)
    os.close(1)  # only the program and what it started hold them now
    os.close(2)
    answer: dict[str, Any] = {"error": failed} if failed else {}
    if not failed:
        ended = _wait(child, link)
        answer = _outcome(child) if ended else {"killed": True}
    _kill_all()
    with contextlib.suppress(OSError):
        link.sendall(json.dumps(answer).encode())
    link.close()


def _heard(link: socket.socket) -> dict[str, Any] | None:
    """One line of JSON; None when the agent is gone before it said anything."""
    text = b""
    while not text.endswith(b"\n") and len(text) < _LONGEST:
        piece = link.recv(65_536)
        if not piece:
            return None
        text += piece
    order: dict[str, Any] = json.loads(text)
    return order


def _prctl() -> Any:  # noqa: ANN401 - a function of the C library
    try:
        return ctypes.CDLL(None).prctl
    except (OSError, AttributeError):  # a system without it: its children are killed by their session only
        return lambda *_: -1


def _started(order: dict[str, Any], prctl: Any) -> tuple[int, str]:  # noqa: ANN401
    """The program's process id, and why it could not be started."""
    reading, writing = os.pipe()  # closed by a good exec
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(127)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            os.chdir(order["folder"])
            os.execve(order["command"][0], order["command"], order["environment"])  # noqa: S606 - no shell
        except BaseException as error:  # noqa: BLE001 - said by the parent
            code = error.errno if isinstance(error, OSError) and error.errno else errno.EINVAL
            os.write(writing, str(code).encode())
        os._exit(127)
    os.close(writing)
    said = os.read(reading, 64)
    os.close(reading)
    return child, os.strerror(int(said)) if said else ""


def _wait(child: int, link: socket.socket) -> bool:
    """Whether the program ended by itself, before the agent hung up."""
    handle = os.pidfd_open(child)
    ready, _, _ = select.select([handle, link.fileno()], [], [])
    os.close(handle)
    return handle in ready


def _outcome(child: int) -> dict[str, Any]:
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {"code": code}  # negative: the signal that ended it


def _kill_all() -> None:
    """Every descendant; a killed one's children become ours, until there are none."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        for child in _children():
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def _children() -> list[int]:
    """All that is ours, by their parent. Below a killed one they come in the next round."""
    me = os.getpid()
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - names only
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                    stat = file.read()
                if int(stat.rpartition(b")")[2].split()[1]) == me:
                    found.append(int(name))
    return found


if __name__ == "__main__":
    main()
    sys.stdout = sys.stderr = None  # their files are closed
    os._exit(0)
