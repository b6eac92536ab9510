"""The control socket: how `push-agent reload` and `push` reach the daemon. HTTP over `STATE/control.sock`.

    POST /reload  {}                       the answer of the daemon's own handler, as JSON
    POST /push    {"job": …, "limit": …}                 see agent/following.py
    POST /left    {"jobs": …} or {"job": …, "mark": …}
    POST /pause   {"action": …, "jobs": …, …}            see agent/pauses
    POST /backfill    {"action": …, …}                   see agent/collect/backfills.py
    POST /dead    {"action": …, "ids": …}                see agent/letters.py
    POST /auth    {"action": …, "connection": …}         see agent/custody.py
    POST /auth-check  {"connection": …, "action": …}     see agent/harmless.py
    errors        {"error": …, "hint": …, "exit_code": …} with a status of 400 or above

Only the daemon's user and root get an answer: the file's mode keeps others out, and the kernel says
who is at the other end (SO_PEERCRED). The client needs nothing but the standard library, so that
commands start fast.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from agent.errors import AgentError, ControlError
from agent.logs import get_log
from agent.message import JsonValue

if TYPE_CHECKING:
    from aiohttp import web

log = get_log("control")

SOCKET = "control.sock"
_PATIENCE = 5.0
"""Seconds that a daemon gets to say that it is there."""
MOST_BYTES = 100_000_000
"""Of one question: an edited body of 64 MB, gzipped, in base64, and some words."""
JsonObject: TypeAlias = "dict[str, JsonValue]"
Handler: TypeAlias = "Callable[[JsonObject], Awaitable[JsonObject]]"
"""Takes the arguments, gives the answer; an AgentError becomes the error of the client."""

# struct ucred (unix(7)): pid, uid, gid.
_UCRED = struct.Struct("iII")
_STOP_GRACE = 2.0
_START_HINT = "start it: systemctl start push-agent (or: push-agent run)"


class ControlServer:
    """Answers on the socket; `handlers` names every word that it knows."""

    def __init__(self, state: Path, handlers: Mapping[str, Handler]) -> None:
        self._state = state
        self._handlers = {"ping": _ping, **handlers}
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        """Listen. Whoever calls holds the state's lock: a socket that lies there is a dead one's."""
        from aiohttp import web  # noqa: PLC0415 - the client half of this module does without it

        self._runner = web.ServerRunner(
            web.Server(self._answer, access_log=None, tcp_keepalive=False), shutdown_timeout=_STOP_GRACE
        )
        await self._runner.setup()
        await web.SockSite(self._runner, _listen(self._state)).start()

    async def stop(self) -> None:
        """Answer what is under way, within two seconds, and remove the socket."""
        if self._runner is None:
            return
        await self._runner.cleanup()
        self._runner = None
        (self._state / SOCKET).unlink(missing_ok=True)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        status, answer = await self._outcome(request)
        from aiohttp import web  # noqa: PLC0415 - see start()

        return web.json_response(answer, status=status)

    async def _outcome(self, request: web.BaseRequest) -> tuple[HTTPStatus, JsonObject]:
        uid = _peer(request)
        if uid not in {0, os.geteuid()}:
            log.warning("refused another user on the control socket", uid=uid)
            return HTTPStatus.FORBIDDEN, _error("only the daemon's own user and root may do this")
        word = request.path.removeprefix("/")
        handler = self._handlers.get(word)
        if request.method != "POST" or handler is None:
            known = ", ".join(sorted(self._handlers))
            return HTTPStatus.NOT_FOUND, _error(f"there is no '{word}'", f"this daemon knows {known}")
        arguments = _object(await _whole(request))
        if arguments is None:
            return HTTPStatus.BAD_REQUEST, _error("the arguments are no JSON object")
        return await _handle(word, handler, arguments)


async def _handle(word: str, handler: Handler, arguments: JsonObject) -> tuple[HTTPStatus, JsonObject]:
    try:
        return HTTPStatus.OK, await handler(arguments)
    except AgentError as error:
        return HTTPStatus.CONFLICT, _error(error.message, error.hint, error.exit_code)
    except Exception as error:  # noqa: BLE001 - a bug in one command must not stop the daemon
        log.bug("a control command failed", error, command=word)
        return HTTPStatus.INTERNAL_SERVER_ERROR, _error(
            f"'{word}' failed in the daemon: {type(error).__name__}", "its log has the traceback"
        )


async def call(state: Path, command: str, arguments: JsonObject, *, timeout: float) -> JsonObject:  # noqa: ASYNC109
    """What the daemon of this state folder answers to `command`. `timeout` in seconds.

    Raises ControlError when no daemon runs, it may not be asked, answers too late or with an error;
    `exit_code` is then the daemon's own for that error.
    """
    return await asyncio.to_thread(call_and_wait, state, command, arguments, timeout=timeout)


def call_and_wait(state: Path, command: str, arguments: JsonObject, *, timeout: float) -> JsonObject:
    """`call` for those without an event loop."""
    try:
        with contextlib.closing(_Connection(state, timeout)) as connection:
            connection.request("POST", f"/{command}", json.dumps(arguments))
            answer = connection.getresponse()
            value = json.loads(answer.read())
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
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ControlError(
            f"the daemon broke off in the middle of '{command}': {str(error) or type(error).__name__}",
            hint="it may be stopping; push-agent status shows whether it runs",
        ) from error
    if answer.status != HTTPStatus.OK:
        raise _refusal(value)
    return value if isinstance(value, dict) else {}


def is_living(state: Path) -> bool:
    """Whether a daemon answers on this state folder. One that is alive does so in milliseconds."""
    try:
        call_and_wait(state, "ping", {}, timeout=_PATIENCE)
    except ControlError:
        return False
    return True


class _Connection(http.client.HTTPConnection):
    """HTTP over the socket of a state folder."""

    def __init__(self, state: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._state = state

    def connect(self) -> None:
        """Open the socket; `timeout` counts for each step."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        with _short_path(self._state) as path:
            self.sock.connect(path)


