"""The target of the benchmarks: takes requests as fast as one core can.

`python tests/bench/sink.py [LATENCY [keep|forget]]` prints its port; each answer is LATENCY seconds late.
`GET /count` answers with the requests and records since it was asked last. Bodies are kept (gzipped ones
as they came) until then, and only then gunzipped and counted, so that counting costs nobody anything while
the clock runs. `forget` keeps none: only requests are counted.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys

try:
    from orjson import loads
except ImportError:
    from json import loads


class Sink(asyncio.Protocol):
    """HTTP/1.1 with Content-Length bodies: what every competitor sends."""

    bodies: list[tuple[bool, bytes]] = []  # noqa: RUF012 - one sink a process
    keep = True
    seen = 0
    latency = 0.0

    def connection_made(self, transport):
        self.transport = transport
        self.buffer = bytearray()
        self.need = -1

    def data_received(self, data):
        self.buffer += data
        while True:
            if self.need < 0:
                end = self.buffer.find(b"\r\n\r\n")
                if end < 0:
                    return
                self.head = bytes(self.buffer[:end]).lower() + b"\r\n"
                at = self.head.find(b"content-length:")
                length = int(self.head[at + 15 : self.head.find(b"\r", at)]) if at >= 0 else 0
                self.start, self.need = end + 4, end + 4 + length
            if len(self.buffer) < self.need:
                return
            body = bytes(self.buffer[self.start : self.need])
            del self.buffer[: self.need]
            self.need = -1
            self.take(self.head, body)

    def take(self, head, body):
        if head.startswith(b"get /count"):
            self.say(json.dumps(self.count()).encode())
            return
        Sink.seen += 1
        if Sink.keep:
            Sink.bodies.append((b"content-encoding: gzip" in head, body))
        if Sink.latency:
            asyncio.get_running_loop().call_later(Sink.latency, self.say, b"{}")
        else:
            self.say(b"{}")

    def say(self, answer):
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (len(answer), answer)
        )

    @staticmethod
    def count():
        records = 0
        for zipped, body in Sink.bodies:
            document = loads(gzip.decompress(body) if zipped else body)
            records += len(document) if isinstance(document, list) else 1
        result = {"requests": Sink.seen, "records": records}
        Sink.bodies.clear()
        Sink.seen = 0
        return result


async def serve():
    Sink.latency = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    Sink.keep = sys.argv[2:] != ["forget"]
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
