"""A target for positions in a thread: fails now and then, remembers what it processed, and checks the order."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import json
import random
import socket
import threading
from collections import defaultdict


class PositionsTarget:
    """Every request that it takes is processed, also when its answer is lost on the way (`drop`)."""

    def __init__(self, *, seed=0, fail=0.0, drop=0.0, slow_down=0.0):
        """Shares of all requests, from 0 to 1. `slow_down`: 429, with Retry-After 0 and 1 in turn."""
        self.order = []
        """(key, positions) of every request that was processed, repeats too."""
        self.drops = 0
        self.fails = 0
        self.slowed = 0
        self._shares = (("fail", fail), ("drop", drop), ("slow_down", slow_down))
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._open.set()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def hold(self):
        """Answer nothing until `release`."""
        self._open.clear()

    def release(self):
        self._open.set()

    def close(self):
        self._open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def count(self):
        """Positions that were processed, repeats left out."""
        with self._lock:
            order = list(self.order)
        return sum(len(positions) for positions in dict(order).values())

    def by_plate(self):
        """Plate → the numbers of its positions in the order in which they were first processed."""
        found, seen = defaultdict(list), set()
        for key, positions in self.order:
            if key not in seen:
                seen.add(key)
                for one in positions:
                    found[one["plate"]].append(int(one["n"]))
        return found

    @property
    def repeats(self):
        return len(self.order) - len({key for key, _ in self.order})

    def _take(self, key, body):
        """What becomes of a request: its positions are processed in one step with that decision."""
        positions = json.loads(body)
        with self._lock:
            draw, word = self._chance.random(), "good"
            for name, share in self._shares:
                if draw < share:
                    word = name
                    break
                draw -= share
            if word in ("good", "drop"):
                self.order.append((key, positions if isinstance(positions, list) else [positions]))
            self.drops += word == "drop"
            self.fails += word == "fail"
            self.slowed += word == "slow_down"
            return word

    def _handler(self):
        target = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                target._open.wait()
                word = target._take(self.headers["Idempotency-Key"], body)
                if word == "drop":
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status = {"good": 204, "fail": 503, "slow_down": 429}[word]
                self.send_response(status)
                if word == "slow_down":
                    self.send_header("Retry-After", str(target.slowed % 2))
                if status != 204:
                    self.send_header("Content-Length", "0")
                self.end_headers()

            def handle(self):
                with contextlib.suppress(OSError):  # the daemon was killed in mid-request
                    super().handle()

            def log_message(self, *_):
                pass

        return Handler
