"""`push-agent auth check`: what it shows, its exit codes, and that a daemon's session is never doubled."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from tests.support.world import ROOT, World

STEPS = ["config", "secrets", "dns", "tcp", "tls", "http", "sign-in", "call", "call", "call", "call"]


def check(call, world, *more):
    words = ["auth", "check", "platform", "--config", world.config, "--state", world.state, *more]
    code, out, err = call(*words)
    assert err == ""
    assert "password-of-the-world" not in out
    assert "eyJ" not in out
    return code, out


def check_json(call, world, *more):
    code, out = check(call, world, "--output", "json", *more)
    report = json.loads(out)
    assert report["healthy"] == (code == 0)
    return code, report


def step(report, name):
    return next(each for each in report["steps"] if each["step"] == name)


def auth_calls(sandbox):
    state = sandbox.state()
    return state["logins"], state["refreshes"]


# ---------------------------------------------------------------------------------- without a daemon


def test_a_healthy_connection_is_exit_code_0_and_is_told_line_by_line(call, world, sandbox):
    code, out = check(call, world)
    assert code == 0
    lines = out.splitlines()
    assert len(lines) == len(STEPS) + 1
    assert all(line.startswith("✔ ") for line in lines[:-1])
    assert "  secrets: readable: {secret: user}, {secret: password}" in lines[1]
    assert f"  tcp {sandbox.url}: 127.0.0.1:" in lines[3]
    assert "  sign-in: signed in by login: generation 1, good for " in lines[6]
    assert lines[7].endswith(
        f"call {sandbox.url}/trips/insertOrUpdate: 405 Method Not Allowed: "
        "reached; it takes no HEAD, which is usual where data is sent to"
    )
    assert lines[-1] == "good: platform: 11 steps"
    assert auth_calls(sandbox) == (1, 0)
    assert "\x1b" not in out


def test_nothing_is_delivered_and_nothing_but_head_reaches_a_target(call, world, sandbox):
    check(call, world)
    assert {each["method"] for each in sandbox.requests()["requests"] if each["endpoint"] != "login"} == {
        "HEAD"
    }


def test_json_has_each_step_with_its_mark_its_time_and_what_was_found(call, world, sandbox):
    code, report = check_json(call, world, "--refresh")
    assert code == 0
    assert [each["step"] for each in report["steps"]] == [*STEPS[:7], "refresh", *STEPS[7:]]
    assert (report["connection"], report["daemon"]) == ("platform", False)
    assert set(report["steps"][0]) == {"step", "place", "mark", "seconds", "says", "details", "hint", "data"}
    assert step(report, "dns")["data"] == {"addresses": ["127.0.0.1"]}
    assert step(report, "refresh")["data"]["refreshes"] == 1
    assert step(report, "call")["data"] == {"status": 405, "challenge": ""}
    assert auth_calls(sandbox) == (1, 1)


def test_a_wrong_password_is_exit_code_1_and_one_login(call, world, sandbox):
    world.secret("password", "nearly-the-password")
    code, out = check(call, world)
    assert code == 1
    assert "nearly-the-password" not in out
    assert "✘ " in out
    assert "sign-in: connection platform: not signed in: the login was refused: 401" in out
    assert "hint: check username and password" in out
    assert out.splitlines()[-1] == "not well: platform: 7 steps, 1 failed, 4 left out"
    assert auth_calls(sandbox)[0] == 0
    assert len(sandbox.requests("login")["requests"]) == 1


def test_nobody_at_the_address_is_exit_code_1_with_what_to_do(call, folder):
    code, out = check(call, folder)
    assert code == 1
    assert "tcp http://127.0.0.1:9: 127.0.0.1:9: refused: nobody listens there" in out
    assert "hint: check host and port of the URL" in out
    assert "sign-in: since tcp of http://127.0.0.1:9 failed" in out


def test_the_way_there_alone_needs_no_secret_to_be_right(call, world, sandbox):
    world.secret("password", "nearly-the-password")
    code, report = check_json(call, world, "--no-sign-in")
    assert code == 0
    assert step(report, "sign-in")["mark"] == "skipped"
    assert sandbox.requests("login")["requests"] == []


def test_warnings_of_the_file_are_told_and_are_no_failure(call, world, sandbox):
    path = world.config / "connections/platform.yaml"
    path.write_text(
        "connection: platform\ntype: http\n"
        f"endpoints: {{x: {sandbox.url}/ingest/x}}\n"
        "tls: {verify: false}\n"
    )
    code, out = check(call, world, "--no-sign-in")
    assert code == 0
    assert out.startswith("! ")
    assert "auth none, 1 endpoint; 1 warning\n             tls.verify: " in out
    assert out.splitlines()[-1] == "good: platform: 6 steps, 1 warning, 2 left out"


def test_a_tls_file_that_cannot_be_used_is_told_as_such(call, world, sandbox):
    """Who runs this has no part in it."""
    path = world.config / "connections/platform.yaml"
    path.write_text(
        f"connection: platform\ntype: http\nendpoints: {{x: {sandbox.url}/ingest/x}}\ntls: {{ca: no.pem}}\n"
    )
    (world.config / "no.pem").write_text("no PEM")
    code, report = check_json(call, world)
    assert code == 1
    sign_in = step(report, "sign-in")
    assert sign_in["says"] == f"{world.config}/no.pem: tls: no PEM file of certificate authorities"
    assert sign_in["hint"] == "correct that file, or what `tls` of the connection says"


# ---------------------------------------------------------------------------------- with a daemon


def test_with_a_daemon_its_own_session_signs_and_calls(call, world, sandbox):
    world.start()
    code, report = check_json(call, world)
    assert (code, report["daemon"]) == (0, True)
    assert step(report, "sign-in")["says"].startswith("signed in by login: generation 1")
    code, report = check_json(call, world, "--refresh")
    assert code == 0
    assert step(report, "sign-in")["says"].startswith("signed in with the stored token: generation 1")
    assert step(report, "refresh")["says"].startswith("rotated: generation 2")
    assert step(report, "call")["data"]["status"] == 405
    assert auth_calls(sandbox) == (1, 1)
    assert "eyJ" not in world.logged()
    world.stop()
    code, report = check_json(call, world)
    assert (code, report["daemon"]) == (0, False)
    assert step(report, "sign-in")["says"].startswith("signed in with the stored token: generation 2")
    assert auth_calls(sandbox) == (1, 1)


def test_with_a_daemon_a_wrong_password_is_sent_once_by_however_many_checks(call, world, sandbox):
    world.secret("password", "nearly-the-password")
    path = world.config / "connections/platform.yaml"
    path.write_text(
        path.read_text().replace("endpoints:", "  login_limit: {failures: 1, pause: 1h}\nendpoints:")
    )
    world.start()
    for _ in range(3):
        code, report = check_json(call, world)
        assert (code, step(report, "sign-in")["mark"]) == (1, "failed")
        assert step(report, "sign-in")["data"]["failures"] == 1
        assert step(report, "call")["says"] == "since sign-in failed"
    assert len(sandbox.requests("login")["requests"]) == 1


def test_a_secret_that_only_the_daemon_can_read_is_a_warning(call, world, sandbox):
    world.start()
    assert check_json(call, world)[0] == 0
    (world.config / "secrets/password").unlink()
    code, report = check_json(call, world)
    assert (code, step(report, "secrets")["mark"]) == (0, "warning")
    assert "LoadCredential=" in step(report, "secrets")["hint"]
    assert step(report, "sign-in")["mark"] == "good"


def test_a_connection_that_the_daemon_does_not_know_yet_is_told(call, world, tmp_path, sandbox):
    world.start()
    other = World(tmp_path / "other", sandbox.url)
    text = (world.config / "connections/platform.yaml").read_text()
    (other.config / "connections/platform.yaml").write_text(text.replace("platform", "second", 1))
    words = ["auth", "check", "second", "--config", other.config, "--state", world.state]
    code, out, _ = call(*words)
    assert code == 1
    assert "the daemon has no connection 'second'" in out
    assert "push-agent reload" in out


# ---------------------------------------------------------------------------------- words and screens


def test_a_connection_that_there_is_not_is_exit_code_2(call, folder):
    code, out, err = call("auth", "check", "platfrom", "--config", folder.config)
    assert (code, out) == (2, "")
    assert f"there is no connection 'platfrom' in {folder.config}\n" in err
    assert "hint: did you mean platform?" in err


def test_a_connection_whose_file_is_wrong_is_exit_code_78(call, folder):
    (folder.config / "connections/platform.yaml").write_text("connection: platform\ntype: htp\n")
    code, out, err = call("auth", "check", "platform", "--config", folder.config)
    assert (code, out) == (78, "")
    assert "platform.yaml:2:1: type: must be http" in err


def test_two_options_that_exclude_each_other_are_exit_code_2(call, folder):
    words = ["auth", "check", "platform", "--refresh", "--no-sign-in", "--config", folder.config]
    assert call(*words)[0] == 2


@pytest.mark.parametrize(("encoding", "sign"), [("utf-8", "✔ "), ("ascii", "ok ")])
def test_a_terminal_that_has_no_ticks_gets_words(folder, encoding, sign):
    words = ["auth", "check", "platform", "--no-sign-in", "--config", str(folder.config)]
    done = subprocess.run(
        [sys.executable, "-m", "agent", *words],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        cwd=ROOT,
        check=False,
        timeout=50,
    )
    assert done.stderr == b""
    assert done.stdout.decode(encoding).startswith(sign)


def test_on_a_terminal_it_has_colours_and_every_line_stays(folder):
    ours, theirs = pty.openpty()
    words = ["auth", "check", "platform", "--no-sign-in", "--config", str(folder.config)]
    process = subprocess.Popen(
        [sys.executable, "-m", "agent", *words],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"},
        cwd=ROOT,
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65_536):
            shown += piece
    except OSError:  # how a terminal says that nobody writes any more
        pass
    finally:
        os.close(ours)
        process.wait(timeout=30)
    text = shown.decode()
    assert process.returncode == 1
    assert "\x1b[32m✔" in text
    assert "\x1b[31m✘" in text
    assert "refused: nobody listens there" in text
    assert "not well: " in text
