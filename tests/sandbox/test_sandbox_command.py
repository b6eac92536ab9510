from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from agent.commands.sandbox import _read_password

COMMAND = [sys.executable, "-m", "agent", "sandbox"]
ROOT = Path(__file__).parents[2]


@contextmanager
def running(*arguments):
    process = subprocess.Popen(
        [*COMMAND, "--listen", "127.0.0.1:0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def post(url, **form):
    with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode()) as answer:
        return json.load(answer)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_when_it_is_ready_and_ends_on_a_signal(number):
    with running("--output", "json", "--username", "me") as process:
        ready = json.loads(process.stdout.readline())
        assert (ready["event"], ready["pid"], ready["username"]) == ("ready", process.pid, "me")
        password_file = Path(ready["password_file"])
        assert password_file.stat().st_mode & 0o077 == 0
        password = password_file.read_text().strip()
        assert (
            post(ready["auth_url"] + "/auth/password", username="me", password=password)["token_type"]
            == "bearer"
        )
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out)["logins"] == 1
    assert not password_file.parent.exists()


def test_it_prints_a_connection_to_copy_and_a_summary_but_no_password(tmp_path):
    file = tmp_path / "password"
    with running(
        "--password-file", str(file), "--record", str(tmp_path / "in"), "--token-life", "30"
    ) as process:
        text = ""
        while "accepts:" not in text:
            text += process.stdout.readline()
        connection = yaml.safe_load(text[text.index("connection: ") :])
        assert connection["auth"]["password"] == {"file": str(file)}
        password = file.read_text().strip()
        pair = post(connection["auth"]["url"] + "/auth/password", username="demo", password=password)
        assert pair["expires_in"] == 30
        process.terminate()
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert "Ended after 1 requests with 0 records: 1 logins (0 failed)" in out
    assert password not in text + out
    assert str(tmp_path / "in" / "requests.jsonl") in text
    assert len((tmp_path / "in" / "requests.jsonl").read_text().splitlines()) == 1


def test_a_password_file_that_is_there_is_used(tmp_path):
    file = tmp_path / "password"
    file.write_text("chosen by hand\n")
    file.chmod(0o600)
    assert _read_password(file) == "chosen by hand"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--listen", "0.0.0.0:0"], 2, "loopback only"),
        (["--listen", "9400"], 2, "ADDRESS:PORT"),
        (["--listen", "127.0.0.1:70000"], 2, "ADDRESS:PORT"),
        (["--password-file", "OPEN"], 78, "can be read by others"),
        (["--password-file", "EMPTY"], 78, "is empty"),
        (["--listen", "127.0.0.1:TAKEN"], 1, "cannot serve on"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_sentence(tmp_path, arguments, code, words):
    for name, mode, text in (("OPEN", 0o644, "x"), ("EMPTY", 0o600, "\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = [str(tmp_path / word) if word in ("OPEN", "EMPTY") else word for word in arguments]
        given = [word.replace("TAKEN", str(taken.getsockname()[1])) for word in given]
        done = subprocess.run([*COMMAND, *given], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "hint:" in done.stderr


def test_help_shows_examples():
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "push-agent sandbox --listen 127.0.0.1:0" in done.stdout
