"""A whole small world for end-to-end tests: config folder, drop folder, sandbox and the real daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from agent.web.control import call_and_wait
from tests.support.processes import unmeasured
from tests.support.spoken import speak

ROOT = Path(__file__).parents[2]

CONNECTION = """\
connection: platform
type: http
auth:
  type: password
  url: {url}/api/v1
  username: {{secret: user}}
  password: {{secret: password}}
endpoints:
  planning: {url}/trips/insertOrUpdate
  otm5: {url}/otm5/realisation
  devices: {url}/devices
  ingest: {url}/ingest/positions
accepts: {{gzip: true}}
"""


def ask(url, method="GET", body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data=data, method=method, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text else None


class SandboxProcess:
    """`push-agent sandbox` as a process of its own, so that a killed daemon does not take it along."""

    def __init__(self, folder, *options):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        password = folder / "password"
        password.write_text("password-of-the-world")
        password.chmod(0o600)
        self.record = folder / "record"
        self._forgotten = 0
        command = [sys.executable, "-m", "agent", "sandbox", "--listen", "127.0.0.1:0", "--output", "json"]
        command += [
            "--username",
            "demo",
            "--password-file",
            str(password),
            "--record",
            str(self.record),
            *options,
        ]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=unmeasured()
        )
        self.url = json.loads(self.process.stdout.readline())["url"]

    def state(self):
        return ask(f"{self.url}/_sandbox/state")

    def requests(self, endpoint=""):
        return ask(f"{self.url}/_sandbox/requests?endpoint={endpoint}")

    def faults(self, *faults):
        return ask(f"{self.url}/_sandbox/faults", "POST", list(faults))

    def no_faults(self):
        return ask(f"{self.url}/_sandbox/faults", "DELETE")

    def expire(self):
        return ask(f"{self.url}/_sandbox/expire", "POST", {})

    def reset(self):
        """Forget requests, counts and faults; tokens stay good."""
        self._forgotten += len(self.recorded())
        return ask(f"{self.url}/_sandbox/reset", "POST", {})

    def recorded(self):
        """Every request since the last reset that it has processed, in order, with its body."""
        lines = []
        for path in sorted(self.record.rglob("*.jsonl")):
            lines += path.read_text().splitlines()
        return [json.loads(line) for line in lines[self._forgotten :]]

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=10)
        self.process.stdout.close()


class World:
    """Files in, requests out. `daemon` is a real process; `kill()` is SIGKILL."""

    def __init__(self, folder: Path, url: str):
        self.folder = folder
        self.config = folder / "config"
        self.state = folder / "state"
        self.drop = folder / "drop"
        self.log = folder / "log"
        self.log_start = 0
        self.patience = 30
        """Seconds that `until` waits, where the test does not say."""
        self.measured = True
        """Whether the coverage of its daemons counts; one that is killed has none."""
        self.daemon = None
        for one in ("connections", "jobs", "secrets"):
            (self.config / one).mkdir(parents=True)
        self.drop.mkdir()
        self.secret("user", "demo")
        self.secret("password", "password-of-the-world")
        (self.config / "agent.yaml").write_text("web: {listen: off}\n")
        (self.config / "connections/platform.yaml").write_text(CONNECTION.format(url=url))

    def secret(self, name, value):
        path = self.config / "secrets" / name
        path.write_text(value)
        path.chmod(0o600)

    def job(self, name, text):
        path = self.config / "jobs" / f"{name}.yaml"
        fresh = path.with_suffix(".tmp")
        fresh.write_text(text)
        fresh.rename(path)

    def run(self, *arguments, check=None):
        """One command of the command line, with this world's config and state; spoken in this process."""
        done = speak(*arguments, "--config", self.config, "--state", self.state)
        if check is not None:
            assert done.returncode == check, (
                f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.logged()}"
            )
        return done

    def run_alone(self, *arguments):
        """The same as a process of its own: for what a process must show."""
        where = ["--config", str(self.config), "--state", str(self.state)]
        command = [sys.executable, "-m", "agent", *arguments, *where]
        return subprocess.run(command, capture_output=True, text=True, timeout=50, cwd=ROOT, check=False)

    def start(self, *, wait=True):
        command = [
            sys.executable,
            "-m",
            "agent",
            "run",
            "--config",
            str(self.config),
            "--state",
            str(self.state),
        ]
        environment = {**(os.environ if self.measured else unmeasured()), "PYTHONUNBUFFERED": "1"}
        self.log_start = len(self.logged())
        with self.log.open("a") as log:
            self.daemon = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=environment)
        if wait:
            self.until(self.ready, "the daemon is ready")

    def ready(self):
        assert self.daemon.poll() is None, f"the daemon ended with {self.daemon.returncode}\n{self.logged()}"
        return "ready" in self.logged_since_start()

    def logged_since_start(self):
        return self.logged()[self.log_start :]

    def logged(self):
        return self.log.read_text() if self.log.exists() else ""

    def events(self, event):
        """What the daemon logged under this event."""
        lines = [json.loads(line) for line in self.logged().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def status(self):
        return json.loads(self.run("status", "--output", "json", check=0).stdout)

    def job_status(self, name):
        return next(job for job in self.status()["jobs"] if job["name"] == name)

    def live(self, name):
        """What the running daemon itself says of a job; costs no process."""
        snapshot = call_and_wait(self.state, "status", {}, timeout=20)
        return next(job for job in snapshot["jobs"] if job["name"] == name)

    def kill(self):
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait(timeout=10)

    def stop(self, within=20):
        self.daemon.send_signal(signal.SIGTERM)
        assert self.daemon.wait(timeout=within) == 0, self.logged()[-4000:]

    def close(self):
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.terminate()
            try:
                self.daemon.wait(timeout=25)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()

    def until(self, condition, what, seconds=None):
        end = time.monotonic() + (seconds or self.patience)
        while time.monotonic() < end:
            try:
                if result := condition():
                    return result
            except (urllib.error.URLError, ConnectionError):
                pass
            time.sleep(0.05)
        raise AssertionError(f"never happened: {what}\n{self.logged()[-5000:]}")
