"""The processes that a workload starts: the sink, the daemon, a script. Each ends with its `with`."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PATIENCE = 600.0
"""Seconds after which a workload has failed."""


class FailedError(Exception):
    """A workload could not be measured, and why. The others go on."""


class Sink:
    """See `sink.py`. `latency` in seconds; `keep=False`: bodies are not kept, records not counted."""

    def __init__(self, *, latency=0.0, keep=True):
        self.command = [sys.executable, HERE / "sink.py", str(latency), "keep" if keep else "forget"]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        return self

    def count(self):
        with urllib.request.urlopen(self.url + "/count") as answer:
            return json.load(answer)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Daemon:
    """The real one, with its config in `folder/config` and its state in `folder/state`."""

    def __init__(self, folder):
        self.folder, self.config, self.state = folder, folder / "config", folder / "state"
        self.log = folder / "log"
        self.options = ["--config", self.config, "--state", self.state]

    def __enter__(self):
        with self.log.open("w") as log:
            command = [sys.executable, "-m", "agent", "run", *self.options]
            self.started_at = time.time()
            self.process = subprocess.Popen(command, stderr=log, stdout=log, cwd=ROOT)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def until(self, look, *, every=0.1, patience=PATIENCE):
        """What `look()` gives as soon as it is not None."""
        end = time.monotonic() + patience
        while (found := look()) is None:
            if self.process.poll() is not None:
                raise FailedError(f"the daemon ended: {self.log.read_text()[-2000:]}")
            if time.monotonic() > end:
                raise FailedError(f"not done in {patience:.0f} s: {self.log.read_text()[-1000:]}")
            time.sleep(every)
        return found

    def events(self, name):
        """The lines of the log that tell of such an event."""
        lines = self.log.read_text().splitlines()
        return [json.loads(line[line.index("{") :]) for line in lines if f'"event": "{name}"' in line]

    def ready(self):
        """Seconds from the start of the process until it was ready."""
        self.until(lambda: self.events("ready") or None, every=0.01)
        return time.time() - self.started_at

    def ask(self, statement):
        """One row out of the database, read from outside; None while there is none."""
        if not (database := self.state / "state.db").exists():
            return None
        try:
            with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
                return connection.execute(statement).fetchone()
        except sqlite3.OperationalError:
            return None

    def delivered(self, records):
        """Wait until so many records are acked. The daemon's own clock: (first run began, last receipt)."""

        def look():
            row = self.ask("select sum(delivered_records) from jobs")
            return True if row and (row[0] or 0) >= records else self._failed_run()

        self.until(look)
        last = self.ask("select delivered_at from receipts order by id desc limit 1")[0]
        first = self.ask("select min(started_at) from runs")
        return (first[0] if first else None), last

    def _failed_run(self):
        ready = self.events("ready")
        if ready and "rejected" in ready[0].get("change", ""):
            raise FailedError(f"this version cannot run the job: {ready[0]['change']}")
        row = self.ask("select reason from runs where state = 'failed'")
        if row:
            raise FailedError(f"a run failed: {row[0]}")

    def memory(self, name="VmHWM"):
        """MB; VmHWM: the peak, VmRSS: now."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{name}:\s*(\d+)", text)[1]) / 1024

    def cpu(self):
        """Seconds of processor time so far."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def stall(self, port):
        """The longest stall of the event loop in ms, as the metrics page has it."""
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
        found = re.search(r"^push_agent_event_loop_stall_seconds_max (\S+)", text, re.MULTILINE)
        return float(found[1]) * 1000

    def command(self, *words):
        """Run `push-agent words…` beside it; seconds."""
        began = time.perf_counter()
        command([sys.executable, "-m", "agent", *words, *self.options], cwd=ROOT)
        return time.perf_counter() - began


def command(words, **options):
    """Run a command to its end and give what it printed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE, **options)
    if done.returncode:
        raise FailedError(f"{Path(words[0]).name} {words[1]}: {(done.stderr or done.stdout)[-800:].strip()}")
    return done.stdout


def script(name, *arguments, python=sys.executable, **options):
    """Run a script of this folder that prints one JSON line at its end."""
    said = command([python, HERE / name, *(str(one) for one in arguments)], **options)
    return json.loads(said.strip().splitlines()[-1])


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
