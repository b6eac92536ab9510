"""`push-agent push JOB --from --to`: the past again, window by window; and a push of the windows that are due."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from agent.commands.backfill import Eta
from agent.web.control import call_and_wait
from tests.support.trips import FIRST, Trips
from tests.support.world import ROOT

JANUARY = ("--from", "2026-01-01", "--to", "2026-02-01")
HALF_DAYS = ("--from", "2026-01-01", "--to", "2026-01-21", "--step", "12h")
SLOW = 200_000
"""Steps of work for the database in each window: some 20 ms."""


@pytest.fixture
def trips(world, sandbox):
    made = Trips(world, sandbox)
    yield made
    for process in made.processes:
        process.kill()
        process.communicate(timeout=50)
    made.close()


def where(trips):
    return ("--config", trips.world.config, "--state", trips.world.state)


def push(call, trips, *options):
    return call("push", "trips", *where(trips), *options)


def begin(trips, *options, **more):
    """The command as a process of its own."""
    command = [sys.executable, "-m", "agent", "push", "trips", *map(str, where(trips)), *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    pipe = subprocess.PIPE
    more = {"stdout": pipe, "stderr": pipe, **more}
    # Ctrl-C must reach it also where this run was begun in the background, with SIGINT ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, text=True, cwd=ROOT, env=environment, **more)
    signal.signal(signal.SIGINT, before)
    trips.processes.append(process)
    return process


def some_windows(trips, count):
    trips.world.until(lambda: (one := trips.backfill()) and one.windows >= count, "it goes on")


# ---------------------------------------------------------------------------------- without a daemon


def test_every_record_of_the_span_arrives_once_and_in_order(call, trips):
    trips.hours(32 * 24)
    code, out, err = push(call, trips, *JANUARY, "--output", "json")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert {key: answer[key] for key in ("job", "state", "reason", "windows", "records", "messages")} == {
        "job": "trips",
        "state": "done",
        "reason": "",
        "windows": 31,
        "records": 744,
        "messages": 31,
    }
    assert (answer["since"], answer["done"]) == ("2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z")
    assert (answer["delivered"], answer["waits"]) == (744, None)
    assert trips.arrived() == list(range(1, 745))
    assert trips.mark() is None, "the windows of the schedule have not begun"


def test_progress_and_the_end_are_told_in_lines_where_there_is_no_terminal(call, trips):
    trips.hours(100)
    code, out, err = push(call, trips, "--from", "2026-01-02", "--to", "2026-01-05", "--step", "2d")
    assert code == 0
    assert out == "trips: done: 2 windows, 72 records in 2 messages\n  delivered: 72 records\n"
    assert err.startswith("trips: 0 windows, 0 records, up to 2026-01-02T00:00:00Z, 0%\n")


def test_on_a_terminal_there_is_a_bar(trips):
    trips.hours(100)
    trips.job(steps=SLOW)
    ours, theirs = pty.openpty()
    process = begin(trips, "--from", "2026-01-02", "--to", "2026-01-05", stderr=theirs)
    os.close(theirs)
    shown = b""
    while piece := read(ours):
        shown += piece
    out, _ = process.communicate(timeout=50)
    os.close(ours)
    assert process.returncode == 0
    assert out.startswith("trips: done: 3 windows, 72 records")
    assert "━" in shown.decode()
    assert "trips: " in shown.decode()


def read(descriptor):
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def test_a_window_that_fails_is_exit_code_1_and_the_same_command_goes_on_there(call, trips):
    trips.hours(32 * 24)
    trips.rename("trip", "elsewhere")
    code, _, err = push(call, trips, *JANUARY)
    assert code == 1
    assert "trips: failed: 2026-01-01T00:00:00Z/2026-01-02T00:00:00Z: " in err
    assert "no such table: trip" in err
    assert "this goes on with it: push-agent push trips --from 2026-01-01 --to 2026-02-01\n" in err
    status = call("status", *where(trips))[1]
    assert "trips: backfill of 2026-01-01T00:00:00Z to 2026-02-01T00:00:00Z: failed at 2026-01-01" in status
    trips.rename("elsewhere", "trip")
    assert push(call, trips, *JANUARY)[0] == 0
    assert trips.arrived() == list(range(1, 745))
    assert "backfill" not in call("status", *where(trips))[1]


@pytest.mark.timeout(150)  # it starts the agent three times
def test_ctrl_c_and_kill_lose_nothing_and_send_nothing_twice(trips):
    trips.hours(20 * 24)
    trips.job(steps=SLOW)
    for number, ending in enumerate((signal.SIGKILL, signal.SIGINT), start=1):
        process = begin(trips, *HALF_DAYS)
        some_windows(trips, 2 * number)
        process.send_signal(ending)
        _, err = process.communicate(timeout=50)
        if ending == signal.SIGINT:
            assert process.returncode == 130
            words = "stopped; this goes on with it: push-agent push trips"
            assert f"{words} --from 2026-01-01 --to 2026-01-21 --step 12h\n" in err
    trips.job()
    process = begin(trips, *HALF_DAYS)
    out, err = process.communicate(timeout=50)
    assert process.returncode == 0, err
    assert out.startswith("trips: done: 40 windows, 480 records in 40 messages")
    assert trips.arrived() == list(range(1, 481))


BAD_WORDS = [
    (("--from", "2026-01-01"), "--to is missing", "both, --from and --to"),
    (("--step", "1d"), "--from is missing", "both, --from and --to"),
    ((*JANUARY, "--limit", "3"), "--limit cannot stand beside", "leave one of them out"),
    (("--from", "now", "--to", "2026-01-01"), "--from now is no date or time", "write 2026-01-31"),
    (("--from", "2026-01-02", "--to", "2026-01-01"), "is not before", "left out"),
    (("--from", "2026-01-02", "--to", "2999-01-01"), "lies in the future", "the latest that is possible"),
]


@pytest.mark.parametrize("daemon", [False, True])
def test_bad_words_are_exit_code_2_with_a_hint_whoever_would_do_it(call, trips, daemon):
    if daemon:
        trips.world.start()
    for options, message, hint in BAD_WORDS:
        code, _, err = push(call, trips, *options)
        assert code == 2
        assert message in err
        assert hint in err.partition("hint: ")[2]


def test_a_dry_run_shows_the_window_that_comes_next(call, trips):
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    trips.add([today - timedelta(days=1, seconds=1), today - timedelta(hours=12), today])
    for _ in range(2):  # the last one that is over, also when it was pulled
        code, out, err = call("dry-run", "trips", *where(trips), "--output", "json")
        assert code == 0, err
        assert [json.loads(each["body"]) for each in json.loads(out)] == [[{"id": 2}]]
        assert push(call, trips)[0] == 0


def test_a_job_that_reads_the_same_whatever_the_window_is_cannot_be_backfilled(call, trips):
    path = trips.world.config / "jobs/trips.yaml"
    path.write_text(path.read_text().replace(" WHERE ts >= :since AND ts < :until", ""))
    code, _, err = push(call, trips, *JANUARY)
    assert code == 2
    assert "its source uses neither since nor until" in err
    assert "docs/WINDOWS.md" in err
    code, _, err = call("push", "trains", *where(trips), *JANUARY)
    assert code == 2
    assert "there is no job 'trains'" in err


def test_a_push_by_hand_pulls_the_last_window_that_is_over_and_then_none(call, trips):
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    trips.add([today - timedelta(days=1, seconds=1), today - timedelta(hours=12), today])
    code, out, _ = push(call, trips)
    assert code == 0
    assert "1 record in 1 message spooled" in out
    code, out, _ = push(call, trips)
    assert code == 0
    assert "no window is due: the next one ends at " in out
    assert trips.arrived() == [2]
    assert trips.mark().done == today.timestamp()


# ---------------------------------------------------------------------------------- with a daemon


def test_with_a_daemon_the_daemon_pulls_and_status_shows_how_far_it_is(call, trips):
    trips.hours(32 * 24)
    trips.world.start()
    code, out, err = push(call, trips, *JANUARY)
    assert code == 0, err
    assert out.startswith("trips: done: 31 windows, 744 records in 31 messages\n")
    assert "the daemon delivers them" in out
    trips.world.until(lambda: len(trips.arrived()) == 744, "all arrive")
    assert trips.arrived() == list(range(1, 745))
    [told] = trips.world.job_status("trips")["backfills"]
    assert (told["state"], told["windows"], told["done_at"]) == ("done", 31, "2026-02-01T00:00:00.000Z")


def test_with_a_daemon_ctrl_c_stops_it_and_the_same_command_goes_on(call, trips):
    trips.hours(20 * 24)
    trips.job(steps=SLOW)
    trips.world.start()
    process = begin(trips, *HALF_DAYS)
    some_windows(trips, 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=50)
    assert process.returncode == 130
    assert "stopped; this goes on with it: " in err
    trips.world.until(lambda: trips.backfill().state == "stopped", "it stops")
    so_far = trips.backfill()
    assert so_far.windows < 40
    words = call("status", *where(trips))[1]
    assert f"stopped at {datetime.fromtimestamp(so_far.done, UTC):%Y-%m-%dT%H:%M:%S}Z" in words
    trips.job()
    trips.world.run("reload", check=0)
    code, out, err = push(call, trips, *HALF_DAYS)
    assert code == 0, err
    assert out.startswith("trips: done: 40 windows, 480 records in 40 messages")
    trips.world.until(lambda: len(trips.arrived()) >= 480, "all arrive")
    assert trips.arrived() == list(range(1, 481))


def test_a_terminal_that_is_lost_does_not_stop_the_daemon_and_a_second_one_joins(call, trips):
    trips.hours(20 * 24)
    trips.job(steps=SLOW)
    trips.world.start()
    process = begin(trips, *HALF_DAYS)
    some_windows(trips, 2)
    process.kill()
    process.communicate(timeout=50)
    words = {"job": "trips", "from": "2026-01-01", "to": "2026-01-21", "step": "12h"}
    joined = call_and_wait(trips.world.state, "backfill", {"action": "start", **words}, timeout=20)
    assert (joined["state"], joined["id"]) == ("running", trips.backfill().id)
    code, _, err = push(call, trips, *JANUARY)
    assert code == 2
    assert "another backfill of trips goes on" in err
    call_and_wait(trips.world.state, "backfill", {"action": "stop", "id": joined["id"]}, timeout=20)
    trips.world.until(lambda: trips.backfill().state == "stopped", "it stops")


# ---------------------------------------------------------------------------------- how long it takes


def test_the_time_that_is_left_follows_from_what_is_done_since_somebody_looks():
    now = [100.0]
    eta = Eta(lambda: now[0])

    def see(day):
        eta.see({"done": (FIRST + timedelta(days=day)).isoformat(), "until": "2026-01-21T00:00:00+00:00"})

    see(10)  # what was done before counts for nothing
    assert eta.seconds() is None
    now[0] += 5
    see(10)
    assert eta.seconds() is None
    see(12)
    assert eta.seconds() == pytest.approx(5 / 2 * 8)
    now[0] += 1
    see(12)
    assert eta.seconds() == pytest.approx(5 / 2 * 8), "within a window nothing is known anew"
