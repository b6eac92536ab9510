from __future__ import annotations

import logging

import pytest

from agent.commands import run_command_line
from tests.support.world import SandboxProcess, World


@pytest.fixture
def call(capsys, monkeypatch):
    """Run a command in this process: its exit code, what it said on stdout and on stderr."""
    monkeypatch.delenv("PUSH_AGENT_CONFIG", raising=False)
    monkeypatch.delenv("PUSH_AGENT_TRACEBACK", raising=False)
    log = logging.getLogger("push_agent")
    level = log.level

    def run(*arguments):
        capsys.readouterr()
        code = run_command_line([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    yield run
    log.setLevel(level)  # a command sets it for its process, which is ours


@pytest.fixture
def folder(tmp_path):
    """A good config without a daemon and without a platform: nobody listens at its address."""
    world = World(tmp_path / "world", "http://127.0.0.1:9")
    world.job("planning", PLANNING.format(drop=world.drop))
    return world


@pytest.fixture(scope="session")
def platform(tmp_path_factory):
    """One sandbox for all tests that only need one to be there; it is reset before each."""
    sandbox = SandboxProcess(tmp_path_factory.mktemp("platform"))
    yield sandbox
    sandbox.close()


@pytest.fixture
def sandbox(platform):
    platform.no_faults()
    platform.reset()
    return platform


@pytest.fixture
def world(tmp_path, sandbox):
    """Config, drop folder and, once started, a real daemon, in front of the sandbox."""
    one = World(tmp_path / "world", sandbox.url)
    yield one
    one.close()


PLANNING = """\
job: planning
schedule: {{every: 1h, watch: true}}
source:
  type: file
  path: {drop}/*.csv
  settle: 0s
  done: {{move: done/}}
  failed: {{move: failed/}}
body: {{format: raw, content_type: text/csv}}
target: {{connection: platform, endpoint: planning}}
"""
