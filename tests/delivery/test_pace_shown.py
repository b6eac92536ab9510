"""Why a connection is slow must be seen: in `status`, in its JSON, and in the metrics."""

from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.auth.fixed import NoSession
from agent.commands import status as screen
from agent.config.model import Limits
from agent.connection_status import connection_status
from agent.connections import open_connection
from agent.message import Answer
from agent.outcome import Retry
from agent.pacing import Quota
from agent.status import Figures, Snapshot, to_json
from agent.web.metrics import render
from tests.support.clock import FakeClock
from tests.support.delivery import a_connection, half

URL = "https://fms.example.com/in"
AWAY = Retry(answer=Answer(status=None, reason="connection refused"))
BUSY = Retry(answer=Answer(status=429, reason="429 Too Many Requests"), after=60.0)


class Seen:
    def __init__(self, clock, connection):
        self.clock = clock
        self.connection = connection
        self.door = connection.door(URL)

    def came_to(self, outcome, who=0):
        now = self.clock.monotonic()
        self.connection.report(self.door, who, outcome, now - 0.02, now)

    @property
    def snapshot(self):
        return Snapshot(
            version="1",
            taken_at=self.clock.now(),
            state="/s",
            connections=(connection_status(self.connection),),
        )

    @property
    def json(self):
        return to_json(self.snapshot)["connections"][0]

    @property
    def text(self):
        plain = re.sub(r"\x1b\[[0-9;]*m", "", screen.text(to_json(self.snapshot)))
        return re.sub(r"\d\d:\d\d:\d\d", "HH:MM:SS", plain)

    def metrics(self):
        families = text_string_to_metric_families(render(Figures(snapshot=self.snapshot)).decode())
        samples = [sample for family in families for sample in family.samples]
        return {
            sample.name.removeprefix("push_agent_"): sample.value
            for sample in samples
            if sample.labels.get("connection") == "platform"
        }


@pytest.fixture
async def seen():
    clock = FakeClock()
    connection = a_connection("https://fms.example.com", limits=Limits(concurrency=8, rate=20))
    opened = await open_connection(connection, lambda _: NoSession("platform"), clock=clock, random=half)
    yield Seen(clock, opened)
    await opened.close(0)


async def test_nothing_is_told_of_a_connection_where_all_is_well(seen):
    seen.came_to(None)
    assert "fms.example.com" not in seen.text
    assert seen.json["pacing"] == {
        "concurrency": 8,
        "rate": 20,
        "waiting": 0,
        "pause_reason": "",
        "origins": [
            {
                "origin": "https://fms.example.com",
                "in_flight": 0,
                "waiting": 0,
                "concurrency": 8,
                "concurrency_why": "",
                "circuit": "closed",
                "reason": "",
                "away_since_at": None,
                "next_probe_at": None,
                "openings": 0,
            }
        ],
    }
    metrics = seen.metrics()
    assert (metrics["connection_concurrency_max"], metrics["origin_concurrency"]) == (8, 8)
    assert (metrics["origin_circuit_open"], metrics["origin_circuit_openings_total"]) == (0, 0)
    assert "origin_next_probe_timestamp_seconds" not in metrics


async def test_an_open_circuit_says_since_when_why_and_when_it_is_tried_again(seen):
    for who in range(5):
        seen.came_to(AWAY, who)
    seen.connection.gate.ask(seen.door, "a", "a")
    seen.connection.gate.ask(seen.door, "b", "b")
    said = "platform: https://fms.example.com is away since HH:MM:SS (connection refused): "
    assert f"{said}one request at a time tries again, at HH:MM:SS, 2 requests wait" in seen.text.replace(
        "2027-01-15 ", ""
    )
    [origin] = seen.json["pacing"]["origins"]
    assert (origin["circuit"], origin["concurrency"], origin["waiting"]) == ("open", 0, 2)
    metrics = seen.metrics()
    assert (metrics["origin_circuit_open"], metrics["origin_circuit_openings_total"]) == (1, 1)
    assert metrics["origin_next_probe_timestamp_seconds"] == pytest.approx(seen.clock.now() + 0.75)
    assert metrics["connection_waiting_requests"] == 2
    await seen.clock.advance(1)
    assert seen.json["pacing"]["origins"][0]["circuit"] == "probing"
    assert "tries again, now, 1 request waits" in seen.text
    seen.came_to(None, "a")
    assert "it was away and is met gently" in seen.text


async def test_fewer_requests_at_once_and_a_pause_say_why(seen):
    seen.came_to(BUSY)
    assert "platform: 4 of 8 requests at once to https://fms.example.com: 429 Too Many Requests" in seen.text
    assert "asked for a pause until" in seen.text
    assert "HH:MM:SS: 429 Too Many Requests, Retry-After: 60" in seen.text
    metrics = seen.metrics()
    assert metrics["origin_concurrency"] == 4
    assert metrics["connection_paused_until_timestamp_seconds"] == pytest.approx(seen.clock.now() + 60.5)


async def test_a_quota_that_is_used_up_is_told_as_the_reason(seen):
    seen.connection.gate.grant(Quota(remaining=0, seconds=30))
    assert "its quota is used up (RateLimit)" in seen.text


async def test_requests_cut_off_by_a_reload_say_nothing_about_the_host(seen):
    await seen.connection.close(0)
    for who in range(20):
        seen.came_to(AWAY, who)
    assert seen.json["pacing"]["origins"][0]["circuit"] == "closed"


async def test_a_connection_that_takes_over_goes_on_with_the_same_gate(seen):
    assert seen.connection.try_enter(seen.door, "a")
    connection = a_connection("https://fms.example.com", limits=Limits(concurrency=1))
    opened = await open_connection(connection, lambda _: NoSession("platform"), clock=seen.clock, random=half)
    opened.inherit(seen.connection)
    door = opened.door(URL)
    assert door is seen.door
    assert not opened.try_enter(door, "b")
    seen.connection.leave(seen.door)
    assert opened.try_enter(door, "b")
    assert (seen.connection.in_flight, opened.in_flight) == (0, 1)
    opened.leave(door)
    await opened.close(0)
