"""Between daemon and target: a TCP relay that breaks things by seeded dice.

Each piece that passes may meet one fault. What is done to the way back counts as a disturbance of the
connection: the agent may not have heard the answer.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from dataclasses import dataclass
from typing import Self

from tests.faults.record import Disturbed, History

FAULTS = ("cut", "reset", "half", "truncate", "corrupt", "swallow", "delay")
"""cut: close both ways. reset: RST to the daemon. half: close the way back only. truncate: half of a piece,
then close. corrupt: an answer that is no HTTP any more. swallow: the request goes on, nothing comes back, then
close. delay: later."""


@dataclass(kw_only=True)
class _Relay:
    life: int
    port: int
    down: asyncio.StreamWriter
    up: asyncio.StreamWriter


class Proxy:
    """Use with `async with`; `rate` is the chance of a fault for each piece of data."""

    def __init__(self, history: History, dice: random.Random) -> None:
        self.rate = 0.0
        self.url = ""
        self.target_port = 0
        self._history = history
        self._dice = dice
        self._life_of: dict[int, int] = {}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def life_of(self, port: int) -> int:
        """The life of the daemon that opened the connection which the target knows by this port."""
        return self._life_of.get(port, 0)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._relay(reader, writer)
        except OSError:
            pass
        except asyncio.CancelledError:
            pass  # the harness ends
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        life = self._history.life
        back, up = await asyncio.open_connection("127.0.0.1", self.target_port)
        relay = _Relay(life=life, port=up.get_extra_info("sockname")[1], down=writer, up=up)
        self._life_of[relay.port] = life
        ways = {
            asyncio.create_task(self._there(relay, reader)),
            asyncio.create_task(self._back(relay, back)),
        }
        try:
            # Whoever goes first takes the other along: what a dead daemon sent must not arrive late.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            up.transport.abort()

    async def _there(self, relay: _Relay, reader: asyncio.StreamReader) -> None:
        while piece := await reader.read(65_536):
            match self._dice_for(relay, "there"):
                case "cut" | "half":
                    return
                case "reset":
                    _reset(relay.down)
                    return
                case "truncate":
                    relay.up.write(piece[: len(piece) // 2])
                    return
                case "swallow":
                    relay.up.write(piece)
                    await asyncio.sleep(0.05)
                    return
                case "delay":
                    await asyncio.sleep(self._dice.random() * 0.3)
            relay.up.write(piece)
            await relay.up.drain()

    async def _back(self, relay: _Relay, reader: asyncio.StreamReader) -> None:
        while piece := await reader.read(65_536):
            match self._dice_for(relay, "back"):
                case "cut" | "swallow":
                    return
                case "reset":
                    _reset(relay.down)
                    return
                case "half":
                    relay.down.write_eof()
                    await asyncio.sleep(0.05)
                    return
                case "truncate":
                    relay.down.write(piece[: len(piece) // 2])
                    await relay.down.drain()
                    return
                case "corrupt":
                    piece = b"\x00?!\xff" + piece[4:]
                case "delay":
                    await asyncio.sleep(self._dice.random() * 0.3)
            relay.down.write(piece)
            await relay.down.drain()

    def _dice_for(self, relay: _Relay, way: str) -> str:
        if self.rate == 0.0 or self._dice.random() >= self.rate:
            return ""
        fault = self._dice.choice(FAULTS)
        self._history.disturbed.append(
            Disturbed(tick=self._history.tick(), port=relay.port, how=f"{fault} {way}")
        )
        return fault


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of FIN."""
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
