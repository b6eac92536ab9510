"""The daemon as a process of the demo: started, asked, stopped, never left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict

from agent.demo.folder import DemoFolder, examples
from agent.errors import AgentError

# What a service manager tells its own services; this daemon is not one of them.
_NOT_OURS = (
    "CREDENTIALS_DIRECTORY",
    "JOURNAL_STREAM",
    "NOTIFY_SOCKET",
    "PUSH_AGENT_CONFIG",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
)
_TAIL = 12
# A stop lets requests in flight end; the sandbox answers at once.
_STOP = 10.0


class _Surroundings(TypedDict):
    cwd: Path
    env: dict[str, str]


class DaemonProcess:
    """`push-agent run` on the demo's folder; leaving the `with` ends it, at worst by force."""

    def __init__(self, folder: DemoFolder) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def start(self) -> None:
        """Start it; what it says goes to the log of the folder."""
        with self._folder.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                self._words("run"), stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._surroundings()
            )

    def alive(self) -> bool:
        """Whether it runs. Raises AgentError when it ended by itself."""
        if self._process is None:
            return False
        if self._process.poll() is not None:
            raise AgentError(f"the daemon ended by itself with exit code {self._process.returncode}")
        return True

    def stop(self, within: float) -> int | None:
        """SIGTERM, as a service manager does it; its exit code, None when it takes longer."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            return None

    def command(self, *words: str, within: float) -> subprocess.CompletedProcess[str]:
        """One more `push-agent WORD …` on the same folder."""
        return subprocess.run(  # noqa: S603 - our own program
            self._words(*words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
            **self._surroundings(),
        )

    def last_words(self) -> list[str]:
        """The end of its log, readable."""
        try:
            lines = self._folder.log.read_text("utf-8", "replace").splitlines()
        except OSError:
            return []
        return [_readable(line) for line in lines[-_TAIL:]]

    def _words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "agent", *words, "--config", str(self._folder.config)]

    def _surroundings(self) -> _Surroundings:
        # `-m` looks into the working directory first: it must be a place that is ours.
        found = examples()
        checkout = isinstance(found, Path) and found.parent == Path(__file__).parents[2]
        environment = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
        return {"cwd": Path(__file__).parents[2] if checkout else self._folder.root, "env": environment}


def _readable(line: str) -> str:
    """One JSON line of the log for a person."""
    try:
        fields = json.loads(line)
        time, level, _, event = (str(fields.pop(key)) for key in ("time", "level", "logger", "event"))
    except (ValueError, KeyError, AttributeError):
        return line
    rest = "  ".join(f"{key}={value}" for key, value in fields.items())
    return f"{time[11:19]} {level:<7} {event}  {rest}".rstrip()
