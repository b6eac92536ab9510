"""Every wait in one sentence; every value as JSON that says what time it was."""

from __future__ import annotations

from datetime import UTC

import pytest
from click import unstyle

from agent.commands.status import text as status_text
from agent.errors import Problem
from agent.phrases import ordinal
from agent.status import JobStatus, LaneStatus, RunStatus, Snapshot, explain, to_json
from agent.status_parts import ConfigStatus, RejectedFile
from agent.unmoved import UnmovedFile

NOON = 1_700_049_600.0  # 2023-11-15T12:00:00Z


def lane(kind, reason, *, until=190.0, attempts=0):
    return LaneStatus(
        lane=0,
        kind=kind,
        reason=reason,
        since_at=NOON,
        until_at=None if until is None else NOON + until,
        attempts=attempts,
    )


@pytest.mark.parametrize(
    ("wait", "sentence"),
    [
        (
            lane("retry", "503 Service Unavailable", attempts=3),
            "waiting: target answered 503 Service Unavailable, 4th try at 12:03:10",
        ),
        (
            lane("network", "connection refused"),
            "waiting: no answer from the target: connection refused, next try at 12:03:10",
        ),
        (
            lane("misdirected", "404 Not Found", until=90_000, attempts=1),
            (
                "waiting: the target does not take it at this address or from us: 404 Not Found, "
                "2nd try at 2023-11-16 13:00:00"
            ),
        ),
        (
            lane("unauthorized", "401 Unauthorized", until=None),
            "waiting: the target does not accept a fresh token: 401 Unauthorized, since 2023-11-15 12:00:00",
        ),
        (
            lane("session", "connection stg: not signed in: blocked"),
            "waiting: connection stg: not signed in: blocked, next try at 12:03:10",
        ),
        (lane("session", "no key"), "waiting: not signed in: no key, next try at 12:03:10"),
        (
            lane("error", "KeyError"),
            "waiting: a fault of push-agent, the log says more: KeyError, next try at 12:03:10",
        ),
        (lane("new kind", "something"), "waiting: something, next try at 12:03:10"),
        (lane("retry", ""), "waiting: target answered no reason was given, next try at 12:03:10"),
    ],
)
def test_a_wait_is_one_sentence_with_its_reason_and_its_next_try(wait, sentence):
    assert explain(wait, zone=UTC) == sentence


def test_counting_in_english():
    numbers = [1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 111, 112]
    assert " ".join(map(ordinal, numbers)) == "1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 101st 111th 112th"


def test_json_has_the_names_of_the_fields_and_times_in_rfc_3339():
    problem = Problem(file="jobs/a.yaml", line=3, message="no", hint="yes")
    snapshot = Snapshot(
        version="1",
        taken_at=NOON,
        state="/s",
        config=ConfigStatus(rejected=(RejectedFile(file="jobs/a.yaml", kept=False, problems=(problem,)),)),
        jobs=(JobStatus(name="gps", last_run=RunStatus(due_at=NOON + 0.25, state="done")),),
    )
    value = to_json(snapshot)
    assert value["taken_at"] == "2023-11-15T12:00:00.000Z"
    assert value["started_at"] is None
    assert value["jobs"][0]["last_run"]["due_at"] == "2023-11-15T12:00:00.250Z"
    assert value["jobs"][0]["oldest_waiting_seconds"] is None
    assert value["config"]["rejected"][0]["problems"][0] == {
        "file": "jobs/a.yaml",
        "line": 3,
        "column": 0,
        "path": "",
        "message": "no",
        "hint": "yes",
        "severity": "error",
    }


def test_the_text_tells_of_old_dead_letters_and_of_files_that_cannot_be_moved():
    unmoved = tuple(
        UnmovedFile(path=f"/in/{n}.csv", reason="Read-only file system: /in/done", hint="mount it")
        for n in (1, 2)
    )
    job = JobStatus(name="gps", dead=3, oldest_dead_seconds=90_000.0, unmoved_files=7, unmoved=unmoved)
    told = unstyle(status_text(to_json(Snapshot(version="1", taken_at=NOON, state="/state", jobs=(job,)))))
    assert "gps: 3 dead letters, the oldest 1d 1h old: push-agent dead list --job gps" in told
    assert "gps: /in/1.csv is dealt with, but cannot be moved: Read-only file system: /in/done\n" in told
    assert "  hint: mount it; it is not sent again, and its move is tried again by itself" in told
    assert "gps: 5 files more cannot be moved" in told
    one = JobStatus(name="gps", dead=1, oldest_dead_seconds=5.0)
    told = unstyle(status_text(to_json(Snapshot(version="1", taken_at=NOON, state="/state", jobs=(one,)))))
    assert "gps: 1 dead letter, 5s old: push-agent dead list --job gps" in told
