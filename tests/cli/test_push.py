"""`push-agent push`: one run of one job, by the daemon or without one."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import PLANNING


@pytest.fixture
def planning(world):
    """One file to send, a job whose schedule is far away, no daemon."""
    text = PLANNING.format(drop=world.drop).replace("{every: 1h, watch: true}", '{cron: "0 0 29 2 *"}')
    world.job("planning", text)
    (world.drop / "one.csv").write_text("a\n1\n")
    return world


def push(call, world, *options):
    where = ("--config", world.config, "--state", world.state)
    return call("push", "planning", *where, *options)


def test_without_a_daemon_it_collects_and_delivers_and_moves_the_file(call, planning, sandbox):
    code, out, err = push(call, planning, "--output", "json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert (result["job"], result["state"], result["records"], result["messages"]) == (
        "planning",
        "done",
        1,
        1,
    )
    assert (result["delivered"], result["waits"]) == (1, None)
    assert sandbox.state()["requests"]["planning"] == {"200": 1}
    assert (planning.drop / "done/one.csv").exists()
    code, out, _ = push(call, planning)
    assert code == 0
    assert "0 records in 0 messages" in out


def test_a_target_that_must_be_waited_for_is_exit_code_75_and_nothing_is_lost(call, planning, sandbox):
    sandbox.faults({"on": "planning", "answer": 503})
    code, out, err = push(call, planning)
    assert code == 75
    assert "1 record in 1 message spooled" in out
    assert "503" in err
    assert "kept in the spool" in err
    sandbox.no_faults()
    code, out, _ = push(call, planning, "--output", "json")
    assert code == 0
    assert json.loads(out)["delivered"] == 1


def test_a_push_leaves_what_other_jobs_wait_for_as_it_was(call, planning, sandbox):
    text = (planning.config / "jobs/planning.yaml").read_text().replace("job: planning", "job: other")
    planning.job("other", text.replace("drop/*", "drop/other/*"))
    (planning.drop / "other").mkdir()
    (planning.drop / "other/one.csv").write_text("a\n1\n")
    sandbox.faults({"on": "planning", "answer": 503})
    assert call("push", "other", "--config", planning.config, "--state", planning.state)[0] == 75
    sandbox.no_faults()
    assert push(call, planning)[0] == 0
    [lane] = planning.job_status("other")["lanes"]
    assert "503" in lane["why"]
    assert sandbox.state()["requests"]["planning"] == {"503": 1, "200": 1}


def test_with_a_daemon_the_daemon_does_it(call, planning, sandbox):
    planning.start()
    (planning.drop / "two.csv").write_text("a\n2\n")
    code, out, err = push(call, planning)
    assert (code, err) == (0, "")
    assert "the daemon delivers them: push-agent status" in out
    planning.until((planning.drop / "done/two.csv").exists, "the daemon delivers it")


def test_an_unknown_job_is_bad_usage_whoever_would_do_it(call, planning):
    where = ("--config", planning.config, "--state", planning.state)
    code, _, err = call("push", "planing", *where)
    assert code == 2
    assert "there is no job 'planing'" in err
    planning.start()
    code, _, err = call("push", "planing", *where)
    assert code == 2
    assert "planing" in err
    assert "hint: " in err


def test_a_file_that_is_not_as_the_job_says_is_exit_code_1_and_harms_no_other_file(call, planning, sandbox):
    text = (planning.config / "jobs/planning.yaml").read_text()
    planning.job("planning", text.replace("settle: 0s", "settle: 0s\n  columns: [trip]"))
    code, _, err = push(call, planning)
    assert code == 1
    assert "one.csv: missing column trip" in err
    assert (planning.drop / "failed/one.csv").exists()
    (planning.drop / "two.csv").write_text("trip\n2\n")
    assert push(call, planning)[0] == 0
    assert sandbox.state()["requests"]["planning"] == {"200": 1}


def test_a_bad_file_in_the_folder_does_not_keep_a_new_job_from_running(call, planning, sandbox):
    text = (planning.config / "jobs/planning.yaml").read_text()
    planning.job("planning", text.replace("settle: 0s", "settle: 0s\n  columns: [trip]"))
    planning.start()
    (planning.drop / "two.csv").write_text("trip\n2\n")
    push(call, planning)
    planning.until((planning.drop / "done/two.csv").exists, "the good file is delivered")
    assert (planning.drop / "failed/one.csv").exists()
    assert not planning.status()["config"]["rejected"]
