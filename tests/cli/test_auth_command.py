"""`auth status|refresh|login|forget|rekey`: by the daemon, and by the command itself where none runs."""

from __future__ import annotations

import json

import click
import pytest

from agent.errors import ControlError
from agent.spool import Reader
from agent.web.control import call_and_wait
from tests.cli.conftest import PLANNING

PLAIN = "connection: plain\ntype: http\nendpoints: {planning: http://127.0.0.1:9/}\n"
KEYED = """\
connection: keyed
type: http
auth: {type: bearer, token: {secret: key}}
endpoints: {planning: http://127.0.0.1:9/}
"""


def auth(call, world, *words):
    return call("auth", *words, "--config", world.config, "--state", world.state)


def answers(call, world, *words):
    code, out, _ = auth(call, world, *words, "--output", "json")
    return code, json.loads(out)


def one(call, world):
    return answers(call, world, "status", "platform")[1][0]


@pytest.fixture(params=["with a daemon", "without a daemon"])
def anyhow(request, world):
    """A config whose commands go through a daemon, or do it themselves. Nobody has signed in yet."""
    world.job("planning", PLANNING.format(drop=world.drop))
    (world.config / "connections/plain.yaml").write_text(PLAIN)
    (world.config / "connections/keyed.yaml").write_text(KEYED)
    world.secret("key", "a-key-of-the-world")
    if request.param == "with a daemon":
        world.start()
    return world


def test_refresh_login_and_forget_do_what_they_say(call, anyhow, sandbox):
    code, out, err = auth(call, anyhow, "refresh", "platform")
    assert (code, err) == (0, "")
    assert out.startswith("platform: generation 1, good until 20")
    for action, generation, calls in (("refresh", 2, (1, 1)), ("login", 3, (2, 1))):
        code, told = answers(call, anyhow, action, "platform")
        state = sandbox.state()
        assert (code, state["logins"], state["refreshes"]) == (0, *calls)
        assert told[0]["outcome"].startswith(f"generation {generation}, good until ")
        assert (told[0]["connection"], told[0]["action"], told[0]["error"]) == ("platform", action, "")
    status = one(call, anyhow)
    assert (status["generation"], status["refreshes"], status["logins"], status["failures"]) == (3, 1, 2, 0)
    assert (status["session"], status["stored"]) == ("signed in", True)
    assert auth(call, anyhow, "forget", "platform") == (0, "platform: the tokens are erased\n", "")
    status = one(call, anyhow)
    assert (status["session"], status["stored"], status["expires_at"]) == ("not signed in", False, None)
    assert auth(call, anyhow, "forget", "platform") == (0, "platform: there were no tokens\n", "")
    with Reader.open(anyhow.state) as reader:
        assert [row.sealed for row in reader.sessions()] == [None]


def test_a_login_that_fails_is_exit_code_75_with_the_servers_words_and_stops_at_the_limit(
    call, anyhow, sandbox
):
    assert auth(call, anyhow, "login", "platform")[0] == 0
    anyhow.secret("password", "a-wrong-password")
    for _ in range(3):
        code, out, err = auth(call, anyhow, "login", "platform")
        assert (code, out) == (75, "")
        assert err.startswith("error: connection platform: the login was refused: 401 Unauthorized")
        assert "hint: check username and password" in err
        assert "a-wrong-password" not in err
    code, told = answers(call, anyhow, "login", "platform")
    assert (code, told[0]["exit_code"]) == (75, 75)
    assert "3 logins in a row were refused" in told[0]["error"]
    assert "the next one is allowed in" in told[0]["error"]
    assert sandbox.state()["failed_logins"] == 3
    # The pair of the first login is still there, and so is the way to renew it.
    assert auth(call, anyhow, "refresh", "platform")[0] == 0
    assert (one(call, anyhow)["session"], one(call, anyhow)["failures"]) == ("signed in", 3)


def test_refresh_that_is_refused_says_so_with_a_hint_and_sends_no_password(call, anyhow, sandbox):
    assert auth(call, anyhow, "refresh", "platform")[0] == 0
    sandbox.faults({"on": "refresh", "answer": 400, "body": "invalid_grant"})
    code, told = answers(call, anyhow, "refresh", "platform")
    assert (code, told[0]["exit_code"]) == (75, 75)
    assert "refresh was refused: 400 Bad Request" in told[0]["error"]
    assert "login_again_on" in told[0]["hint"]
    assert sandbox.state()["logins"] == 1
    out = auth(call, anyhow, "status", "platform")[1]
    assert "refresh was refused: 400 Bad Request" in out


def test_an_unknown_connection_is_bad_usage_with_a_guess(call, anyhow):
    for action in ("refresh", "login", "forget", "status"):
        code, out, err = auth(call, anyhow, action, "platfrom")
        assert (code, out) == (2, "")
        assert err == "error: there is no connection 'platfrom'\n  hint: did you mean platform?\n"
    code, _, err = auth(call, anyhow, "refresh", "zzz")
    assert code == 2
    assert err.endswith("hint: the connections there are: keyed, plain, platform\n")


