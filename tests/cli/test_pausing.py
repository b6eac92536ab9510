"""`pause`, `resume`, `drain` and `push --wait`: with the daemon and without it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from agent.commands.waiting import Progress
from agent.spool import Reader
from tests.cli.conftest import PLANNING
from tests.support.world import ROOT


@pytest.fixture
def planning(world):
    """A job whose schedule is far away, with a file to send."""
    text = PLANNING.format(drop=world.drop).replace("{every: 1h, watch: true}", '{cron: "0 0 29 2 *"}')
    world.job("planning", text)
    (world.drop / "one.csv").write_text("a\n1\n")
    return world


def ask(call, world, *words):
    return call(*words, "--config", world.config, "--state", world.state)


def as_json(call, world, *words, code=0):
    got, out, err = ask(call, world, *words, "--output", "json")
    assert got == code, err
    return json.loads(out)


def test_without_a_daemon_a_pause_is_kept_and_shown_and_holds_what_a_push_sends(call, planning, sandbox):
    assert ask(call, planning, "push", "planning")[0] == 0
    (planning.drop / "two.csv").write_text("a\n2\n")
    code, out, _ = ask(
        call, planning, "pause", "planning", "--delivering", "--for", "2h", "--reason", "their release"
    )
    assert code == 0
    assert out.startswith("job planning: paused: delivering, until ")
    assert "(their release)" in out
    [pause] = as_json(call, planning, "status")["jobs"][0]["paused"]
    assert (pause["part"], pause["reason"], pause["connection"]) == ("delivering", "their release", "")
    code, out, err = ask(call, planning, "push", "planning", "--wait")
    assert code == 75
    assert "job planning is paused: their release" in err
    _, out, _ = ask(call, planning, "status")
    assert "planning: delivering is paused since " in out
    assert "their release" in out
    code, _, err = ask(call, planning, "drain", "planning")
    assert code == 1
    assert "what is in the spool cannot leave" in err
    assert "push-agent resume planning --delivering, then drain" in err
    code, out, _ = ask(call, planning, "resume", "planning")
    assert (code, out) == (0, "job planning: goes on: delivering\n")
    assert ask(call, planning, "resume", "planning")[1] == "job planning: nothing to resume\n"
    assert ask(call, planning, "drain", "planning", "--resume")[0] == 0
    assert sandbox.state()["requests"]["planning"] == {"200": 2}


def test_a_job_that_is_paused_is_not_pushed_by_hand(call, planning):
    ask(call, planning, "push", "planning")
    assert ask(call, planning, "pause", "planning", "--reason", "new data centre")[0] == 0
    assert "was paused already" in ask(call, planning, "pause", "planning")[1]
    code, _, err = ask(call, planning, "push", "planning")
    assert code == 1
    assert "job planning is paused: new data centre" in err
    assert "push-agent resume planning" in err


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        (("pause", "planing"), "there is no job 'planing'", "did you mean planning?"),
        (
            ("pause", "--connection", "platfrom"),
            "there is no connection 'platfrom'",
            "did you mean platform?",
        ),
        (("pause",), "name a job, --connection NAME, or --all", "push-agent status lists them"),
        (("resume", "planning", "--all"), "--all means all of them", "leave the names out"),
        (("pause", "planning", "--for", "2 hours"), "--for: ", "2h"),
        (("drain", "planing"), "there is no job 'planing'", "did you mean planning?"),
        (("push", "planning", "--timeout", "1m"), "--timeout is for --wait", "add --wait"),
        (
            ("push", "planning", "--wait", "--from", "2026-01-01", "--to", "2026-01-02"),
            "--wait cannot stand",
            "",
        ),
    ],
)
def test_what_makes_no_sense_is_bad_usage_with_a_hint(call, folder, words, said, hint):
    folder.state.mkdir()
    code, _, err = ask(call, folder, *words)
    assert code == 2
    assert said in err
    assert hint in err


@pytest.mark.parametrize("words", [("pause", "planning"), ("drain",)])
def test_without_a_state_nothing_is_made(call, folder, words):
    code, _, err = ask(call, folder, *words)
    assert code == 2
    assert "there is no state folder" in err
    assert not folder.state.exists()


def test_a_drain_without_a_daemon_delivers_what_is_left_and_leaves_collecting_paused(call, planning, sandbox):
    sandbox.faults({"on": "planning", "answer": 503})
    assert ask(call, planning, "push", "planning")[0] == 75
    answer = as_json(call, planning, "drain", "--timeout", "200ms", code=75)
    assert answer["state"] == "left"
    assert answer["reason"].startswith("the time is up after")
    sandbox.no_faults()
    code, out, _ = ask(call, planning, "drain")
    assert code == 0
    assert "nothing of 1 job is left in the spool" in out
    assert "collecting stays paused" in out
    assert as_json(call, planning, "drain", "planning", "--resume")["state"] == "drained"
    [pause] = as_json(call, planning, "status")["jobs"][0]["paused"]
    assert (pause["part"], pause["reason"]) == ("collecting", "drained"), "it was paused before"
    assert as_json(call, planning, "resume", "--all")["paused"] == []


def test_with_a_daemon_all_of_it_goes_through_the_daemon_and_survives_its_restart(call, planning, sandbox):
    planning.start()
    waited = as_json(call, planning, "push", "planning", "--wait")
    assert (waited["delivered"], waited["dead"], waited["waits"]) == (1, 0, None)
    assert (
        ask(call, planning, "pause", "--connection", "platform", "--delivering", "--reason", "patches")[0]
        == 0
    )
    (planning.drop / "two.csv").write_text("a\n2\n")
    code, _, err = ask(call, planning, "push", "planning", "--wait")
    assert code == 75
    assert "connection platform is paused: patches" in err
    planning.kill()
    planning.start()
    [lane] = planning.until(lambda: planning.live("planning")["lanes"], "the lane waits")
    assert lane["kind"] == "paused"
    [pause] = planning.live("planning")["paused"]
    assert (pause["connection"], pause["reason"]) == ("platform", "patches")
    assert planning.events("is still paused")
    code, _, err = ask(call, planning, "drain", "planning")
    assert "push-agent resume --connection platform --delivering" in err
    assert sandbox.state()["requests"]["planning"] == {"200": 1}
    assert ask(call, planning, "resume", "--all")[0] == 0
    drained = as_json(call, planning, "drain")
    assert (drained["state"], drained["collecting"]) == ("drained", "paused")
    assert sandbox.state()["requests"]["planning"] == {"200": 2}
    code, _, err = ask(call, planning, "push", "planning")
    assert code == 1
    assert "job planning is paused: drained" in err
    assert ask(call, planning, "resume", "planning", "--collecting")[0] == 0
    sandbox.faults({"on": "planning", "answer": 400})
    (planning.drop / "three.csv").write_text("a\n3\n")
    refused = as_json(call, planning, "push", "planning", "--wait", code=1)
    assert (refused["dead"], refused["delivered"]) == (1, 0)
    sandbox.no_faults()
    sandbox.faults({"on": "planning", "answer": 503})
    (planning.drop / "four.csv").write_text("a\n4\n")
    late = as_json(call, planning, "push", "planning", "--wait", "--timeout", "200ms", code=75)
    assert late["waits"].startswith("the time is up after")
    left = as_json(call, planning, "drain", "--timeout", "200ms", "--resume", code=75)
    assert (left["jobs"][0]["messages"], left["collecting"]) == (1, "goes on")
    assert planning.live("planning")["paused"] == []
    limited(planning)
    assert ask(call, planning, "reload")[0] == 0
    (planning.drop / "five.csv").write_text("a\n5\n")
    late = as_json(call, planning, "push", "planning", "--wait", "--timeout", "500ms", code=75)
    assert late["waits"] == "the time is up after 0.5 s; its run goes on in the daemon"
    assert (
        planning.live("planning")["collecting"] == "waiting: spool is full: 1 of 1 messages of job planning"
    )


def limited(planning):
    """One message of it may wait."""
    path = planning.config / "jobs/planning.yaml"
    planning.job("planning", path.read_text() + "spool: {max_messages: 1}\n")


def test_a_push_without_a_daemon_ends_when_the_target_makes_no_room_for_the_rest(call, planning, sandbox):
    limited(planning)
    (planning.drop / "two.csv").write_text("a\n2\n")
    sandbox.faults({"on": "planning", "answer": 503})
    answer = as_json(call, planning, "push", "planning", code=75)
    assert (answer["state"], answer["messages"]) == ("stopped", 1)
    assert "503" in answer["waits"]
    sandbox.no_faults()
    answer = as_json(call, planning, "push", "planning")
    assert (answer["state"], answer["messages"], answer["delivered"]) == ("done", 1, 2)


@pytest.mark.parametrize(
    ("options", "said", "left"),
    [
        (("--resume",), "collecting goes on", []),
        (
            ("--reason", "we move"),
            "collecting stays paused: push-agent resume JOB or --all",
            [("collecting", "we move")],
        ),
    ],
    ids=["resume", "stay"],
)
def test_ctrl_c_ends_a_drain_and_says_what_it_leaves(call, planning, options, said, left):
    path = planning.config / "connections/platform.yaml"
    path.write_text(path.read_text().replace("/trips/insertOrUpdate", "/nowhere"))
    assert ask(call, planning, "push", "planning")[0] == 75
    line = [sys.executable, "-m", "agent", "drain", *options]
    line += ["--config", str(planning.config), "--state", str(planning.state)]
    # Ctrl-C must reach it also where this run was begun in the background, with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    drain = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    signal.signal(signal.SIGINT, before)
    with drain:
        while told := drain.stderr.readline():
            if "1 message left" in told:  # said when its pause is stored
                break
        drain.send_signal(signal.SIGINT)
        _, err = drain.communicate(timeout=30)
    assert (drain.returncode, err.splitlines()[-1]) == (130, f"stopped: {said}")
    with Reader.open(planning.state) as reader:
        assert [(row.part, row.reason) for row in reader.pauses()] == left


def test_progress_tells_what_is_left_how_fast_it_goes_and_how_long_it_takes(capsys):
    now = [100.0]
    progress = Progress(quiet=False, monotonic=lambda: now[0])

    def left(messages, **more):
        return [{"job": "gps", "messages": messages, "collecting": "", "waits": "", **more}]

    assert progress.words(left(1000)) == "1,000 messages left"
    now[0] += 10
    assert progress.words(left(500)) == "500 messages left, 50/s, 10s to go"
    assert progress.words(left(2000, collecting="reading a.csv")) == (
        "2,000 messages left, 1 run under way (gps)"
    )
    now[0] += 100
    assert progress.words(left(1990, waits="waiting: 503")) == (
        "1,990 messages left, 6/min, 5h 31m to go, waiting: 503"
    )
    progress.show("draining", left(1))
    progress.show("draining", left(1))
    assert capsys.readouterr().err.count("draining: 1 message left") == 1
    Progress(quiet=True).show("draining", left(1))
    assert capsys.readouterr().err == ""
