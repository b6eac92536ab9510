"""The frame around all commands: help, typing errors, exit codes, bugs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import click
import pytest

import agent.commands
from agent import __version__
from agent.commands import COMMANDS, cli
from agent.errors import (
    AgentError,
    ConfigError,
    ControlError,
    NotSignedIn,
    Problem,
    SecretError,
    SpoolFull,
    StateLocked,
    UsageError,
)
from tests.support.world import ROOT

HEAVY = (
    "aiohttp",
    "alembic",
    "apscheduler",
    "cryptography",
    "duckdb",
    "jsonschema",
    "pyarrow",
    "rich",
    "sqlalchemy",
    "yaml",
)


def every_command():
    """All words that can be called, those of groups too."""
    for word in COMMANDS:
        command = cli.get_command(click.Context(cli), word)
        yield (word,)
        if isinstance(command, click.Group):
            yield from ((word, inner) for inner in command.commands)


def loaded_after(*arguments):
    """The heavy modules that a fresh process has after a command."""
    code = f"import sys\nsys.argv = ['push-agent', *{list(arguments)!r}]\nfrom agent.__main__ import main\n"
    code += (
        f"try:\n    main()\nfinally:\n    print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stderr.strip().splitlines()[-1].replace("'", '"'))


def test_help_imports_no_heavy_library():
    assert loaded_after("--help") == []


@pytest.mark.parametrize("words", list(every_command()), ids=" ".join)
def test_each_command_has_help_with_examples(words, call):
    code, out, _ = call(*words, "--help")
    assert code == 0
    assert out.startswith(f"Usage: push-agent {' '.join(words)}")
    assert "Examples:" in out


def test_the_help_of_no_command_imports_a_heavy_library():
    # one process for all of them
    code = "import sys, contextlib\nfrom agent.commands import run_command_line\n"
    code += f"for words in {list(every_command())!r}:\n    run_command_line([*words, '--help'])\n"
    code += f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stderr.strip() == "[]"


def test_no_word_shows_all_commands_and_h_is_help(call):
    code, out, _ = call("-h")
    assert code == 0
    for word, (_, text) in COMMANDS.items():
        assert word in out
        assert text in " ".join(out.split())


def test_version(call):
    code, out, _ = call("--version")
    assert (code, out) == (0, f"push-agent, version {__version__}\n")


@pytest.mark.parametrize(
    ("word", "hint"),
    [("statsu", "Did you mean 'status'?"), ("dryrun", "Did you mean 'dry-run'?"), ("xyz", "")],
)
def test_an_unknown_command_is_bad_usage_with_a_guess(call, word, hint):
    code, _, err = call(word)
    assert code == 2
    assert f"There is no command '{word}'. {hint}".strip() in err


@pytest.mark.parametrize(
    "arguments", [("status", "--nope"), ("dry-run",), ("dead", "show", "x"), ("schema", "y")]
)
def test_bad_usage_is_exit_code_2(call, arguments):
    code, _, err = call(*arguments)
    assert code == 2
    assert "Error:" in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AgentError("it is so", hint="do this"), 1),
        (UsageError("it is so", hint="do this"), 2),
        (ControlError("it is so", hint="do this"), 69),
        (NotSignedIn("it is so", hint="do this"), 75),
        (StateLocked("it is so", hint="do this"), 75),
        (SpoolFull("it is so", hint="do this"), 75),
        (SecretError("it is so", hint="do this"), 78),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_expected_error_is_one_sentence_with_a_hint_and_its_exit_code(call, monkeypatch, error, code):
    fails(monkeypatch, error)
    assert call("status") == (code, "", "error: it is so\n  hint: do this\n")


def test_the_problems_of_a_config_are_told_as_they_stand(call, monkeypatch):
    problems = tuple(
        Problem(file="a.yaml", line=line, column=2, message="wrong", hint="h") for line in (1, 2)
    )
    fails(monkeypatch, ConfigError(problems))
    assert call("status") == (78, "", "a.yaml:1:2: wrong\n  hint: h\na.yaml:2:2: wrong\n  hint: h\n")


def test_a_bug_is_one_line_and_the_variable_shows_more(call, monkeypatch):
    fails(monkeypatch, ZeroDivisionError("by zero"))
    code, out, err = call("status")
    assert (code, out) == (70, "")
    assert err.splitlines()[0] == "bug: ZeroDivisionError: by zero"
    assert "PUSH_AGENT_TRACEBACK=1" in err
    assert "Traceback" not in err
    monkeypatch.setenv("PUSH_AGENT_TRACEBACK", "1")
    code, _, err = call("status")
    assert code == 70
    assert "Traceback" in err


def test_an_interrupt_is_exit_code_130(call, monkeypatch):
    fails(monkeypatch, KeyboardInterrupt())
    assert call("status")[0] == 130


def fails(monkeypatch, error):
    """`push-agent status` meets this error."""

    @click.command()
    def command():
        raise error

    module = type(sys)("failing")
    module.command = command
    monkeypatch.setitem(sys.modules, "failing", module)
    monkeypatch.setitem(agent.commands.COMMANDS, "status", ("failing", ""))


def test_a_reader_that_has_seen_enough_is_no_error():
    shell = f"set -o pipefail; {sys.executable} -m agent schema job | head -c 10"
    done = subprocess.run(
        ["bash", "-c", shell], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_config_folder_comes_from_the_environment_too(call, folder, monkeypatch):
    monkeypatch.setenv("PUSH_AGENT_CONFIG", str(folder.config))
    code, out, _ = call("validate")
    assert code == 0
    assert "1 job" in out


def test_no_command_needs_a_terminal_or_a_home():
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-m", "agent", "schema", "agent"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["$id"] == "urn:push-agent:schema:agent"
