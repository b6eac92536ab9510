"""TLS and one harmless HTTP request without credentials, on one connection.

    handshake as deliveries do it ─ good ─▶ HEAD /  ─▶ Shaken,   Heard | Unheard
                                  └ bad  ─▶ look    ─▶ Unshaken

`look` is a second handshake that believes everything and shows nothing of ours: what the server has to
show can only be seen so. It sends HEAD / for the `Date` alone, which tells a wrong clock from a bad
certificate.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import http.client
import io
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from agent.clock import Clock
from agent.doctor.certificates import read_chain
from agent.doctor.findings import Heard, Shaken, Unheard, Unshaken
from agent.request import USER_AGENT

Connect: TypeAlias = "Callable[[], Awaitable[socket.socket]]"
"""A new connection to the server (through a proxy's tunnel, where there is one). Raises OSError."""

_LISTEN = 3.0
"""Seconds."""
_MOST_HEAD = 65_536
"""Bytes of an answer's head that are read."""

# OpenSSL's numbers of what is wrong with a certificate (x509_vfy.h).
_VERIFY: Final = {
    9: "not yet valid",
    10: "expired",
    18: "self-signed",
    19: "self-signed authority",
    2: "unknown issuer",
    20: "unknown issuer",
    21: "unknown issuer",
    23: "revoked",
    62: "wrong name",
    64: "wrong name",
    66: "weak",
    67: "weak",
    68: "weak",
}
# Words in OpenSSL's reasons, the first that is found counts.
_REASONS: Final = (
    ("PROTOCOL_VERSION", "too old"),
    ("UNSUPPORTED_PROTOCOL", "too old"),
    ("NO_PROTOCOLS", "too old"),
    ("INAPPROPRIATE_FALLBACK", "too old"),
    ("CERTIFICATE_REQUIRED", "certificate wanted"),
    ("ALERT_UNKNOWN_CA", "certificate refused"),
    ("ALERT_BAD_CERTIFICATE", "certificate refused"),
    ("ALERT_CERTIFICATE", "certificate refused"),
    ("ALERT_ACCESS_DENIED", "certificate refused"),
    ("HANDSHAKE_FAILURE", "no cipher"),
    ("NO_SHARED_CIPHER", "no cipher"),
    ("UNRECOGNIZED_NAME", "unknown name"),
    ("TOO_SMALL", "weak"),
    ("TOO_WEAK", "weak"),
    ("WRONG_VERSION_NUMBER", "no tls"),
    ("RECORD_LAYER_FAILURE", "no tls"),
    ("HTTP_REQUEST", "no tls"),
    ("PACKET_LENGTH_TOO_LONG", "no tls"),
    ("UNEXPECTED_EOF", "closed"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """Whom to shake hands with, and what to ask it."""

    name: str
    """That the certificate must carry."""
    authority: str
    """For `Host`."""
    target: str = "/"
    """What is asked for: `/`, or the whole URL where a proxy reads the request."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Who we are to such a proxy."""
    connect: Connect
    clock: Clock
    deadline: float
    """Seconds for the handshake, and as many for the answer."""


class Conversation:
    """A connection on which one question may be asked."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server: Server,
        shaken: Shaken | None,
    ) -> None:
        self.shaken = shaken
        """None: plain http."""
        self._reader = reader
        self._writer = writer
        self._server = server

    async def ask(self) -> Heard | Unheard:
        """HEAD / without credentials: safe by definition (RFC 9110, section 9.2.1), and without a body."""
        lines = [
            f"HEAD {self._server.target} HTTP/1.1",
            f"Host: {self._server.authority}",
            f"User-Agent: {USER_AGENT}",
            "Accept: */*",
            *(f"{name}: {value}" for name, value in self._server.headers.items()),
            "Connection: close",
        ]
        try:
            async with asyncio.timeout(self._server.deadline):
                self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
                await self._writer.drain()
                head = await self._reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            return Unheard(fault="timeout", detail=f"{self._server.deadline:g} s")
        except ssl.SSLError as error:
            return Unheard(fault=_fault(error), detail=_detail(error))
        except asyncio.IncompleteReadError as error:
            return Unheard(fault="not http" if error.partial else "closed")
        except (asyncio.LimitOverrunError, OSError) as error:
            return Unheard(fault="closed" if isinstance(error, OSError) else "not http")
        return _heard(head, self._server.clock.now())

    async def listen(self) -> Unheard | None:
        """Say nothing; what OpenSSL on the other side complains about."""
        try:
            async with asyncio.timeout(min(_LISTEN, self._server.deadline)):
                await self._reader.read(1)
        except ssl.SSLError as error:
            return Unheard(fault=_fault(error), detail=_detail(error))
        except OSError:
            return None
        return None

    def hang_up(self) -> None:
        """Close it, without waiting for the other side."""
        self._writer.transport.abort()


async def overhear(server: Server, context: ssl.SSLContext) -> Unheard | None:
    """What a server has to say to who says nothing, after one that was asked hung up; None: nothing.

    With TLS 1.3 a server refuses our certificate, or misses it, only after the handshake. Its words get lost
    when our question arrives at a socket that it has closed already.
    """
    async with converse(server, context) as met:
        if isinstance(met, Unshaken):
            return Unheard(fault=met.fault, detail=met.detail)
        return await met.listen()


@contextlib.asynccontextmanager
async def converse(server: Server, context: ssl.SSLContext | None) -> AsyncIterator[Conversation | Unshaken]:
    """A connection to the server, with the handshake done where `context` is given; never raises for it."""
    opened = await _open(server, context)
    if isinstance(opened, Unshaken):
        yield opened
        return
    try:
        yield opened
    finally:
        opened.hang_up()


async def _open(server: Server, context: ssl.SSLContext | None) -> Conversation | Unshaken:
    try:
        async with asyncio.timeout(server.deadline):
            ours = await server.connect()
            reader, writer = await asyncio.open_connection(
                sock=ours,
                ssl=context,
                server_hostname=server.name if context is not None else None,
                limit=_MOST_HEAD,
            )
    except OSError as error:
        return await _unshaken(error, server, context)
    return Conversation(reader, writer, server, _shaken(writer, context))


def _shaken(writer: asyncio.StreamWriter, context: ssl.SSLContext | None) -> Shaken | None:
    handle = writer.get_extra_info("ssl_object")
    if handle is None or context is None:
        return None
    cipher = handle.cipher()
    return Shaken(
        version=handle.version() or "",
        cipher=cipher[0] if cipher else "",
        chain=read_chain(handle),
        verified=context.verify_mode == ssl.CERT_REQUIRED,
    )


async def _unshaken(error: OSError, server: Server, context: ssl.SSLContext | None) -> Unshaken:
    if isinstance(error, TimeoutError):
        return Unshaken(fault="timeout", detail=f"{server.deadline:g} s")
    if not isinstance(error, ssl.SSLError):
        return Unshaken(fault="closed", detail=error.strerror or "")
    fault, detail = _fault(error), _detail(error)
    if context is None or not isinstance(error, ssl.SSLCertVerificationError):
        return Unshaken(fault=fault, detail=detail)
    believing = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    believing.check_hostname = False
    believing.verify_mode = ssl.CERT_NONE
    async with converse(server, believing) as seen:
        if isinstance(seen, Unshaken) or seen.shaken is None:
            return Unshaken(fault=fault, detail=detail)
        heard = await seen.ask()
        return Unshaken(
            fault=fault,
            detail=detail,
            chain=seen.shaken.chain,
            server_time=heard.server_time if isinstance(heard, Heard) else None,
        )


def _fault(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY.get(error.verify_code, "not accepted")
    reason = (getattr(error, "reason", None) or str(error)).upper().replace(" ", "_")
    return next((fault for word, fault in _REASONS if word in reason), "other")


def _detail(error: ssl.SSLError) -> str:
    """OpenSSL's own words, for the platform's support."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or ""
    return str(getattr(error, "reason", None) or error.strerror or "").replace("_", " ").lower()


def _heard(head: bytes, now: float) -> Heard | Unheard:
    status, _, rest = head.partition(b"\r\n")
    words = status.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():  # noqa: PLR2004
        return Unheard(fault="not http")
    try:
        date = http.client.parse_headers(io.BytesIO(rest)).get("Date")
    except http.client.HTTPException:
        date = None
    return Heard(status=int(words[1]), server_time=_time(date), our_time=now)


def _time(date: str | None) -> float | None:
    if date is None:
        return None
    try:
        return email.utils.parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