@contextlib.contextmanager
def _short_path(state: Path) -> Iterator[str]:
    """The socket's path through a descriptor of its folder: sun_path holds 107 bytes only (unix(7))."""
    folder = os.open(state, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)


def _listen(state: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    # bind() gives the file the mode of the socket: 0600 from its first moment, without a umask,
    # which would count for the other threads too.
    os.fchmod(server.fileno(), 0o600)
    (state / SOCKET).unlink(missing_ok=True)
    with _short_path(state) as path:
        server.bind(path)
    return server


def _peer(request: web.BaseRequest) -> int:
    """The user id at the other end, as the kernel saw it at connect(2); -1 when it has gone."""
    end = request.transport.get_extra_info("socket") if request.transport else None
    if end is None:
        return -1
    _, uid, _ = _UCRED.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return int(uid)


async def _whole(request: web.BaseRequest) -> bytes:
    """Its body: more than the MiB that `request.read()` takes, since a dead letter's body may be long."""
    pieces, size = [], 0
    async for piece in request.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > MOST_BYTES:
            return b"too long"  # no JSON object either
    return b"".join(pieces)


def _object(body: bytes) -> JsonObject | None:
    try:
        value = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


async def _ping(arguments: JsonObject) -> JsonObject:
    del arguments
    return {"pid": os.getpid()}


def _error(message: str, hint: str = "", exit_code: int = ControlError.exit_code) -> JsonObject:
    return {"error": message, "hint": hint, "exit_code": exit_code}


def _refusal(value: object) -> ControlError:
    told = value if isinstance(value, dict) else {}
    error = ControlError(str(told.get("error", "the daemon refused")), hint=str(told.get("hint", "")))
    if isinstance(code := told.get("exit_code"), int):
        error.exit_code = code
    return error
