"""Signals at any moment: exit code 0 within 20 s, and after the next start everything has arrived."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.world import ROOT

STOP_WITHIN = 20


def command(world):
    return [sys.executable, "-m", "agent", "run", "--config", str(world.config), "--state", str(world.state)]


def stop_and_go_on(scene, *, signals=(signal.SIGTERM,), within=STOP_WITHIN):
    """Stop by these signals, start again: all of it arrives, at most one request per lane twice."""
    world = scene.world
    for number in signals:
        world.daemon.send_signal(number)
    assert world.daemon.wait(timeout=within) == 0, world.logged()[-4000:]
    scene.sandbox.no_faults()
    world.start()
    everything_is_there(scene)


def everything_is_there(scene):
    wanted = [str(n) for n in range(scene.counted)]
    scene.world.until(lambda: len(set(scene.arrived())) == len(wanted), "all records arrived")
    seen = set()
    requests = [request for request in scene.requests() if request["processed"]]
    repeated = [request for request in requests if request["key"] in seen or seen.add(request["key"])]
    assert len(repeated) <= 1
    assert list(dict.fromkeys(scene.arrived())) == wanted
    assert scene.status()["dead"] == 0


def test_sig_01_sigterm_while_idle(scene):
    scene.connection().records()
    scene.world.start()
    scene.numbers(10)
    scene.all_arrived()
    scene.numbers(10)
    scene.all_arrived()
    stop_and_go_on(scene)
    assert scene.sandbox.state()["logins"] == 1


@pytest.mark.timeout(150)  # on a busy machine a daemon takes seconds to start
def test_sig_01_sigterm_while_a_big_csv_is_read(scene):
    scene.connection().records(batch=20_000)
    scene.world.start()
    scene.numbers(1_500_000)
    world = scene.world
    world.until(lambda: scene.status()["held_messages"] > 0, "the file is being read")
    world.stop(STOP_WITHIN)
    assert scene.arrived() == []  # it was held back: not all of it was read
    world.start()
    world.until(
        lambda: scene.sandbox.state()["records"].get(f"ingest/{scene.name}") == 1_500_000, "all arrived", 30
    )
    assert scene.sandbox.state()["repeats"] == 0


def test_sig_01_sigterm_while_a_request_hangs_at_the_target(scene):
    scene.connection().records()
    scene.world.start()
    scene.sandbox.faults({"on": f"ingest/{scene.name}", "delay": 60, "times": 1})
    scene.numbers(30)
    scene.world.until(lambda: scene.session()["in_flight"] == 1, "a request hangs")
    stop_and_go_on(scene)


def test_sig_01_sigterm_while_it_signs_in(scene):
    scene.connection().records()
    scene.world.start()
    scene.sandbox.faults({"on": "login", "delay": 60, "times": 1})
    scene.numbers(30)
    scene.world.until(lambda: scene.session()["session"] == "refreshing", "the login hangs")
    stop_and_go_on(scene)


def test_sig_01_sigterm_while_it_backs_off(scene):
    scene.sandbox.faults({"on": f"ingest/{scene.name}", "answer": 503, "retry_after": "300"})
    scene.connection().records()
    scene.world.start()
    scene.numbers(30)
    scene.until_waits("503")
    stop_and_go_on(scene, within=8)


def test_sig_01_sigterm_in_the_middle_of_a_reload(scene):
    scene.connection().records()
    scene.world.start()
    scene.numbers(10)
    half = (scene.world.config / f"jobs/{scene.name}.yaml").read_text()[:60]
    with (scene.world.config / "jobs/late.yaml").open(
        "w"
    ) as writer:  # open for writing: the reload waits for it
        writer.write(half)
        writer.flush()
        scene.world.daemon.send_signal(signal.SIGHUP)
        stop_and_go_on(scene)


@pytest.mark.parametrize("moment", ["at-once", "imported", "locked"])
def test_sig_01_sigterm_before_it_is_ready(scene, moment):
    scene.connection().records()
    scene.numbers(10)
    world = scene.world
    world.start(wait=False)
    seen = {
        "at-once": lambda: True,
        "imported": lambda: "starting" in world.logged(),
        "locked": (world.state / "lock").exists,
    }
    end = time.monotonic() + 20
    while not seen[moment]() and time.monotonic() < end:
        pass  # a pause would miss the moment
    world.daemon.send_signal(signal.SIGTERM)
    code = world.daemon.wait(timeout=STOP_WITHIN)
    # Until Python runs our code, the kernel's own rule holds.
    assert code == 0 or (moment == "at-once" and code == -signal.SIGTERM), world.logged()
    world.start()
    everything_is_there(scene)


def test_sig_02_sigterm_twice_is_one_orderly_stop(scene):
    scene.connection().records()
    scene.world.start()
    scene.sandbox.faults({"on": f"ingest/{scene.name}", "delay": 2, "times": 1})
    scene.numbers(30)
    scene.world.until(lambda: scene.session()["in_flight"] == 1, "a request is under way")
    stop_and_go_on(scene, signals=(signal.SIGTERM, signal.SIGTERM))
    assert scene.sandbox.state()["repeats"] == 0
    assert len(scene.world.events("stopping")) == 1


def test_sig_02_sigint_is_an_orderly_stop_too(scene):
    scene.connection().records()
    scene.world.start()
    scene.numbers(30)
    stop_and_go_on(scene, signals=(signal.SIGINT,))


def test_sig_02_a_storm_of_sighup_reloads_a_few_times_and_harms_nothing(stage):
    stage.connection().records().load()
    stage.numbers(30)
    before = len(stage.world.events("reloaded"))
    for _ in range(2000):
        stage.world.daemon.send_signal(signal.SIGHUP)
    stage.records(f"{stage.name}-late", endpoint="other", folder="late")
    stage.world.daemon.send_signal(signal.SIGHUP)
    stage.put("1.csv", "n\n1\n", folder="late")
    stage.world.until(lambda: stage.arrived(f"{stage.name}-other") == ["1"], "the new job runs")
    stage.all_arrived()
    assert len(stage.world.events("reloaded")) - before == 1  # what changed nothing is not told
    assert stage.world.daemon.poll() is None


def test_sig_02_sighup_at_any_moment_of_the_start_does_not_kill_it(scene):
    scene.connection().records()
    world = scene.world
    world.start(wait=False)
    while "ready" not in world.logged_since_start():
        # Before Python runs our code the kernel's own rule holds: the first one is sent after that.
        if "starting" in world.logged():
            world.daemon.send_signal(signal.SIGHUP)
        assert world.daemon.poll() is None, world.logged()
        time.sleep(0.01)
    scene.numbers(10)
    scene.all_arrived()


def test_sig_02_sigpipe_and_sigchld_are_ignored(stage):
    stage.connection().records().load()
    for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGPIPE):
        stage.world.daemon.send_signal(number)
    stage.numbers(30)
    stage.all_arrived()
    assert stage.world.daemon.poll() is None


def test_sig_03_a_daemon_that_was_frozen_catches_up(stage):
    stage.connection().records().load()
    stage.numbers(10)
    stage.all_arrived()
    stage.world.daemon.send_signal(signal.SIGSTOP)
    stage.sandbox.expire()
    stage.numbers(20)
    stage.world.daemon.send_signal(signal.SIGCONT)
    stage.all_arrived()
    assert stage.sandbox.state()["logins"] == 1


@pytest.mark.parametrize("how", ["a closed pipe", "closed", "a full disk"])
def test_sig_05_del_14_a_log_that_cannot_be_written_stops_nothing(scene, how):
    scene.connection().records()
    world = scene.world
    with contextlib.ExitStack() as stack:
        reader, writer = os.pipe()
        full = stack.enter_context(Path("/dev/full").open("w"))
        streams = {"a closed pipe": writer, "closed": subprocess.DEVNULL, "a full disk": full}
        line = command(world)
        if how == "closed":
            line = ["sh", "-c", 'exec "$@" >&- 2>&- <&-', "sh", *line]
        world.daemon = subprocess.Popen(line, stdout=streams[how], stderr=streams[how], cwd=ROOT)
        os.close(writer)
        os.close(reader)
    scene.world.until((world.state / "control.sock").exists, "the daemon runs")
    scene.numbers(30)
    scene.all_arrived()
    world.stop()
