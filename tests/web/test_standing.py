"""What stands still and what is full, in `status`, in JSON, and as metrics; with the daemon and without it."""

from __future__ import annotations

from datetime import UTC

import click
import pytest

from agent.commands.status import text
from agent.limit import Limit
from agent.spool import LaneWait, PauseRow
from agent.status import (
    ConnectionStatus,
    Figures,
    JobStatus,
    LaneStatus,
    Snapshot,
    SpoolStatus,
    explain,
    to_json,
)
from agent.status_parts import LimitStatus, PauseStatus
from agent.survey import survey
from agent.web.metrics import render
from tests.support.clock import FakeClock
from tests.support.spool import draft, open_spool

NOW = 1_800_000_000.0


def pause(part, *, connection="", reason="", until=None):
    return PauseStatus(part=part, connection=connection, reason=reason, since_at=NOW, until_at=until)


def a_limit(messages, **most):
    return LimitStatus.of(Limit(**most), messages, messages * 100)


SNAPSHOT = Snapshot(
    version="1",
    taken_at=NOW,
    state="/state",
    started_at=NOW,
    spool=SpoolStatus(bytes=950, max_bytes=1000, messages=1_200, max_messages=10_000, used_ratio=0.95),
    jobs=(
        JobStatus(name="full", spool_limit=a_limit(1_000, max_messages=1_000)),
        JobStatus(
            name="gps",
            spool_limit=a_limit(850, max_messages=1_000, max_bytes=1_000_000),
            paused=(pause("collecting", reason="their release"), pause("delivering", reason="their release")),
        ),
        JobStatus(name="half", spool_limit=a_limit(500, max_messages=1_000)),
        JobStatus(name="over", paused=(pause("delivering", connection="stg", until=NOW + 7200),)),
    ),
    connections=(ConnectionStatus(name="stg", paused=(pause("delivering", until=NOW + 7200),)),),
)


def test_status_tells_each_pause_in_one_line_and_what_is_full():
    lines = click.unstyle(text(to_json(SNAPSHOT))).splitlines()
    assert "(95% full), 1,200 of 10,000 messages" in lines[0]
    told = [line.partition(": ") for line in lines if ": " in line]
    said = {(name, words.split(" since ")[0]) for name, _, words in told}
    assert ("gps", "collecting and delivering is paused") in said
    assert ("over", "delivering over connection stg is paused") in said
    assert ("stg", "delivering is paused") in said
    assert ("full", "spool is full: 1,000 of 1,000 messages: collecting waits until some have left") in said
    assert ("gps", "spool is 85% full: 850 of 1,000 messages") in said
    assert not any(name == "half" for name, _ in said)
    [gps] = [line for line in lines if line.startswith("gps: collecting")]
    assert gps.endswith("until it is resumed: their release")
    [row] = [line for line in lines if line.startswith("gps ")]
    assert "  paused  " in row, "in the column of what is due next"


def test_metrics_tell_pauses_and_limits():
    page = render(Figures(snapshot=SNAPSHOT)).decode()
    for line in (
        'push_agent_collecting_paused{job="gps"} 1.0',
        'push_agent_collecting_paused{job="over"} 0.0',
        'push_agent_delivering_paused{job="over"} 1.0',
        'push_agent_connection_paused{connection="stg"} 1.0',
        'push_agent_spool_limit_messages{job="gps"} 1000.0',
        'push_agent_spool_limit_bytes{job="gps"} 1e+06',
        'push_agent_spool_limit_used_ratio{job="full"} 1.0',
        "push_agent_spool_used_ratio 0.95",
        "push_agent_spool_messages 1200.0",
        "push_agent_spool_max_messages 10000.0",
    ):
        assert line in page.splitlines()
    assert 'push_agent_spool_limit_messages{job="over"}' not in page


def test_without_the_daemon_the_state_tells_what_is_paused(state, clock):
    spool = open_spool(state, clock=clock)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    spool.append(run, [draft(), draft()]).result()
    rows = [
        PauseRow(kind="job", name="gps", part="delivering", reason="why", since=NOW, until=None),
        PauseRow(kind="job", name="gone", part="collecting", reason="", since=NOW, until=NOW + 60),
        PauseRow(kind="connection", name="stg", part="delivering", reason="", since=NOW, until=None),
    ]
    spool.put_pauses(rows).result()
    wait = LaneWait(job="gps", lane=0, kind="paused", reason=rows[0].said, since=NOW, until=None, attempts=0)
    spool.set_wait(wait).result()
    spool.close()
    snapshot = survey(state, NOW)
    jobs = {job.name: job for job in snapshot.jobs}
    assert [(one.part, one.reason) for one in jobs["gps"].paused] == [("delivering", "why")]
    assert [(one.part, one.until_at) for one in jobs["gone"].paused] == [("collecting", NOW + 60)]
    assert snapshot.spool.messages == 2
    assert jobs["gps"].lanes[0].why.startswith("waiting: job gps is paused: why, since ")
    assert to_json(snapshot)["jobs"][1]["paused"][0]["since_at"] == "2027-01-15T08:00:00.000Z"


@pytest.mark.parametrize(
    ("until", "ends"), [(NOW + 60, ", until 08:01:00"), (None, ", since 2027-01-15 08:00:00")]
)
def test_a_paused_lane_says_until_when(until, ends):
    lane = LaneStatus(
        lane=0, kind="paused", reason="job gps is paused", since_at=NOW, until_at=until, attempts=3
    )
    assert explain(lane, zone=UTC) == f"waiting: job gps is paused{ends}"


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def clock():
    return FakeClock()
