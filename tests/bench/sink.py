"""The target of the benchmarks: takes requests as fast as one core can, keeps every body's size.

`python tests/bench/sink.py` prints its port; `GET /count` answers `requests bodies_bytes records`.
Bodies are kept (gzipped ones as they came) until `/count` is asked, and only then gunzipped and counted,
so that counting costs neither side anything while the clock runs.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
import time


class Sink(asyncio.Protocol):
    """HTTP/1.1 with Content-Length bodies: what aiohttp sends for bytes."""

    bodies: list[tuple[bool, bytes]] = []  # noqa: RUF012 - one sink a process
    keep = True
    seen = 0
    last = 0.0
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
                head = bytes(self.buffer[:end]).lower()
                at = head.find(b"content-length:")
                length = (
                    int(head[at + 15 : head.find(b"\r", at) if head.find(b"\r", at) > 0 else None])
                    if at >= 0
                    else 0
                )
                self.head, self.start, self.need = head, end + 4, end + 4 + length
            if len(self.buffer) < self.need:
                return
            body = bytes(self.buffer[self.start : self.need])
            del self.buffer[: self.need]
            self.need = -1
            self.take(self.head, body)

    def take(self, head, body):
        if head.startswith(b"get /count"):
            answer = json.dumps(self.count()).encode()
            self.say(answer)
            return
        Sink.seen += 1
        Sink.last = time.time()
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
        records = size = 0
        for zipped, body in Sink.bodies:
            plain = gzip.decompress(body) if zipped else body
            size += len(plain)
            document = json.loads(plain)
            records += len(document) if isinstance(document, list) else 1
        result = {"requests": Sink.seen, "records": records, "bytes": size, "last": Sink.last}
        Sink.bodies.clear()
        Sink.seen = 0
        return result


async def serve():
    if len(sys.argv) > 1:
        Sink.latency = float(sys.argv[1])
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
