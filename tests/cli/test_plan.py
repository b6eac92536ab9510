"""`push-agent plan`: what a reload would change, compared with what the daemon accepted last."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import PLANNING
from tests.support.world import World


@pytest.fixture(scope="module")
def accepted(tmp_path_factory):
    """A config that a daemon has accepted: planning, second, third. The daemon is stopped again."""
    world = World(tmp_path_factory.mktemp("accepted") / "world", "http://127.0.0.1:9")
    for name in ("planning", "second", "third"):
        world.job(name, job(world, name))
    world.start()
    world.stop()
    return world


@pytest.fixture
def accepted_texts(accepted):
    """Each test may change the config; afterwards it is as it was."""
    before = {path: path.read_bytes() for path in accepted.config.rglob("*.yaml")}
    yield accepted
    for path in accepted.config.rglob("*.yaml"):
        if path not in before:
            path.unlink()
    for path, text in before.items():
        path.write_bytes(text)


def job(world, name):
    return PLANNING.format(drop=world.drop).replace("job: planning", f"job: {name}")


def plan(call, world):
    code, out, _ = call("plan", "--config", world.config, "--state", world.state, "--output", "json")
    return code, json.loads(out)


def test_nothing_to_do_is_said(call, accepted_texts):
    code, out, err = call("plan", "--config", accepted_texts.config, "--state", accepted_texts.state)
    assert (code, err) == (0, "")
    assert out.endswith("5 unchanged\n")
    assert len(out.splitlines()) == 1


def test_added_changed_removed_and_rejected_files_are_told_apart(call, accepted_texts):
    world = accepted_texts
    world.job("new", job(world, "new"))
    world.job("second", job(world, "second").replace("every: 1h", "every: 2h"))
    (world.config / "jobs/third.yaml").unlink()
    world.job("planning", job(world, "planning").replace("schedule:", "schedul:"))
    world.job("bad", job(world, "bad").replace("schedule:", "schedul:"))
    code, planned = plan(call, world)
    assert code == 78
    assert planned["added"] == ["jobs/new.yaml"]
    assert planned["changed"] == ["jobs/second.yaml"]
    assert planned["removed"] == ["jobs/third.yaml"]
    assert planned["rejected"] == ["jobs/bad.yaml", "jobs/planning.yaml"]
    assert planned["kept"] == ["jobs/planning.yaml"]
    assert {"schedul", "schedule"} <= {problem["path"] for problem in planned["problems"]}
    code, out, err = call("plan", "--config", world.config, "--state", world.state)
    assert code == 78
    assert out.splitlines() == [
        "+ add      jobs/new.yaml",
        "~ change   jobs/second.yaml",
        "- remove   jobs/third.yaml",
        "! reject   jobs/bad.yaml (it would not run)",
        "! reject   jobs/planning.yaml (its last good version goes on)",
        "2 unchanged",
    ]
    assert "schedul: there is no such key here" in err


def test_before_the_first_start_everything_would_be_added_and_no_state_is_made(call, folder):
    code, planned = plan(call, folder)
    assert code == 0
    assert planned["added"] == ["agent.yaml", "connections/platform.yaml", "jobs/planning.yaml"]
    assert not folder.state.exists()


def test_every_line_of_the_answer_says_something(call, folder):
    code, out, _ = call("plan", "--config", folder.config, "--state", folder.state)
    assert (code, len(out.splitlines())) == (0, 3)
    assert all(out.splitlines())


def test_a_missing_config_folder_is_an_error_and_no_change(call, tmp_path):
    where = ("--config", tmp_path / "nowhere", "--state", tmp_path / "state")
    code, out, err = call("plan", *where)
    assert (code, out) == (78, "")
    assert f"error: {tmp_path}/nowhere: there is no such folder\n  hint: " in err


def test_what_it_says_is_what_a_reload_then_does(call, accepted_texts):
    world = accepted_texts
    world.start()
    try:
        world.job("new", job(world, "new"))
        assert plan(call, world)[1]["added"] == ["jobs/new.yaml"]
        world.run("reload", check=0)
        assert plan(call, world)[1]["added"] == []
        (world.config / "jobs/new.yaml").unlink()
        assert plan(call, world)[1]["removed"] == ["jobs/new.yaml"]
        world.run("reload", check=0)
        assert plan(call, world)[1]["removed"] == []
    finally:
        world.stop()
