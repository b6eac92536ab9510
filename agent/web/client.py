"""The asking half of the control socket (see `control`). Only what it needs is imported: commands start fast.

One question is one connection: a request of HTTP/1.1, its answer, the end. `http.client` would cost 30 ms.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from agent.errors import ControlError
from agent.message import JsonValue

SOCKET = "control.sock"
JsonObject: TypeAlias = "dict[str, JsonValue]"

_PATIENCE = 5.0
"""Seconds that a daemon gets to say that it is there."""
_OK = 200
_AT_ONCE = 1 << 18
"""Bytes."""
_START_HINT = "start it: systemctl start push-agent (or: push-agent run)"


def call_and_wait(state: Path, command: str, arguments: JsonObject, *, timeout: float) -> JsonObject:
    """What the daemon of this state folder answers to `command`. `timeout` in seconds, for each step.

    Raises ControlError when no daemon runs, it may not be asked, answers too late or with an error;
    `exit_code` is then the daemon's own for that error.
    """
    try:
        status, body = _exchange(state, command, json.dumps(arguments).encode(), timeout)
        value = json.loads(body)
    except TimeoutError as error:
        raise ControlError(
            f"the daemon did not answer '{command}' within {timeout:g} s",
            hint="it goes on with it; push-agent status shows what it is doing",
        ) from error
    except PermissionError as error:
        raise ControlError(
            f"may not speak to the daemon of {state}", hint="ask as root or as the daemon's own user"
        ) from error
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        raise ControlError(f"no daemon runs on {state}", hint=_START_HINT) from error
    except (OSError, ValueError) as error:
        raise ControlError(
            f"the daemon broke off in the middle of '{command}': {str(error) or type(error).__name__}",
            hint="it may be stopping; push-agent status shows whether it runs",
        ) from error
    if status != _OK:
        raise _refusal(value)
    return value if isinstance(value, dict) else {}


def is_living(state: Path) -> bool:
    """Whether a daemon answers on this state folder. One that is alive does so in milliseconds."""
    try:
        call_and_wait(state, "ping", {}, timeout=_PATIENCE)
    except ControlError:
        return False
    return True


def _exchange(state: Path, command: str, body: bytes, timeout: float) -> tuple[int, bytes]:
    """The status and the body of the answer. Raises OSError; ValueError for what is no whole answer."""
    head = f"POST /{command} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}"
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(timeout)
        with short_path(state) as path:
            end.connect(path)
        end.sendall(f"{head}\r\n\r\n".encode() + body)
        answer = bytearray()
        while piece := end.recv(_AT_ONCE):
            answer += piece
    told, _, rest = bytes(answer).partition(b"\r\n\r\n")
    first, *fields = told.decode("latin-1").split("\r\n")
    if not first.startswith("HTTP/1.1 "):
        raise ValueError("no answer")
    lengths = [int(value) for name, _, value in (f.partition(":") for f in fields) if _is_length(name)]
    if lengths != [len(rest)]:
        raise ValueError("half an answer")
    return int(first.split(" ")[1]), rest


def _is_length(name: str) -> bool:
    return name.lower() == "content-length"


@contextlib.contextmanager
def short_path(state: Path) -> Iterator[str]:
    """The socket's path through a descriptor of its folder: sun_path holds 107 bytes only (unix(7))."""
    folder = os.open(state, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)


def _refusal(value: object) -> ControlError:
    told = value if isinstance(value, dict) else {}
    error = ControlError(str(told.get("error", "the daemon refused")), hint=str(told.get("hint", "")))
    if isinstance(code := told.get("exit_code"), int):
        error.exit_code = code
    return error
