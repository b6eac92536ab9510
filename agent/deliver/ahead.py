"""A lane's next message, made ready while the one before it is on its way: only to write it is left.

Small ones as a whole, in the pause before the answer comes. Of large ones for targets that take no gzip
the body is decompressed in a thread, as the event loop would be held up by it. One at a time; what cannot
be made is no matter here: the attempt itself says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import NamedTuple

from agent.auth.session import Signed
from agent.deliver.house import Way
from agent.message import Message
from agent.request import Request, build
from agent.target import INLINE, Ready, gunzip, prepared

LEAST = 65_536
"""Bytes of a body, decompressed: less is done sooner than handed over."""
MOST = 4_000_000
"""Bytes of a body, decompressed: each lane may hold one more of it."""


class Begun(NamedTuple):
    """What there is of a message before its attempt; None: it has to be made yet."""

    request: Request | None = None
    ready: Ready | None = None
    """As it is written."""
    plain: Awaitable[bytes] | None = None
    """Its body without gzip."""


_NOTHING = Begun()


class Ahead:
    """At most one message that somebody works on before it is asked for."""

    def __init__(self) -> None:
        self._message: Message | None = None
        self._way: Way | None = None
        self._signed: Signed | None = None
        self._made: Begun | None = None
        self._plain: asyncio.Future[bytes] | None = None

    def begin(self, message: Message | None, way: Way, signed: Signed) -> None:
        """Begin with this message, unless that was done or is not worth it."""
        if message is None or message is self._message:
            return
        if len(message.body) < INLINE and message.size <= LEAST:
            self._forget()
            self._message, self._way, self._signed = message, way, signed
            asyncio.get_running_loop().call_soon(self._make)
        elif not way.route.connection.accepts_gzip and LEAST <= message.size <= MOST:
            self._forget()
            self._message = message
            self._plain = asyncio.get_running_loop().run_in_executor(None, gunzip, message.body)
            self._plain.add_done_callback(_seen)

    def take(self, message: Message, way: Way, signed: Signed) -> Begun:
        """What was begun of it, once, as far as it would be made so now."""
        if message is not self._message:
            return _NOTHING
        begun = _NOTHING
        if self._plain is not None:
            begun = Begun(plain=self._plain)
        elif self._made is not None and way is self._way and signed == self._signed:
            begun = self._made
        self._forget()
        return begun

    def _make(self) -> None:
        message, way, signed = self._message, self._way, self._signed
        if message is None or way is None or signed is None:
            return
        try:
            request = build(way.route, message, key=message.key, signature=signed.headers)
            self._made = Begun(request, prepared(way.connection.client, request))
        except (ValueError, OSError, EOFError, MemoryError):
            self._forget()

    def _forget(self) -> None:
        self._message = self._way = self._signed = self._made = self._plain = None


def _seen(plain: asyncio.Future[bytes]) -> None:
    if not plain.cancelled():
        plain.exception()  # whoever takes it hears of it; nobody may
