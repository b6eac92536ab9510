"""The pages over real HTTP: what they say, to whom, and what they never say."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.errors import ConfigError, Problem
from agent.status import (
    ConnectionStatus,
    Figures,
    Histogram,
    JobStatus,
    LaneStatus,
    RunStatus,
    Snapshot,
    SpoolStatus,
)
from agent.status_parts import ConfigStatus, RejectedFile
from agent.unmoved import UnmovedFile
from agent.web import server as pages
from agent.web.server import WebServer

NOW = 1_700_000_000.0
SNAPSHOT = Snapshot(
    version="1.2.3",
    taken_at=NOW,
    state="/var/lib/push-agent",
    started_at=NOW - 60,
    config=ConfigStatus(
        jobs=1,
        rejected=(
            RejectedFile(
                file="jobs/b.yaml", kept=True, problems=(Problem(file="jobs/b.yaml", message="no"),)
            ),
        ),
    ),
    spool=SpoolStatus(bytes=4096, max_bytes=10_000_000_000),
    jobs=(
        JobStatus(
            name='gps "north"\n',
            file="jobs/gps.yaml",
            next_due_at=NOW + 30,
            last_run=RunStatus(due_at=NOW - 30, state="done", records=7),
            waiting_messages=3,
            waiting_bytes=900,
            oldest_waiting_seconds=12.5,
            lanes=(LaneStatus(lane=0, kind="retry", reason="503", since_at=NOW, why="waiting: 503"),),
            delivered_messages=2,
            delivered_records=1000,
            dead=1,
            oldest_dead_seconds=7200.0,
            unmoved_files=1,
            unmoved=(
                UnmovedFile(path="/in/a.csv", reason="Read-only file system: /in/done", hint="mount it"),
            ),
        ),
        JobStatus(name="idle"),
    ),
    connections=(
        ConnectionStatus(
            name="stg", session="signed in", generation=4, expires_at=NOW + 300, refreshes=3, logins=1
        ),
        ConnectionStatus(
            name="open", tls_verified=False, certificate_ends_at=NOW + 86_400, tls_trouble="half a pair"
        ),
    ),
)
FIGURES = Figures(
    snapshot=SNAPSHOT,
    attempts={("idle", "delivered"): 5, ("idle", "retry"): 2},
    request_seconds={"idle": Histogram(bounds=(0.1, 1.0), counts=(4, 2, 1), sum=3.5)},
    runs={("idle", "done"): 9},
    skipped={"idle": 2},
    longest_stall=0.07,
)


@dataclass
class Shown:
    """A view that shows what the test says."""

    sick: str = ""
    missing: str = ""
    looks: int = 0
    look: asyncio.Event = field(default_factory=asyncio.Event)
    looking: asyncio.Event = field(default_factory=asyncio.Event)

    def unhealthy(self) -> str:
        return self.sick

    def unready(self) -> str:
        return self.missing

    async def figures(self) -> Figures:
        self.looks += 1
        self.looking.set()
        await self.look.wait()
        if self.missing == "fault":
            raise ZeroDivisionError
        return FIGURES


@pytest.fixture
async def view() -> Shown:
    shown = Shown()
    shown.look.set()
    return shown


@pytest.fixture
async def server(view: Shown) -> AsyncIterator[WebServer]:
    server = WebServer(("127.0.0.1", 0), view)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(server: WebServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as client:
        yield client


async def test_health_is_ok_until_the_process_says_why_not(
    client: aiohttp.ClientSession, view: Shown
) -> None:
    async with client.get("/healthz") as answer:
        assert (answer.status, await answer.text()) == (200, "ok\n")
    view.sick = "the spool thread is dead"
    async with client.get("/healthz") as answer:
        assert (answer.status, await answer.text()) == (503, "the spool thread is dead\n")
    async with client.get("/readyz") as answer:
        assert answer.status == 503


async def test_ready_is_ok_only_when_nothing_is_missing(client: aiohttp.ClientSession, view: Shown) -> None:
    view.missing = "the config is not loaded yet"
    async with client.get("/readyz") as answer:
        assert (answer.status, await answer.text()) == (503, "the config is not loaded yet\n")
    async with client.get("/healthz") as answer:
        assert answer.status == 200
    view.missing = ""
    async with client.get("/readyz") as answer:
        assert (answer.status, await answer.text()) == (200, "ok\n")


async def test_status_is_the_snapshot_as_json_with_times_a_person_can_read(
    client: aiohttp.ClientSession,
) -> None:
    async with client.get("/status") as answer:
        assert answer.headers["Content-Type"] == "application/json"
        value = await answer.json()
    assert value["version"] == "1.2.3"
    assert value["started_at"] == "2023-11-14T22:12:20.000Z"
    assert value["jobs"][0]["lanes"][0]["why"] == "waiting: 503"
    assert value["jobs"][0]["last_run"]["due_at"] == "2023-11-14T22:12:50.000Z"
    assert [one["tls_verified"] for one in value["connections"]] == [True, False]
    assert value["connections"][1]["certificate_ends_at"] == "2023-11-15T22:13:20.000Z"
    assert value["config"]["rejected"][0]["problems"][0]["message"] == "no"
    assert set(value["jobs"][1]) == {one.name for one in dataclasses.fields(JobStatus)}


async def test_metrics_are_what_prometheus_reads(client: aiohttp.ClientSession) -> None:
    async with client.get("/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = await answer.text()
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    gps, idle, stg = ("job", 'gps "north"\n'), ("job", "idle"), ("connection", "stg")
    expected = {
        ("push_agent_delivered_records_total", gps): 1000,
        ("push_agent_waiting_messages", gps): 3,
        ("push_agent_waiting_bytes", gps): 900,
        ("push_agent_oldest_waiting_seconds", gps): 12.5,
        ("push_agent_oldest_waiting_seconds", idle): 0,
        ("push_agent_waiting_lanes", gps): 1,
        ("push_agent_dead_letters", gps): 1,
        ("push_agent_oldest_dead_letter_seconds", gps): 7200,
        ("push_agent_oldest_dead_letter_seconds", idle): 0,
        ("push_agent_unmoved_files", gps): 1,
        ("push_agent_unmoved_files", idle): 0,
        ("push_agent_quarantined", gps): 0,
        ("push_agent_next_due_timestamp_seconds", gps): NOW + 30,
        ("push_agent_attempts_total", idle, ("outcome", "retry")): 2,
        ("push_agent_request_seconds_bucket", idle, ("le", "0.1")): 4,
        ("push_agent_request_seconds_bucket", idle, ("le", "1.0")): 6,
        ("push_agent_request_seconds_bucket", idle, ("le", "+Inf")): 7,
        ("push_agent_request_seconds_count", idle): 7,
        ("push_agent_request_seconds_sum", idle): 3.5,
        ("push_agent_runs_total", idle, ("state", "done")): 9,
        ("push_agent_skipped_total", idle): 2,
        ("push_agent_session_refreshes_total", stg): 3,
        ("push_agent_session_logins_total", stg): 1,
        ("push_agent_session_generation", stg): 4,
        ("push_agent_token_expires_seconds", stg): 300,
        ("push_agent_connection_tls_verified", stg): 1,
        ("push_agent_connection_tls_verified", ("connection", "open")): 0,
        ("push_agent_connection_tls_files_unusable", stg): 0,
        ("push_agent_connection_tls_files_unusable", ("connection", "open")): 1,
        ("push_agent_connection_certificate_end_timestamp_seconds", stg): None,
        ("push_agent_connection_certificate_end_timestamp_seconds", ("connection", "open")): NOW + 86_400,
        ("push_agent_spool_bytes",): 4096,
        ("push_agent_spool_max_bytes",): 1e10,
        ("push_agent_config_rejected_files",): 1,
        ("push_agent_event_loop_stall_seconds_max",): 0.07,
        ("push_agent_build_info", ("version", "1.2.3")): 1,
    }
    assert {name: samples.get(name) for name in expected} == expected
    assert ("push_agent_next_due_timestamp_seconds", idle) not in samples
    assert ("process_resident_memory_bytes",) in samples


async def test_many_scrapes_at_one_moment_look_once(client: aiohttp.ClientSession, view: Shown) -> None:
    view.look.clear()
    asked = [asyncio.create_task(client.get("/status")) for _ in range(5)]
    await view.looking.wait()
    async with client.get("/healthz"):
        pass
    view.look.set()
    for answer in await asyncio.gather(*asked):
        assert (await answer.json())["version"] == "1.2.3"
    assert view.looks <= 2


async def test_a_page_that_fails_says_so_and_the_next_one_works(
    client: aiohttp.ClientSession, view: Shown, caplog: pytest.LogCaptureFixture
) -> None:
    view.missing = "fault"
    async with client.get("/status") as answer:
        assert answer.status == 500
        assert "ZeroDivision" not in await answer.text()
    assert caplog.records[0].exc_info
    view.missing = ""
    async with client.get("/status") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
async def test_sec_16_only_get(client: aiohttp.ClientSession, method: str) -> None:
    async with client.request(method, "/status") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/status", "/nothing"])
async def test_sec_16_every_answer_is_closed_to_other_origins(
    client: aiohttp.ClientSession, path: str
) -> None:
    async with client.get(path, headers={"Origin": "http://evil.example"}) as answer:
        assert answer.status == (404 if path == "/nothing" else 200)
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Server"] == "push-agent"
        assert not [name for name in answer.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9310", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:9310", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example:9310", 421),
        ("10.0.0.1", 421),
        ("", 421),
    ],
)
async def test_sec_16_a_rebound_name_gets_nothing(
    client: aiohttp.ClientSession, host: str, status: int
) -> None:
    async with client.get("/status", headers={"Host": host}) as answer:
        assert answer.status == status
        assert (b"gps" in await answer.read()) == (status == 200)


async def test_open_to_all_addresses_every_address_is_ours_but_no_name(view: Shown) -> None:
    server = WebServer(("0.0.0.0", 0), view)
    await server.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as client:
        async with client.get("/healthz", headers={"Host": "192.0.2.7:9310"}) as answer:
            assert answer.status == 200
        async with client.get("/healthz", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 421
    await server.stop()


async def test_sec_16_slow_clients_cannot_lock_others_out(
    server: WebServer, client: aiohttp.ClientSession
) -> None:
    slow = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(200)]
    for _, writer in slow:
        writer.write(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
    async with client.get("/healthz") as answer:
        assert answer.status == 200
    for _, writer in slow:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for _, writer in slow), return_exceptions=True)


async def test_sec_16_no_connection_lives_longer_than_its_time(
    view: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_LIFETIME", 0.05)
    server = WebServer(("127.0.0.1", 0), view)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
    assert await reader.read() == b""
    writer.close()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()
    await server.stop()


async def test_an_address_that_is_taken_is_an_error_with_a_way_out(server: WebServer, view: Shown) -> None:
    other = WebServer(("127.0.0.1", server.port), view)
    with pytest.raises(ConfigError) as told:
        await other.start()
    assert str(told.value) == (
        f"agent.yaml: web.listen: cannot listen on 127.0.0.1:{server.port}: another program listens there\n"
        "  hint: choose another port, or `listen: off` for no pages"
    )
    assert told.value.exit_code == 78


async def test_status_json_is_json_whatever_a_name_holds(client: aiohttp.ClientSession) -> None:
    async with client.get("/status") as answer:
        assert json.loads(await answer.read())["jobs"][0]["name"] == 'gps "north"\n'
