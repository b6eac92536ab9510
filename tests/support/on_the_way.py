"""What stands between a client and a server: a proxy, and a wire that is listened to.

async with Wire(server.port) as wire:      # https://127.0.0.1:{wire.port} is the server
    wire.sent                              # the raw bytes that each connection sent
async with HttpProxy({"api.example.test": server.port}) as proxy:
    proxy.heads                            # of every request that it was sent, CONNECT or other
    proxy.seen                             # every byte that came out of a client, tunnels included
"""

from __future__ import annotations

import asyncio
import contextlib

OK = b"HTTP/1.1 200 Connection established\r\n\r\n"
WHO = b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="p"\r\nContent-Length: 0\r\n\r\n'


class _Server:
    def __init__(self):
        self.port = 0
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._run, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _run(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            await self.talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)


class Wire(_Server):
    """Passes bytes on, and remembers those of the client."""

    def __init__(self, to):
        super().__init__()
        self.sent = []
        self._to = to

    async def talk(self, reader, writer):
        at = len(self.sent)
        self.sent.append(b"")

        def note(piece):
            self.sent[at] += piece

        await _relay(reader, writer, self._to, note)


class HttpProxy(_Server):
    """Speaks CONNECT, and passes plain requests on. Names lead where `names` says, never to a name server."""

    def __init__(self, names=None, *, credentials=None, answer=None):
        """`credentials`: the `Proxy-Authorization` that is wanted. `answer`: said to everything instead."""
        super().__init__()
        self.names = names or {}
        self.credentials = credentials
        self.answer = answer
        self.heads = []
        self.seen = b""

    def _note(self, piece):
        self.seen += piece

    async def talk(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        self._note(head)
        self.heads.append(head.decode())
        if self.answer is not None:
            writer.write(self.answer)
            await writer.drain()
            return
        if (
            self.credentials is not None
            and f"Proxy-Authorization: {self.credentials}\r\n" not in head.decode()
        ):
            writer.write(WHO)
            await writer.drain()
            return
        method, target, _ = head.decode().split(" ", 2)
        host = (target if method == "CONNECT" else target.split("/")[2]).rpartition(":")[0]
        if method == "CONNECT":
            writer.write(OK)
            head = b""
        await _relay(reader, writer, self.names[host], self._note, first=head)


async def _relay(reader, writer, port, note, *, first=b""):
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
    far_writer.write(first)
    try:
        there = asyncio.create_task(_pump(reader, far_writer, note))
        back = asyncio.create_task(_pump(far_reader, writer, lambda _: None))
        await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        for task in (there, back):
            task.cancel()
        await asyncio.gather(there, back, return_exceptions=True)
    finally:
        far_writer.transport.abort()


async def _pump(reader, writer, note):
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65_536):
            note(piece)
            writer.write(piece)
            await writer.drain()