def test_one_that_fails_does_not_stop_the_next(call, anyhow):
    code, told = answers(call, anyhow, "refresh", "plain", "keyed", "platform")
    assert code == 2
    assert [answer["exit_code"] for answer in told] == [2, 0, 0]
    assert told[0]["error"] == "connection plain has no `auth`: nobody signs in there"
    assert told[1]["outcome"] == "generation 1"


def test_a_fixed_secret_is_read_again_has_no_login_and_is_forgotten_until_it_is_needed(call, anyhow):
    assert auth(call, anyhow, "refresh", "keyed")[0] == 0
    code, _, err = auth(call, anyhow, "login", "keyed")
    assert code == 2
    assert "connection keyed has no login: it sends a fixed secret" in err
    assert "out of memory" in auth(call, anyhow, "forget", "keyed")[1]
    (anyhow.config / "secrets/key").unlink()
    code, _, err = auth(call, anyhow, "refresh", "keyed")
    assert code == 75
    assert "hint: put the right secret in place" in err


def test_rekey_makes_a_new_key_and_nobody_signs_in_anew(call, anyhow, sandbox):
    assert auth(call, anyhow, "refresh", "platform")[0] == 0
    before = (anyhow.state / "key").read_bytes()
    assert auth(call, anyhow, "rekey") == (0, "a new key: 1 stored pair sealed with it\n", "")
    assert (anyhow.state / "key").read_bytes() != before
    code, told = answers(call, anyhow, "rekey")
    assert (code, told) == (0, {"action": "rekey", "pairs": 1})
    assert auth(call, anyhow, "refresh", "platform")[0] == 0
    if anyhow.daemon is not None:
        anyhow.stop()
        assert auth(call, anyhow, "refresh", "platform")[0] == 0
    assert sandbox.state()["logins"] == 1
    assert not (anyhow.state / "key.old").exists()


def test_a_connection_that_left_the_config_can_still_be_forgotten(call, anyhow):
    assert auth(call, anyhow, "refresh", "platform")[0] == 0
    (anyhow.config / "jobs/planning.yaml").unlink()
    (anyhow.config / "connections/platform.yaml").unlink()
    if anyhow.daemon is not None:
        anyhow.stop()
        anyhow.start()
    words = "platform: the tokens are erased; the connection is no longer in the config\n"
    assert auth(call, anyhow, "forget", "platform") == (0, words, "")
    assert auth(call, anyhow, "forget", "platform")[0] == 2


def test_status_shows_only_those_that_are_named(call, anyhow):
    assert auth(call, anyhow, "refresh", "platform", "keyed")[0] == 0
    assert [each["name"] for each in answers(call, anyhow, "status", "platform")[1]] == ["platform"]
    code, out, _ = auth(call, anyhow, "status", "platform", "platform")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["CONNECTION", "platform"]


def test_forget_asks_on_a_terminal_and_not_with_yes(call, world, monkeypatch):
    asked = []

    def no(text, **_):
        asked.append(text)
        raise click.exceptions.Abort

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(click, "confirm", no)
    assert auth(call, world, "refresh", "platform")[0] == 0
    assert auth(call, world, "forget", "platform")[0] == 130
    assert asked == ["Erase the tokens of platform? The next request needs a login."]
    assert one(call, world)["stored"] is True
    assert auth(call, world, "forget", "--yes", "platform")[0] == 0
    assert one(call, world)["stored"] is False


def test_a_broken_connection_file_is_told_when_it_is_the_one(call, folder):
    (folder.config / "connections/platform.yaml").write_text("connection: platform\ntype: htp\n")
    code, out, err = auth(call, folder, "refresh", "platform")
    assert (code, out) == (78, "")
    assert "platform.yaml:2" in err
    assert not folder.state.exists()


def test_rekey_without_a_state_is_bad_usage(call, folder):
    code, out, err = auth(call, folder, "rekey")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: there is no state folder {folder.state}")


def test_a_state_that_another_command_holds_is_exit_code_75(call, world):
    world.start()
    (world.state / "control.sock").unlink()  # as a daemon that is only starting
    for words in (("refresh", "platform"), ("rekey",)):
        code, out, err = auth(call, world, *words)
        assert (code, out) == (75, "")
        assert "is in use by the daemon" in err
        assert "hint: the daemon is starting or stopping: try again" in err


def test_an_action_that_nobody_knows_is_refused_by_the_daemon(world):
    world.start()
    for arguments in ({"action": "explode", "connection": "platform"}, {"action": 1}, {}):
        with pytest.raises(ControlError, match="auth"):
            call_and_wait(world.state, "auth", arguments, timeout=20)
