"""One scene of an end-to-end test: a connection, a job and a drop folder of its own in a `World`."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
from contextlib import closing

from agent.web.control import call_and_wait
from tests.support.world import ask

AUTH = """\
auth:
  type: password
  url: {auth}/api/v1
  username: {{secret: user}}
  password: {{secret: {password}}}
{more}
"""

RECORDS = """\
job: {name}
schedule: {{watch: true, every: 1h}}
source:
  type: csv
  path: {drop}/*.csv
  settle: {settle}
  done: {{move: done/}}
  failed: {{move: failed/}}
{source}
body: {{format: json, map: {{n: =n}}}}
batch: {{records: {batch}}}
target: {{connection: {connection}, endpoint: {endpoint}{target}}}
"""

FILES = """\
job: {name}
schedule: {{watch: true, every: 1h}}
source:
  type: file
  path: {drop}/*.csv
  settle: {settle}
  order: [name]
  done: {{move: done/}}
  failed: {{move: failed/}}
{source}
body: {{format: raw, content_type: text/csv}}
target: {{connection: {connection}, endpoint: {endpoint}{target}}}
"""


class Stage:
    """Everything here has `name` in its name, so that scenes share a daemon without meeting."""

    def __init__(self, world, sandbox, name):
        self.world = world
        self.sandbox = sandbox
        self.name = name
        self.drop = world.drop / name
        self.drop.mkdir(exist_ok=True)
        self.counted = 0

    # ------------------------------------------------------------------ config

    def connection(self, *, url="", auth="", password="password", more="", limits="", endpoints=None):
        """`ingest` and `other` are endpoints of this scene alone, at `url` (the sandbox)."""
        url = url or self.sandbox.url
        places = {
            "ingest": f"{url}/ingest/{self.name}",
            "other": f"{self.sandbox.url}/ingest/{self.name}-other",
        }
        places.update(endpoints or {})
        lines = [f"connection: {self.name}", "type: http"]
        lines.append(AUTH.format(auth=auth or self.sandbox.url, password=password, more=more).rstrip())
        lines.append(f"endpoints: {json.dumps(places)}")
        if limits:
            lines.append(f"limits: {limits}")
        self.write(f"connections/{self.name}.yaml", "\n".join(lines) + "\n")
        return self

    def records(self, name="", *, endpoint="ingest", batch=10, source="", target="", folder="", settle="0s"):
        """A job that makes JSON batches of the column `n` of CSV files."""
        return self._job(
            RECORDS,
            name,
            endpoint=endpoint,
            batch=batch,
            source=source,
            target=target,
            folder=folder,
            settle=settle,
        )

    def files(self, name="", *, endpoint="ingest", source="", target="", folder=""):
        """A job that sends CSV files as they are."""
        return self._job(
            FILES, name, endpoint=endpoint, source=source, target=target, folder=folder, settle="0s"
        )

    def _job(self, form, name, *, folder, source, **parts):
        name = name or self.name
        drop = self.drop / folder
        drop.mkdir(exist_ok=True)
        text = form.format(
            name=name, drop=drop, connection=self.name, source=source and f"  {source}", **parts
        )
        self.write(f"jobs/{name}.yaml", text)
        return self

    def write(self, place, text):
        """As a careful program does: beside it, then renamed."""
        path = self.world.config / place
        fresh = path.with_name(path.name + ".tmp")
        fresh.write_text(text)
        fresh.chmod(0o644)
        fresh.rename(path)
        return path

    def load(self):
        """Reload now, as `push-agent reload` asks for it; what it did."""
        return self.ask("reload")

    def ask(self, word, **arguments):
        """One question on the control socket, without the half second that a command takes to start."""
        return call_and_wait(self.world.state, word, arguments, timeout=30)

    # ------------------------------------------------------------------ data

    def put(self, name, content, *, folder=""):
        """A file appears, whole."""
        path = self.drop / folder / name
        fresh = path.with_name(path.name + ".tmp")
        fresh.write_bytes(content if isinstance(content, bytes) else content.encode())
        fresh.rename(path)
        return path

    def numbers(self, count, *, folder=""):
        """A CSV file with the next `count` numbers; its path."""
        first = self.counted
        self.counted += count
        lines = "".join(f"{n}\n" for n in range(first, first + count))
        return self.put(f"{first:06}.csv", f"n\n{lines}", folder=folder)

    # ------------------------------------------------------------------ what came of it

    def requests(self, endpoint=""):
        """What the platform was sent by this scene, oldest first, with bodies."""
        name = f"ingest/{endpoint or self.name}"
        return ask(f"{self.sandbox.url}/_sandbox/requests?endpoint={name}&body=1")["requests"]

    def arrived(self, endpoint=""):
        """The numbers of all requests that were processed, in order."""
        return [
            record["n"]
            for request in self.requests(endpoint)
            if request["processed"]
            for record in json.loads(request["body"])
        ]

    def all_arrived(self, endpoint=""):
        """Wait until every number that was put is there, once and in order."""
        wanted = [str(n) for n in range(self.counted)]
        self.world.until(lambda: len(self.arrived(endpoint)) >= len(wanted), "all records arrived")
        assert self.arrived(endpoint) == wanted

    def status(self, name=""):
        return next(job for job in self.ask("status")["jobs"] if job["name"] == (name or self.name))

    def session(self):
        return next(one for one in self.ask("status")["connections"] if one["name"] == self.name)

    def waits(self, name=""):
        """Why the job waits, in the words of `status`; "" when it does not."""
        return "; ".join(lane["why"] for lane in self.status(name)["lanes"])

    def until_waits(self, words, name=""):
        """Wait until `status` gives a reason that holds these words; the reason."""
        told = {}

        def look():
            told["why"] = self.waits(name)
            return told["why"] if words in told["why"] else ""

        try:
            return self.world.until(look, f"status explains a wait with {words!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}\nit said: {told['why']!r}") from None


def free_port():
    """A port of loopback on which nobody listens now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Scripted:
    """A platform in a thread: `answer(path, form_or_body, number)` gives (status, JSON, headers)."""

    def __init__(self, answer, port=0):
        self.seen = []
        seen = self.seen

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                seen.append((self.path, dict(self.headers), body))
                status, document, headers = answer(self.path, body, len(seen))
                text = b"" if status in (204, 304) else json.dumps(document).encode()
                self.send_response(status)
                for key, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST  # noqa: N815 - as the server asks for it

            def handle(self):
                with contextlib.suppress(OSError):  # whoever asked was killed
                    super().handle()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
