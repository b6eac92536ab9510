"""No password and no token is to be found anywhere, whatever fails, at the chattiest log level."""

from __future__ import annotations

import contextlib
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.support.forms import forms_of
from tests.support.stage import Scripted, Stage, free_port
from tests.support.world import World

PASSWORD = "canary/pass+word==&%of the-world"
WRONG = "canary/wrong+pass==&%of the-world"


class Platform:
    """Auth API and target in one, as bad as can be: each refusal repeats what it was sent."""

    def __init__(self):
        self.secrets = {"password": PASSWORD, "wrong password": WRONG}
        self.pairs = 0
        self.good = ""
        self.asked = {"login": 0, "refresh": 0, "logout": 0, "ingest": 0}
        self.server = Scripted(self.answer)

    def answer(self, path, body, number):
        form = dict(urllib.parse.parse_qsl(body.decode())) if "/auth/" in path else {}
        echo = {"error": f"you sent {body.decode()} as {form}"}
        word = path.rsplit("/", 1)[-1]
        if word == "password":
            self.asked["login"] += 1
            if form.get("password") != PASSWORD:
                return 401, echo, {}
            return (503, echo, {}) if self.asked["login"] == 1 else (200, self.pair(), {})
        if word == "logout":
            self.asked["logout"] += 1
            return 503 if self.asked["logout"] % 2 else 200, echo, {}
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


@pytest.fixture
def bad_platform():
    platform = Platform()
    yield platform
    platform.server.close()


class Scan:
    """Everything that an agent leaves or says, by place."""

    def __init__(self, world):
        self.world = world
        self.said = {}

    def page(self, port, page):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=10) as answer:
                self.said[f"page /{page}"] = answer.read()
        except urllib.error.HTTPError as error:
            self.said[f"page /{page}"] = error.read()

    def run(self, *words, told=""):
        """Run a command and keep what it said; its exit code."""
        done = self.world.run(*words)
        text = done.stdout + done.stderr
        assert "Traceback" not in text
        assert told in text
        self.said[f"{' '.join(words)} ({len(self.said)})"] = text.encode()
        return done.returncode

    def processes(self, when):
        """Arguments and environment of the daemon and of all that it started."""
        pids = {self.world.daemon.pid}
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        while more := {pid for pid, parent in parents.items() if parent in pids} - pids:
            pids |= more
        for pid in pids:
            for name in ("cmdline", "environ"):
                with contextlib.suppress(OSError):
                    self.said[f"{name} of {pid} {when}"] = Path(f"/proc/{pid}/{name}").read_bytes()
        assert b"agent" in self.said[f"cmdline of {self.world.daemon.pid} {when}"]

    def files(self, folder, when):
        """Every file below it."""
        for path in folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    self.said[f"{path.relative_to(folder)} in {folder.name} {when}"] = path.read_bytes()

    def found(self, secrets):
        """Each secret, and where it stands."""
        return [
            f"{name} in {place}: …{content[max(0, content.index(form) - 60) : content.index(form)]!r}"
            for name, secret in secrets.items()
            for form in forms_of(secret)
            for place, content in self.said.items()
            if form in content
        ]


def by_hand(scan, world, name, when):
    """All that a person may ask of the sign-in, with its failures."""
    scan.run("auth", "refresh", name)
    assert scan.run("auth", "login", name, told="generation") == 0
    world.secret("password", WRONG)
    assert scan.run("auth", "login", name, told="the login was refused") == 75
    world.secret("password", PASSWORD)
    assert scan.run("auth", "rekey", told="sealed with it") == 0
    scan.files(world.state, f"{when} after a rekey")
    assert scan.run("auth", "forget", name, told="the tokens are erased") == 0
    scan.files(world.state, f"{when} after forget")
    assert scan.run("auth", "login", name, "--output", "json") == 0
    scan.run("auth", "status", name, told=name)


@pytest.mark.timeout(180)  # some thirty processes, one after the other
def test_sec_03_04_06_no_secret_is_in_state_logs_pages_or_what_commands_say(tmp_path, bad_platform):
    world = World(tmp_path / "world", bad_platform.server.url)
    (world.config / "connections/platform.yaml").unlink()
    world.secret("password", PASSWORD)
    port = free_port()
    (world.config / "agent.yaml").write_text(f'log: {{level: debug}}\nweb: {{listen: "127.0.0.1:{port}"}}\n')

    class Nowhere:
        url = bad_platform.server.url

    stage = Stage(world, Nowhere, "secrets")
    stage.connection(more="  logout_path: /auth/logout").files()
    scan = Scan(world)
    try:
        world.start()
        for number in range(6):
            stage.put(f"{number}.csv", f"n\n{number}\n")
        world.until(lambda: bad_platform.asked["ingest"] >= 6, "every answer was given")
        stage.until_waits("403")
        for page in ("", "status", "metrics", "healthz", "readyz"):
            scan.page(port, page)
        assert b"push_agent" in scan.said["page /metrics"]
        scan.run("status", "--output", "json")
        scan.run("dead", "list", told="400")
        scan.run("dead", "show", "1")
        scan.run("status")
        scan.run("auth", "status", "--output", "json", told=stage.name)
        scan.processes("at work")
        by_hand(scan, world, stage.name, "with the daemon")
        for page in ("status", "metrics"):
            scan.page(port, page)
        scan.processes("after all was asked")
        world.kill()
        scan.files(world.state, "after a kill")
        by_hand(scan, world, stage.name, "without the daemon")
        world.start()
        world.stop()
    finally:
        world.close()
    scan.files(world.state, "at the end")
    scan.files(stage.drop, "at the end")
    scan.said["log"] = world.log.read_bytes()
    assert bad_platform.pairs >= 4
    assert bad_platform.asked["refresh"] >= 4
    assert bad_platform.asked["logout"] >= 2
    assert scan.found(bad_platform.secrets) == []
