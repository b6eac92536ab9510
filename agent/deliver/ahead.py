"""The body of a lane's next message, decompressed in a thread while the one before it is on its way.

Only for targets that take no gzip, and bodies that the event loop would be held up by. One at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from agent.deliver.house import Way
from agent.message import Message
from agent.target import gunzip

LEAST = 65_536
"""Bytes of a body, decompressed: less is done sooner than handed over."""
MOST = 4_000_000
"""Bytes of a body, decompressed: each lane may hold one more of it."""


class PlainAhead:
    """At most one body that somebody works on before it is asked for."""

    def __init__(self) -> None:
        self._message: Message | None = None
        self._plain: asyncio.Future[bytes] | None = None

    def begin(self, message: Message | None, way: Way) -> None:
        """Decompress this message's body, unless that is under way or not worth it."""
        if message is None or message is self._message or way.route.connection.accepts_gzip:
            return
        if message.size < LEAST or message.size > MOST:
            return
        self._message = message
        self._plain = asyncio.get_running_loop().run_in_executor(None, gunzip, message.body)
        self._plain.add_done_callback(_seen)

    def take(self, message: Message) -> Awaitable[bytes] | None:
        """The body that was begun, once; None when it was not."""
        if message is not self._message:
            return None
        plain, self._plain, self._message = self._plain, None, None
        return plain


def _seen(plain: asyncio.Future[bytes]) -> None:
    if not plain.cancelled():
        plain.exception()  # whoever takes it hears of it; nobody may
