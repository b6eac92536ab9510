"""Through a proxy: CONNECT, as deliveries do it, and what came of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from agent.doctor.dial import fault_of
from agent.doctor.findings import Tunnelled
from agent.request import USER_AGENT

_MOST_HEAD: Final = 65_536
"""Bytes of a proxy's answer that are read."""
OPENED: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Via:
    """The proxy on the way to an origin."""

    host: str
    port: int
    headers: Mapping[str, str] = field(repr=False)
    """Who we are to it."""

    @property
    def name(self) -> str:
        """For people."""
        return f"the proxy {self.host}:{self.port}"


class NoTunnelError(OSError):
    """The proxy did not open it."""


async def open_tunnel(ours: socket.socket, host: str, port: int, via: Via) -> Tunnelled:
    """Ask on a connection to the proxy; on status 200 the connection leads to host and port."""
    name = f"[{host}]" if ":" in host else host
    lines = [
        f"CONNECT {name}:{port} HTTP/1.1",
        f"Host: {name}:{port}",
        f"User-Agent: {USER_AGENT}",
        *(f"{key}: {value}" for key, value in via.headers.items()),
    ]
    loop = asyncio.get_running_loop()
    head = b""
    try:
        await loop.sock_sendall(ours, ("\r\n".join(lines) + "\r\n\r\n").encode())
        while b"\r\n\r\n" not in head and len(head) < _MOST_HEAD:
            # Nobody but the proxy speaks before we do, so nothing of the server's is read here.
            piece = await loop.sock_recv(ours, 4096)
            if not piece:
                break
            head += piece
    except OSError as error:
        return Tunnelled(status=0, fault=fault_of(error))
    words = head.split(b"\r\n", 1)[0].split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():  # noqa: PLR2004
        return Tunnelled(status=0, fault="not http" if head else "closed")
    phrase = words[2].decode("latin-1")[:100] if len(words) > 2 else ""  # noqa: PLR2004
    return Tunnelled(status=int(words[1]), detail="".join(c if c.isprintable() else "?" for c in phrase))


async def through(ours: socket.socket, host: str, port: int, via: Via) -> socket.socket:
    """The same connection, with the tunnel opened. Raises NoTunnelError."""
    try:
        told = await open_tunnel(ours, host, port, via)
    except BaseException:
        ours.close()
        raise
    if told.status != OPENED:
        ours.close()
        raise NoTunnelError(None, "the proxy opened no tunnel")
    return ours
