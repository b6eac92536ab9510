"""No password and no token is to be found anywhere, whatever fails, at the chattiest log level."""

from __future__ import annotations

import contextlib
import json
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


RECEIPT = "receipt: {keys: [=n]}\n"
REPLY = ", reply: {items: /results, match: position, error: /error}"
BAD = {"2", "5"}


class Parrot(Platform):
    """Refuses some records, by a no to their batch or within a success; whatever it says holds the token."""

    def answer(self, path, body, number):
        if "/auth/" in path:
            return super().answer(path, body, number)
        self.asked["ingest"] += 1
        said = f"you came with {self.server.seen[number - 1][1].get('Authorization', '')}"
        numbers = [record["n"] for record in json.loads(body)]
        if self.asked["ingest"] == 2:
            return 401, {"error": said}, {}
        if path.endswith("-items"):
            results = [{"error": said} if n in BAD else {"said": said} for n in numbers]
            return 200, {"results": results, "said": said}, {"X-Said": said}
        if BAD & set(numbers):
            return 422, {"error": said}, {"X-Said": said}
        return 200, {"said": said}, {"X-Said": said}


@pytest.fixture
def parrot():
    platform = Parrot()
    yield platform
    platform.server.close()


def letter_of(stage):
    """The number of the newest one."""
    letters = stage.world.run("dead", "list", "--job", stage.name, "--output", "json").stdout
    return str(json.loads(letters)[0]["id"])


def read(scan, stage, *form):
    """What tells of what was sent and of what was refused."""
    scan.run("find", "3", *form, told="200")
    scan.run("find", "2", *form, told="422")
    scan.run("history", stage.name, *form, told="done")
    scan.run("status", *form, told=stage.name)
    scan.run("dead", "list", *form, told="422")
    scan.run("dead", "show", letter_of(stage), *form, told="you came with")


def acted(scan, stage, folder):
    """The letters stay, and so does what waits."""
    assert scan.run("dead", "export", "--all", "--to", str(folder)) == 0
    scan.files(folder, "exported")
    assert scan.run("dead", "export", "--all", "--output", "ndjson", told="you came with") == 0
    assert scan.run("pause", stage.name, "--delivering", "--reason", "a look") == 0
    assert scan.run("resume", stage.name) == 0
    assert scan.run("drain", "--resume", "--output", "json") == 0


@pytest.mark.timeout(150)  # some thirty processes, one after the other
def test_sec_03_no_secret_is_in_dead_letters_receipts_and_what_is_told_of_them(tmp_path, parrot):
    world = World(tmp_path / "world", parrot.server.url)
    (world.config / "connections/platform.yaml").unlink()
    world.secret("password", PASSWORD)
    port = free_port()
    (world.config / "agent.yaml").write_text(f'log: {{level: debug}}\nweb: {{listen: "127.0.0.1:{port}"}}\n')

    class Nowhere:
        url = parrot.server.url

    stage = Stage(world, Nowhere, "letters")
    items = f"{stage.name}-items"
    stage.connection(endpoints={"items": f"{parrot.server.url}/ingest/{items}"})
    stage.records().records(items, endpoint="items", folder="items", target=REPLY)
    for job in (stage.name, items):
        path = world.config / f"jobs/{job}.yaml"
        path.write_text(path.read_text() + RECEIPT)
    stage.numbers(8)
    stage.put("1.csv", "n\n" + "".join(f"{n}\n" for n in range(8)), folder="items")
    scan = Scan(world)
    try:
        world.start()
        for job in (stage.name, items):
            world.until(lambda job=job: stage.status(job)["dead"] == 2, "two of each are refused")
            world.until(
                lambda job=job: stage.status(job)["waiting_messages"] == 0, "all others are delivered"
            )
        read(scan, stage)
        acted(scan, stage, tmp_path / "letters")
        letter = letter_of(stage)
        body = world.folder / "body.json"
        body.write_text('[{"n":"20"}]')
        assert scan.run("dead", "edit", letter, "--body", str(body)) == 0
        assert scan.run("dead", "retry", "--all", "--yes") == 0
        world.until(lambda: stage.status()["dead"] == 1, "the edited one is delivered")
        for page in ("", "status", "metrics", "readyz"):
            scan.page(port, page)
        scan.processes("at work")
        world.kill()
        scan.files(world.state, "after a kill")
        read(scan, stage, "--output", "json")
        assert scan.run("drain", "--resume") == 0
        assert scan.run("dead", "drop", "--all", "--yes") == 0
    finally:
        world.close()
    scan.files(world.state, "at the end")
    scan.files(stage.drop, "at the end")
    scan.said["log"] = world.log.read_bytes()
    assert parrot.pairs >= 2
    assert scan.found(parrot.secrets) == []
