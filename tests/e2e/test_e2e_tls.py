"""Certificates in a real daemon: renewed while it runs, shown, warned about; and a proxy on the way."""

from __future__ import annotations

import http.server
import json
import shutil
import ssl
import threading
from contextlib import contextmanager

import pytest

from tests.support.certificates import Authority
from tests.support.stage import RECORDS
from tests.support.world import World

CONNECTION = "connection: platform\ntype: http\nendpoints: {{in: '{url}/in'}}\n{more}\n"


class Guarded:
    """Wants a certificate, and remembers whose each request came with."""

    def __init__(self, authority):
        context = authority.server("server")
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.path)
        seen = self.seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                names = dict(pair[0] for pair in self.connection.getpeercert()["subject"])
                seen.append((names["commonName"], json.loads(body)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def numbers(self):
        return [record["n"] for _, batch in self.seen for record in batch]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def guarded(authority):
    server = Guarded(authority)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "world", "http://127.0.0.1:9")
    yield world
    world.close()


def connection(world, url, more):
    path = world.config / "connections/platform.yaml"
    path.with_suffix(".tmp").write_text(CONNECTION.format(url=url, more=more))
    path.with_suffix(".tmp").rename(path)


def drop(world, *numbers):
    path = world.drop / f"{numbers[0]}.csv"
    path.with_suffix(".tmp").write_text("n\n" + "".join(f"{n}\n" for n in numbers))
    path.with_suffix(".tmp").rename(path)


def of_platform(world):
    return next(one for one in world.status()["connections"] if one["name"] == "platform")


def test_a_renewed_certificate_is_in_use_without_a_reload_and_status_shows_its_end(world, tmp_path):
    authority = Authority(tmp_path)
    certificate, key = world.config / "client.pem", world.config / "client.key"

    def put(name, days):
        made = authority.issue(name, days=days)
        shutil.copy(made[0], certificate)
        shutil.copy(made[1], key)

    put("old", 5)
    with guarded(authority) as server:
        tls = f"tls: {{ca: '{authority.path}', certificate: client.pem, key: client.key}}"
        connection(world, server.url, tls)
        world.job(
            "rows",
            RECORDS.format(
                name="rows",
                drop=world.drop,
                batch=1,
                source="",
                target="",
                connection="platform",
                endpoint="in",
                settle="0s",
            ),
        )
        world.start()
        drop(world, 1, 2)
        world.until(lambda: server.numbers() == ["1", "2"], "the first file arrived")
        (soon,) = world.events("the certificate that is shown to the target ends soon: renew it in its place")
        first = of_platform(world)
        assert soon["ends"].startswith(first["certificate_ends_at"][:10])
        assert "platform: our certificate ends" in world.run("status", check=0).stdout
        shutil.copy(authority.issue("half", days=60)[0], certificate)
        world.until(lambda: of_platform(world)["tls_trouble"], "half of a pair was seen")
        drop(world, 3, 4)
        world.until(lambda: server.numbers() == ["1", "2", "3", "4"], "the old one goes on")
        assert "stay in use" in world.run("status", check=0).stdout
        put("new", 60)
        world.until(lambda: world.events("the changed TLS files are in use"), "the new one is in use")
        drop(world, 5, 6)
        world.until(lambda: len(server.seen) == 6, "all arrived")
        assert server.numbers() == ["1", "2", "3", "4", "5", "6"]
        assert [name for name, _ in server.seen] == ["old"] * 4 + ["new"] * 2
        last = of_platform(world)
        assert last["certificate_ends_at"] > first["certificate_ends_at"]
        assert last["tls_trouble"] == ""
        assert last["generation"] == first["generation"]
        assert "our certificate" not in world.run("status", check=0).stdout
        world.stop()


def test_sec_09_an_unchecked_certificate_is_told_at_each_start_and_reload_and_marked_everywhere(
    world, tmp_path
):
    event = "the target's certificate is not checked (tls.verify: false): anybody on the way can read and change what is sent"
    (world.config / "agent.yaml").write_text('web: {listen: "127.0.0.1:0"}\n')
    connection(world, "https://127.0.0.1:9", "tls: {verify: false}")
    world.start()
    assert len(world.events(event)) == 1
    world.run("reload", check=0)
    assert len(world.events(event)) == 2
    assert of_platform(world)["tls_verified"] is False
    text = world.run("status", check=0).stdout
    assert "platform: the target's certificate is NOT checked (tls.verify: false)" in text
    world.stop()
    world.start()
    assert len(world.events(event)) == 3
    connection(world, "https://127.0.0.1:9", "")
    world.run("reload", check=0)
    assert len(world.events(event)) == 3
    assert of_platform(world)["tls_verified"] is True
    world.stop()
