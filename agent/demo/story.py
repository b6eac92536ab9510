"""The story: what a user would do and see on the first day, as steps that must really happen.

validate · start · planning · positions · devices · expiry · new-job · broken-file · stop

Each step does something from outside (drops a file, asks the control socket, stops the process) and
then looks at what the sandbox received. A step that does not happen in time ends the demo.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from agent.demo import folder as files
from agent.demo.daemon import DaemonProcess
from agent.demo.folder import DemoFolder
from agent.errors import AgentError, ControlError
from agent.sandbox import ThreadSandbox
from agent.sandbox.state import State
from agent.web.client import call_and_wait

_OK = 200
_POSITIONS = 400
_BAD_LINE = 7
# Seconds that one step may take: many times what it needs, for machines that are busy.
_PATIENCE = 25.0
_BEAT = 0.03


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One thing that happened."""

    name: str
    title: str
    result: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What came of it all."""

    steps: tuple[Step, ...]
    seconds: float
    requests: int
    """To target APIs, sign-in not included."""
    records: int
    """Taken in by the target APIs."""
    logins: int
    refreshes: int
    refused: tuple[str, ...]
    """What was refused and why: files of the config, records."""


class Screen(Protocol):
    """Where the story is shown."""

    def begin(self, title: str) -> None:
        """A step begins."""

    def progress(self, text: str) -> None:
        """How far the step is."""

    def done(self, step: Step) -> None:
        """The step has happened."""


def tell_story(folder: DemoFolder, daemon: DaemonProcess, sandbox: ThreadSandbox, screen: Screen) -> Summary:
    """Do all steps. Raises AgentError, with the end of the daemon's log, when one does not happen."""
    story = _Story(folder, daemon, sandbox, screen)
    began = time.monotonic()
    steps = []
    for name, title, do in story.steps():
        screen.begin(title)
        start = time.monotonic()
        try:
            result = do()
        except (AgentError, subprocess.TimeoutExpired) as error:
            raise _did_not_happen(title, error, daemon) from error
        steps.append(Step(name=name, title=title, result=result, seconds=time.monotonic() - start))
        screen.done(steps[-1])
    state = sandbox.state()
    return Summary(
        steps=tuple(steps),
        seconds=time.monotonic() - began,
        requests=_requests(state),
        records=sum(state.records.values()),
        logins=state.logins,
        refreshes=state.refreshes,
        refused=tuple(story.refused),
    )


