"""The control socket: how `push-agent reload` and `push` reach the daemon. HTTP over `STATE/control.sock`.

    POST /reload  {}                       the answer of the daemon's own handler, as JSON
    POST /push    {"job": …, "limit": …}                 see agent/following.py
    POST /find    {"key": …, "job": …, "limit": …}       see agent/finding.py
    POST /left    {"jobs": …} or {"job": …, "mark": …}
    POST /pause   {"action": …, "jobs": …, …}            see agent/pauses
    POST /backfill    {"action": …, …}                   see agent/collect/backfills.py
    POST /dead    {"action": …, "ids": …}                see agent/letters.py
    POST /auth    {"action": …, "connection": …}         see agent/custody.py
    POST /auth-check  {"connection": …, "action": …}     see agent/harmless.py
    errors        {"error": …, "hint": …, "exit_code": …} with a status of 400 or above

Only the daemon's user and root get an answer: the file's mode keeps others out, and the kernel says
who is at the other end (SO_PEERCRED). The asking half is `client`.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from agent.errors import AgentError, ControlError
from agent.logs import get_log
from agent.web.client import SOCKET, JsonObject, call_and_wait, is_living, short_path

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["SOCKET", "ControlServer", "Handler", "JsonObject", "call", "call_and_wait", "is_living"]

log = get_log("control")

MOST_BYTES = 100_000_000
"""Of one question: an edited body of 64 MB, gzipped, in base64, and some words."""
Handler: TypeAlias = "Callable[[JsonObject], Awaitable[JsonObject]]"
"""Takes the arguments, gives the answer; an AgentError becomes the error of the client."""

# struct ucred (unix(7)): pid, uid, gid.
_UCRED = struct.Struct("iII")
_STOP_GRACE = 2.0


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


def _listen(state: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    # bind() gives the file the mode of the socket: 0600 from its first moment, without a umask,
    # which would count for the other threads too.
    os.fchmod(server.fileno(), 0o600)
    (state / SOCKET).unlink(missing_ok=True)
    with short_path(state) as path:
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
