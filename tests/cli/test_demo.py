"""`push-agent demo`: the story really happens, is told for people and for programs, and leaves nothing."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.commands.demo_screen import PlainScreen
from agent.demo import story, tell_story
from agent.demo.daemon import DaemonProcess
from agent.demo.folder import SECRETS, DemoFolder
from agent.errors import AgentError
from agent.sandbox import Fault, sandbox_in_thread
from tests.support.world import ROOT

COMMAND = [sys.executable, "-m", "agent", "demo"]
STEPS = [
    "validate",
    "start",
    "planning",
    "positions",
    "devices",
    "expiry",
    "new-job",
    "broken-file",
    "stop",
]
MESSAGE = """\
jobs/broken.yaml:6:1: shedule: there is no such key here
hint: did you mean schedule?"""


def processes_with(text):
    """The command lines of all processes that mention `text`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where the demo makes its folder; nothing may be left in it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_the_story_happens_and_leaves_nothing(temporary):
    done = subprocess.run([*COMMAND], cwd=ROOT, capture_output=True, text=True, timeout=55, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("✔ ") == len(STEPS)
    assert "400 requests in the order of the file; 1 bad line set aside" in done.stdout
    assert "one 401, one refresh, no login; the file arrived" in done.stdout
    assert 'positions.csv line 7: column lat: "north" is not a DOUBLE' in done.stdout
    for line in MESSAGE.splitlines():
        assert line in done.stdout
    assert "It works: 412 requests with 457 records, 1 login, 1 refresh, in " in done.stdout
    assert "\x1b" not in done.stdout
    assert list(temporary.iterdir()) == []
    assert processes_with(str(temporary)) == []


def test_keep_leaves_a_folder_to_look_around_in_and_json_is_for_programs(temporary, call):
    command = [*COMMAND, "--keep", "--output", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["ok"] is True
    assert [step["name"] for step in summary["steps"]] == STEPS
    assert (summary["requests"], summary["logins"], summary["refreshes"]) == (412, 1, 1)
    assert len(summary["refused"]) == 2
    assert MESSAGE in summary["refused"][1]
    kept = Path(summary["folder"])
    assert kept.parent == temporary
    assert done.stderr == f"kept: {kept}\n"
    where = ("--config", kept / "config")
    assert call("validate", *where)[0] == 78  # the broken file is still there
    assert "1 dead letter" in call("status", *where)[1]
    for line in summary["next"][:3]:
        assert call(*line.split()[1:])[0] == 0, line
    password = (kept / "config/secrets" / SECRETS[1]).read_text()
    assert password
    assert password not in done.stdout + done.stderr + (kept / "daemon.log").read_text()
    assert processes_with(str(temporary)) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def test_an_interrupted_demo_leaves_nothing_running(temporary, number):
    process = subprocess.Popen(COMMAND, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    while "Start the daemon" not in line:
        assert line, process.stderr.read()
        line = process.stdout.readline()
    assert processes_with(str(temporary))
    process.send_signal(number)
    process.send_signal(number)  # somebody in a hurry
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, out + err
    assert "Traceback" not in err
    assert list(temporary.iterdir()) == []
    assert processes_with(str(temporary)) == []


def test_on_a_terminal_the_steps_appear_as_they_happen(temporary):
    screen, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(
        COMMAND, cwd=ROOT, env=environment, stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    seen, end = b"", time.monotonic() + 55
    while time.monotonic() < end:
        if not select.select([screen], [], [], 1)[0]:
            continue
        try:
            seen += os.read(screen, 65536)
        except OSError:  # the other end is closed
            break
    os.close(screen)
    assert process.wait(timeout=10) == 0
    text = seen.decode()
    assert "\x1b[" in text
    assert " of 400" in text
    assert "✔" in text
    assert "It works: " in text


def test_without_a_terminal_rich_is_not_even_imported():
    code = "import sys\nfrom agent.commands import demo, demo_screen\nimport agent.demo\n"
    code += "with demo_screen.screen(quiet=False, live=False): pass\nprint('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


class Steps(PlainScreen):
    """Counts what was shown."""

    def __init__(self):
        self.names = []

    def done(self, step):
        self.names.append(step.name)


def test_a_step_that_does_not_happen_in_time_ends_the_demo_with_the_end_of_the_log(tmp_path, monkeypatch):
    class Hurried(Steps):
        """Patient until the daemon runs, then no more."""

        def done(self, step):
            super().done(step)
            if step.name == "start":
                monkeypatch.setattr(story, "_PATIENCE", 2.0)

    folder, screen = DemoFolder(tmp_path), Hurried()
    with sandbox_in_thread() as sandbox:
        folder.make(
            auth_url=sandbox.auth_url,
            endpoints=sandbox.endpoints,
            user=sandbox.settings.username,
            password=sandbox.settings.password,
        )
        sandbox.add_faults(Fault(on="planning", answer=503))
        with DaemonProcess(folder) as daemon, pytest.raises(AgentError) as caught:
            tell_story(folder, daemon, sandbox, screen)
    assert screen.names == ["validate", "start"]
    assert caught.value.exit_code == 1
    message = caught.value.message
    assert message.startswith(
        "the demo stopped at 'Push whole files as they are dropped': it took longer than 2 s until every "
        "planning file is delivered\nthe end of the daemon's log:\n"
    )
    assert "a lane waits" in message
    assert "503" in message
    assert "--keep" in caught.value.hint
    assert processes_with(str(tmp_path)) == []


def test_a_daemon_that_ends_by_itself_is_noticed_at_once(tmp_path):
    folder = DemoFolder(tmp_path)
    with sandbox_in_thread() as sandbox:
        folder.make(auth_url=sandbox.auth_url, endpoints=sandbox.endpoints, user="demo", password="x" * 9)
        folder.state.write_text("in the way")
        with DaemonProcess(folder) as daemon, pytest.raises(AgentError, match="ended by itself"):
            tell_story(folder, daemon, sandbox, Steps())


def test_the_examples_are_those_of_the_wheel_where_there_is_one(tmp_path):
    package = tmp_path / "agent"
    shutil.copytree(ROOT / "agent", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "examples", package / "examples")
    shutil.copytree(ROOT / "schemas", package / "schemas")
    code = "from agent.demo.folder import examples; print(examples())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{package / 'examples'}\n"
