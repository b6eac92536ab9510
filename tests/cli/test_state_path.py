"""Where the state lies is found out without reading the whole config, or not at all: never another place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.commands.options import state_folder
from agent.config import load_settings
from agent.state_path import DEFAULT_STATE, state_path
from tests.support.world import ROOT

PLAIN = {
    "state: /srv/push\n": "/srv/push",
    "state:   /srv/push-agent_1.d/x   # there\nlog: {level: debug}\n": "/srv/push-agent_1.d/x",
    "# where it lies\r\nweb: {listen: off}\r\nstate: /srv/push\r\n": "/srv/push",
    "---\nlog:\n  level: debug\n\nstate: /srv/push": "/srv/push",
    "state: /srv/state/state # the state\n": "/srv/state/state",
    "": str(DEFAULT_STATE),
    "web: {listen: off}\n": str(DEFAULT_STATE),
}
NOT_PLAIN = [
    '"state": /srv/push\n',
    "state: '/srv/push'\n",
    "{state: /srv/push}\n",
    "state: /srv/a b\n",
    "state: /srv/a\n  b\n",
    "state: /srv/a\n\n\tb\n",
    "state: &a /srv/push\n",
    "state:\n  /srv/push\n",
    "state: >\n  /srv/push\n",
    "state: /srv/a\nstate: /srv/b\n",
    "state: relative\n",
    "log: {level: debug}\n# state: /srv/push\n",
    '"st\\x61te": /srv/push\n',
    "state: /srv/ü\n",
    "state: /srv/push\nx: &state [state]\n",
    "web: {listen: off} # " + "x" * 70_000 + "\n",
]


@pytest.fixture
def config(tmp_path):
    folder = tmp_path / "config"
    folder.mkdir(mode=0o700)
    return folder


@pytest.mark.parametrize("text", PLAIN)
def test_a_plain_line_tells_it(config, text):
    (config / "agent.yaml").write_bytes(text.encode())
    assert state_path(config) == load_settings(config).state == Path(PLAIN[text])


@pytest.mark.parametrize("text", NOT_PLAIN)
def test_what_is_not_plain_is_left_to_the_whole_config(config, text):
    (config / "agent.yaml").write_bytes(text.encode())
    assert state_path(config) is None
    assert state_folder(config, None) == load_settings(config).state


@pytest.mark.parametrize("code", ["utf-16", "utf-8-sig", "utf-32"])
def test_in_another_encoding_nothing_is_plain(config, code):
    (config / "agent.yaml").write_bytes("state: /srv/push\n".encode(code))
    assert state_path(config) is None


def test_without_a_file_or_a_folder_it_is_the_default(config):
    assert state_path(config) == state_path(config / "nowhere") == DEFAULT_STATE
    assert state_folder(config, None) == load_settings(config).state == DEFAULT_STATE


@pytest.mark.parametrize("mode", [0o777, 0o1777])
@pytest.mark.parametrize("others", ["file", "folder"])
def test_what_others_may_write_does_not_count(config, others, mode):
    path = config / "agent.yaml"
    path.write_text("state: /srv/push\n")
    (path if others == "file" else config).chmod(mode)
    assert state_path(config) is None
    assert state_folder(config, None) == load_settings(config).state == DEFAULT_STATE


def test_a_link_another_ending_or_a_folder_is_left_to_the_whole_config(config, tmp_path):
    (tmp_path / "elsewhere.yaml").write_text("state: /srv/push\n")
    (config / "agent.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    assert state_path(config) is None
    (config / "agent.yaml").unlink()
    (config / "agent.yaml").mkdir()
    assert state_path(config) is None
    (config / "agent.yaml").rmdir()
    (config / "agent.yml").write_text("state: /srv/push\n")
    assert state_path(config) is None
    assert state_folder(config, None) == load_settings(config).state


HEAVY = {"sqlalchemy", "asyncio", "aiohttp", "yaml", "jsonschema", "http.client", "ssl", "agent.spool.tables"}


def test_find_imports_nothing_that_takes_long(config):
    """With or without a daemon: `python -X importtime` says what each costs."""
    words = ["find", "4711", "--config", str(config)]
    script = f"import sys\nfrom agent.commands import run_command_line\nrun_command_line({words})\nprint(*sys.modules)"
    (config / "agent.yaml").write_text(f"state: {config}\n")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert "nothing is known of the key 4711" in done.stderr
    assert HEAVY & set(done.stdout.split()) == set()
