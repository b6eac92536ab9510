from __future__ import annotations

import pytest

from agent.commands import run_command_line


@pytest.fixture
def call(capsys):
    """Run a command in this process: its exit code, what it said on stdout and on stderr."""

    def run(*arguments):
        capsys.readouterr()
        code = run_command_line([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run