class _Story:
    def __init__(
        self, folder: DemoFolder, daemon: DaemonProcess, sandbox: ThreadSandbox, screen: Screen
    ) -> None:
        self._folder = folder
        self._daemon = daemon
        self._sandbox = sandbox
        self._screen = screen
        self.refused: list[str] = []

    def steps(self) -> tuple[tuple[str, str, Callable[[], str]], ...]:
        """The story: word, title, what to do."""
        return (
            ("validate", "Check the config", self._validate),
            ("start", "Start the daemon", self._start),
            ("planning", "Push whole files as they are dropped", self._planning),
            ("positions", "Push a CSV, one request per record, in order", self._positions),
            ("devices", "Run a job now", self._devices),
            ("expiry", "Survive a token that ends early", self._expiry),
            ("new-job", "Add a job by dropping a YAML file", self._new_job),
            ("broken-file", "Refuse a broken file while all else goes on", self._broken_file),
            ("stop", "Stop cleanly (SIGTERM)", self._stop),
        )

    # ------------------------------------------------------------------------------ the steps

    def _validate(self) -> str:
        return self._command("validate", "--strict").strip()

    def _start(self) -> str:
        self._daemon.start()
        self._until(self._answers, "the daemon answers")
        jobs = self._status()["config"]["jobs"]
        return f"ready with {jobs} jobs"

    def _planning(self) -> str:
        days = [("monday", "2026-10-26", 3), ("tuesday", "2026-10-27", 5), ("wednesday", "2026-10-28", 8)]
        dropped = {f"{name}.csv": files.planning(day, trips) for name, day, trips in days}
        paths = [self._folder.drop(f"planning/{name}", content) for name, content in dropped.items()]
        self._until(lambda: self._answered("planning") == len(paths), "every planning file is delivered")
        bodies = [row.body.plain for row in self._sandbox.requests("planning")]
        self._expect(bodies == list(dropped.values()), "the files arrive byte for byte, oldest first")
        moved = [path.parent / "done" / path.name for path in paths]
        self._until(lambda: all(path.exists() for path in moved), "the files are moved to done/")
        login = "signed in once" if self._sandbox.state().logins == 1 else "signed in more than once"
        return f"{len(paths)} files arrived byte for byte, moved to done/; {login}"

    def _positions(self) -> str:
        content, times = files.positions(_POSITIONS, bad_line=_BAD_LINE)
        self._folder.drop("gps/positions.csv", content)

        def arrived() -> bool:
            count = self._answered("otm5")
            self._screen.progress(f"{count} of {_POSITIONS}")
            return count >= _POSITIONS

        self._until(arrived, "every position is delivered")
        rows = [row for row in self._sandbox.requests("otm5") if row.status == _OK]
        got = [json.loads(row.body.plain or b"{}")["creationDate"] for row in rows]
        self._expect(got == times, "every position arrives once, in the order of the file")
        letters = self._dead("gps-csv")
        self.refused += [f"{letter['origin']}: {letter['answer']['reason']}" for letter in letters]
        return f"{len(got)} requests in the order of the file; {len(letters)} bad line set aside"

    def _devices(self) -> str:
        content, ids = files.devices()
        self._folder.drop("fleet/devices.csv", content)
        self._command("push", "tracking-devices")
        self._until(lambda: len(self._sandbox.devices()) == len(ids), "every device is delivered")
        got = [device["externalDeviceId"] for device in self._sandbox.devices()]
        self._expect(got == ids, "the devices keep their ids, leading zeros and all")
        return f"{len(got)} devices; {got[0]} is still {got[0]}"

    def _expiry(self) -> str:
        before = self._sandbox.state()
        self._sandbox.expire()
        self._deliver_planning("thursday", "2026-10-29")
        after = self._sandbox.state()
        self._expect(after.unauthorized == before.unauthorized + 1, "the old token meets one 401")
        self._expect(after.refreshes == before.refreshes + 1, "one refresh heals it")
        self._expect(after.logins == before.logins, "no login is needed")
        return "one 401, one refresh, no login; the file arrived"

    def _new_job(self) -> str:
        name = self._folder.add_job()
        self._until(
            lambda: any(job["name"] == name for job in self._status()["jobs"]), "the new job is running"
        )
        before = self._answered("planning")
        self._folder.drop("minimal/first.csv", files.planning("2026-10-30", 2))
        self._until(lambda: self._answered("planning") == before + 1, "the file of the new job is delivered")
        return f"{name} runs without a restart; its first file arrived"

    def _broken_file(self) -> str:
        file = self._folder.add_broken_job()
        self._until(lambda: self._rejected(file), "the broken file is refused")
        message = self._rejected(file)
        self.refused.append(message)
        self._deliver_planning("saturday", "2026-10-31")
        return message + "\nand the next planning file arrived"

    def _stop(self) -> str:
        code = self._daemon.stop(_PATIENCE)
        self._expect(code == 0, f"the daemon stops with exit code 0, not {code}")
        return "nothing in flight was cut off"

    # ------------------------------------------------------------------------------ looking

    def _deliver_planning(self, name: str, day: str) -> None:
        before = self._answered("planning")
        self._folder.drop(f"planning/{name}.csv", files.planning(day, 4))
        self._until(lambda: self._answered("planning") == before + 1, f"{name}.csv is delivered")

    def _answered(self, endpoint: str) -> int:
        return self._sandbox.state().answered(endpoint, _OK)

    def _answers(self) -> bool:
        try:
            return bool(call_and_wait(self._folder.state, "ping", {}, timeout=_PATIENCE))
        except ControlError:
            return False

    def _status(self) -> dict[str, Any]:
        return call_and_wait(self._folder.state, "status", {}, timeout=_PATIENCE)

    def _dead(self, job: str) -> list[dict[str, Any]]:
        letters: list[dict[str, Any]] = json.loads(
            self._command("dead", "list", "--job", job, "--output", "json")
        )
        return letters

    def _rejected(self, file: str) -> str:
        """What is wrong with the file as the daemon says it; empty while nothing is."""
        lines = []
        for one in self._status()["config"]["rejected"]:
            if one["file"].endswith(file):
                for problem in one["problems"]:
                    place = f"{file}:{problem['line']}:{problem['column']}"
                    lines.append(f"{place}: {problem['path']}: {problem['message']}")
                    lines += [f"hint: {problem['hint']}"] if problem["hint"] else []
        return "\n".join(lines)

    def _command(self, *words: str) -> str:
        """A command that must succeed; what it prints."""
        done = self._daemon.command(*words, within=_PATIENCE)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise AgentError(f"push-agent {words[0]} ended with exit code {done.returncode}: {said}")
        return done.stdout

    def _until(self, ready: Callable[[], object], what: str) -> None:
        end = time.monotonic() + _PATIENCE
        while not ready():
            self._daemon.alive()
            if time.monotonic() > end:
                raise AgentError(f"it took longer than {_PATIENCE:.0f} s until {what}")
            time.sleep(_BEAT)

    def _expect(self, holds: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
        if not holds:
            raise AgentError(f"it is not so that {what}")


def _requests(state: State) -> int:
    return sum(
        sum(counts.values()) for name, counts in state.requests.items() if name not in {"login", "refresh"}
    )


def _did_not_happen(title: str, error: Exception, daemon: DaemonProcess) -> AgentError:
    words = error.message if isinstance(error, AgentError) else "a command took too long"
    tail = "".join(f"\n  {line}" for line in daemon.last_words())
    log = f"\nthe end of the daemon's log:{tail}" if tail else ""
    return AgentError(
        f"the demo stopped at '{title}': {words}{log}",
        hint="push-agent demo --keep keeps its folder, with the whole log, to look at",
    )
