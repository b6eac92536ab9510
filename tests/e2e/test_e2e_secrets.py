"""No password and no token is to be found anywhere, whatever fails, at the chattiest log level."""

from __future__ import annotations

import base64
import json
import urllib.parse
import urllib.request

import pytest

from tests.support.stage import Scripted, Stage, free_port
from tests.support.world import World

PASSWORD = "canary/pass+word==&%of the-world"


class Platform:
    """Auth API and target in one, as bad as can be: each refusal repeats what it was sent."""

    def __init__(self):
        self.secrets = {"password": PASSWORD}
        self.pairs = 0
        self.good = ""
        self.asked = {"login": 0, "refresh": 0, "ingest": 0}
        self.server = Scripted(self.answer)

    def answer(self, path, body, number):
        form = dict(urllib.parse.parse_qsl(body.decode())) if "/auth/" in path else {}
        echo = {"error": f"you sent {body.decode()} as {form}"}
        word = path.rsplit("/", 1)[-1]
        if word == "password":
            self.asked["login"] += 1
            return (503, echo, {}) if self.asked["login"] == 1 else (200, self.pair(), {})
        if word == "refresh":
            self.asked["refresh"] += 1
            return (500, echo, {}) if self.asked["refresh"] % 2 else (200, self.pair(), {})
        self.asked["ingest"] += 1
        authorization = self.server.seen[number - 1][1].get("Authorization", "")
        echo = {"error": f"you came with {authorization}"}
        status = {2: 401, 3: 500, 4: 400, 6: 403}.get(self.asked["ingest"], 200)
        return status, echo, {}

    def pair(self):
        self.pairs += 1
        pair = {kind: f"canary-{kind}-{self.pairs}.a~b/c+d-{'x' * 40}==" for kind in ("access", "refresh")}
        self.secrets.update({f"{kind} {self.pairs}": token for kind, token in pair.items()})
        return {
            "access_token": pair["access"],
            "refresh_token": pair["refresh"],
            "token_type": "bearer",
            "expires_in": 3600,
        }


def forms_of(secret):
    """How a secret may look when somebody was careless with it."""
    plain = secret.encode()
    forms = {plain, plain.hex().encode(), plain[::-1], json.dumps(secret)[1:-1].encode()}
    forms |= {urllib.parse.quote(secret, safe=safe).encode() for safe in ("", "/", "~")}
    forms.add(urllib.parse.quote_plus(secret).encode())
    # Base64 of it wherever it begins in a longer text, without the ends that depend on the neighbours.
    for lead in range(3):
        encoded = base64.b64encode(b"." * lead + plain)
        forms |= {encoded[4:-4], encoded[4:-4].replace(b"+", b"-").replace(b"/", b"_")}
    return forms


@pytest.fixture
def bad_platform():
    platform = Platform()
    yield platform
    platform.server.close()


def test_sec_03_no_secret_is_in_state_logs_pages_or_what_commands_say(tmp_path, bad_platform):
    world = World(tmp_path / "world", bad_platform.server.url)
    (world.config / "connections/platform.yaml").unlink()
    world.secret("password", PASSWORD)
    port = free_port()
    (world.config / "agent.yaml").write_text(f'log: {{level: debug}}\nweb: {{listen: "127.0.0.1:{port}"}}\n')

    class Nowhere:
        url = bad_platform.server.url

    stage = Stage(world, Nowhere, "secrets")
    stage.connection().files()
    said = {}
    try:
        world.start()
        for number in range(6):
            stage.put(f"{number}.csv", f"n\n{number}\n")
        world.until(lambda: bad_platform.asked["ingest"] >= 6, "every answer was given")
        stage.until_waits("403")
        for page in ("", "status", "metrics", "healthz", "readyz"):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=10) as answer:
                    said[f"page /{page}"] = answer.read()
            except urllib.error.HTTPError as error:
                said[f"page /{page}"] = error.read()
        assert b"push_agent" in said["page /metrics"]
        for words in (
            ("status",),
            ("status", "--output", "json"),
            ("auth", "status"),
            ("dead", "list"),
            ("dead", "show", "1"),
        ):
            done = world.run(*words)
            said[" ".join(words)] = (done.stdout + done.stderr).encode()
        assert b"400" in said["dead list"]
        world.kill()
        said.update(
            {
                f"state {path.name} after a kill": path.read_bytes()
                for path in world.state.rglob("*")
                if path.is_file()
            }
        )
        world.start()
        world.stop()
    finally:
        world.close()
    said.update(
        {f"state {path.name}": path.read_bytes() for path in world.state.rglob("*") if path.is_file()}
    )
    said["log"] = world.log.read_bytes()
    said.update({path.name: path.read_bytes() for path in stage.drop.rglob("*") if path.is_file()})
    assert bad_platform.pairs >= 2
    assert bad_platform.asked["refresh"] >= 2
    found = [
        f"{name} in {place}: …{content[max(0, content.index(form) - 60) : content.index(form)]!r}"
        for name, secret in bad_platform.secrets.items()
        for form in forms_of(secret)
        for place, content in said.items()
        if form in content
    ]
    assert found == []
