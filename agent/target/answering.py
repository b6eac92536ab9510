"""Who reads the answers of a connection: the library's reader, which also minds a body after 204.

There is none after 204 and 304 (RFC 9110, 6.4.1), yet some servers send one. The library drops the answer
with it, and a message that was taken would be sent again for ever. The head alone is the answer, and its
connection is not used again. One that has a body and is longer than it says stays an error: who knows.
"""

from __future__ import annotations

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpResponseParser, RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError

_MOST = 65_536
"""Bytes of one piece that are kept: such an answer is a small one."""
_FINAL = 200
_BODILESS = frozenset({204, 304})


class Answers(ResponseHandler):
    """Keeps the piece that came last."""

    _latest = b""

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if data:
            self._latest = data if len(data) <= _MOST else b""
        super().data_received(data)

    def first_bodiless(self) -> tuple[RawResponseMessage, aiohttp.StreamReader] | None:
        """The answer without a body at the beginning of the last piece; None: there is none."""
        parser = HttpResponseParser(
            self, self._loop, _MOST, payload_exception=aiohttp.ClientPayloadError, auto_decompress=False
        )
        for at in range(len(self._latest)):
            try:
                messages, _, _ = parser.feed_data(self._latest[at : at + 1])
            except (HttpProcessingError, aiohttp.ClientPayloadError):
                return None
            for message, content in messages:
                if message.code in _BODILESS:
                    return message, content
                if message.code >= _FINAL:
                    return None
        return None
