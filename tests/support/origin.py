"""One origin of a platform in a thread: it signs in, refreshes and takes data, by HTTP or HTTPS.

Every token that it gives holds its name and the user's, so that a token in the wrong place is known by its looks.
"""

from __future__ import annotations

import http.server
import json
import threading
from dataclasses import dataclass
from urllib.parse import parse_qsl


@dataclass(frozen=True)
class Heard:
    path: str
    bearer: str
    body: str

    @property
    def text(self):
        return f"{self.path} {self.bearer} {self.body}"


class Origin:
    """`hold()` keeps data requests waiting until `release()`; `hold_refresh` does so with refreshes.

    A refresh token is good once: the second time it is answered with 401.
    """

    def __init__(self, name, *, tls=None):
        self.name = name
        self.heard = []
        self.open = 0
        """Connections that are open now."""
        self.good = set()
        """Access tokens that are taken."""
        self.used = set()
        """Refresh tokens that were taken."""
        self._count = 0
        self._refresh_waits = ""
        self._lock = threading.Lock()
        self._free = threading.Event()
        self._free.set()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_address[1]}"

    def of(self, end):
        """What was heard at paths that end so."""
        return [one for one in self.heard if one.path.endswith(end)]

    @property
    def data(self):
        """The bodies that were taken."""
        return [one for one in self.heard if "/ingest/" in one.path and one.bearer in self.good]

    def hold(self):
        self._free.clear()

    def hold_refresh(self, when):
        """`before`: it is held unheard; `after`: it has rotated, and its answer is held."""
        self._refresh_waits = when
        self._free.clear()

    def release(self):
        self._refresh_waits = ""
        self._free.set()

    def close(self):
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, one):
        if one.path.endswith("/auth/password"):
            return 200, self._pair(dict(parse_qsl(one.body))["username"])
        if one.path.endswith("/auth/refresh"):
            return self._refresh(one.body.removeprefix("refresh_token="))
        if one.bearer not in self.good:
            return 401, {}
        self._free.wait()
        return 200, {}

    def _refresh(self, token):
        if self._refresh_waits == "before":
            self._free.wait()
            return 503, {}  # whoever asked is gone
        if token in self.used:
            return 401, {"error": "invalid_token"}
        self.used.add(token)
        pair = self._pair(token.split("-")[1])
        if self._refresh_waits == "after":
            self._free.wait()
        return 200, pair

    def _pair(self, user):
        with self._lock:
            self._count += 1
            access, refresh = (f"{self.name}-{user}-{kind}-{self._count}" for kind in ("access", "refresh"))
            self.good.add(access)
        return {
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "bearer",
            "expires_in": 3600,
        }

    def _handler(self):
        origin = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                with origin._lock:
                    origin.open += 1

            def finish(self):
                with origin._lock:
                    origin.open -= 1
                super().finish()

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
                one = Heard(self.path, bearer, body.decode("utf-8", "replace"))
                origin.heard.append(one)
                status, document = origin._answer(one)
                text = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST  # noqa: N815 - as the server asks for it

            def log_message(self, *_):
                pass

        return Handler
