from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import urllib.error
import urllib.parse
import urllib.request

import pytest

from agent.errors import UsageError
from agent.sandbox import Fault, Sandbox, Settings, sandbox_in_thread


async def test_a_row_tells_everything_but_secrets(start):
    sandbox, client = await start()
    body = b'[{"a": 1}, {"a": 2}]'
    await client.send("/ingest/x?part=1", gzip.compress(body), key="k1", Content_Encoding="gzip")
    _, shown = await client.admin("GET", "requests?endpoint=ingest/x&body=1")
    row = shown["requests"][0]
    assert row.pop("bytes") == len(gzip.compress(body))
    assert row == {
        "number": 2,
        "time": "2027-01-15T08:00:00.000000+00:00",
        "endpoint": "ingest/x",
        "method": "POST",
        "path": "/ingest/x?part=1",
        "key": "k1",
        "token": 1,
        "status": 200,
        "dropped": "",
        "processed": True,
        "repeat": False,
        "reason": "",
        "content_type": "application/json",
        "gzip": True,
        "records": 2,
        "sha256": hashlib.sha256(body).hexdigest(),
        "body": body.decode(),
    }
    assert client.pair["access_token"] not in repr(sandbox.requests())


async def test_bodies_that_are_no_text_are_shown_in_hex(start):
    _, client = await start()
    await client.send("/ingest", b"\xff\x00")
    _, shown = await client.admin("GET", "requests?endpoint=ingest&body=1")
    assert shown["requests"][0]["body_hex"] == "ff00"


async def test_requests_can_be_read_page_by_page(start):
    sandbox, client = await start()
    for number in range(6):
        await client.send(f"/ingest/{'ab'[number % 2]}", b"%d" % number)
    _, first = await client.admin("GET", "requests?endpoint=ingest/a&limit=2")
    assert [row["number"] for row in first["requests"]] == [2, 4]
    _, rest = await client.admin("GET", "requests?endpoint=ingest/a&after=4")
    assert [row["number"] for row in rest["requests"]] == [6]
    assert rest["last"] == 7
    assert "body" not in rest["requests"][0]
    assert [row.number for row in sandbox.requests(after=5)] == [6, 7]
    assert (await client.admin("GET", "requests?after=-1"))[0] == 400


async def test_repeats_are_counted_and_processed_again_without_dedupe(start):
    sandbox, client = await start()
    for _ in range(3):
        assert (await client.send("/ingest", b"[1, 2]", key="k"))[0] == 200
    state = sandbox.state()
    assert (state.repeats, state.repeated_keys) == (2, {"k": 2})
    assert (state.records, state.unique_records) == ({"ingest": 6}, {"ingest": 2})


async def test_with_dedupe_a_repeat_is_answered_but_not_processed(start):
    sandbox, client = await start(dedupe=True)
    for _ in range(3):
        assert (await client.send("/ingest", b"[1, 2]", key="k"))[0] == 200
    state = sandbox.state()
    assert (state.repeats, state.records) == (2, {"ingest": 2})
    assert [row.processed for row in sandbox.requests("ingest")] == [True, False, False]


async def test_a_refused_request_uses_up_no_key(start):
    sandbox, client = await start(dedupe=True)
    assert (await client.send("/devices", b"[]", key="k"))[0] == 400
    body = b'{"externalSystemId": "a", "externalDeviceId": "b"}'
    assert (await client.send("/devices", body, key="k"))[0] == 200
    assert (sandbox.state().repeats, sandbox.state().records) == (0, {"devices": 1})


async def test_the_record_holds_every_request_in_order(start, tmp_path):
    sandbox, client = await start(record=tmp_path / "in")
    bodies = [json.dumps({"n": n, "text": "é\u2028"}).encode() for n in range(5)]
    for number, body in enumerate(bodies):
        await client.send("/ingest", gzip.compress(body), key=f"k{number}", Content_Encoding="gzip")
    lines = (tmp_path / "in" / "requests.jsonl").read_bytes().split(b"\n")
    rows = [json.loads(line) for line in lines if line]
    assert [row["number"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["body"].encode() for row in rows[1:]] == bodies
    assert [row["key"] for row in rows[1:]] == [f"k{n}" for n in range(5)]
    assert (tmp_path / "in" / "requests.jsonl").stat().st_mode & 0o077 == 0
    await sandbox.stop()
    await sandbox.stop()


async def test_bodies_beyond_the_memory_limit_are_still_counted_and_shown(start):
    sandbox, client = await start(keep_bytes=100, spill_bytes=500)
    bodies = [b"[" + b"1," * 49 + b"%d]" % number for number in range(9)]
    for body in bodies:
        await client.send("/ingest", body)
    rows = sandbox.requests("ingest")
    shown = [row.body.plain for row in rows]
    # None fits into memory; four of 101 bytes fit into the file.
    assert shown == [*bodies[:4], None, None, None, None, None]
    assert sandbox.state().records == {"ingest": 450}
    assert [row.body.sha256 for row in rows] == [hashlib.sha256(body).hexdigest() for body in bodies]


async def test_sums_outlive_the_end_and_the_rows_that_were_let_go(start):
    sandbox, client = await start(keep_bytes=10, keep_requests=3)
    for number in range(8):
        await client.send("/ingest", b"[1, 2, %d]" % number)
    await sandbox.stop()
    assert len(sandbox.requests()) == 3
    assert [row.number for row in sandbox.requests(after=7)] == [8, 9]
    state = sandbox.state()
    assert (state.total, state.records) == (9, {"ingest": 24})


async def test_reset_forgets_what_was_received_but_keeps_tokens(start):
    sandbox, client = await start(dedupe=True)
    await client.send("/ingest", b"{}", key="k")
    await client.admin("POST", "faults", {"on": "*", "answer": 500})
    assert (await client.admin("POST", "reset"))[0] == 200
    assert sandbox.state().total == 0
    assert (await client.send("/ingest", b"{}", key="k"))[0] == 200
    state = sandbox.state()
    assert (state.logins, state.total, state.records, state.repeats) == (0, 1, {"ingest": 1}, 0)


async def test_the_admin_api_expires_revokes_and_counts(start):
    sandbox, client = await start()
    assert (await client.admin("POST", "expire"))[0] == 200
    assert (await client.send("/ingest", b"{}"))[0] == 401
    assert (await client.admin("POST", "revoke"))[0] == 200
    assert (await client.refresh())[0] == 401
    status, state = await client.admin("GET", "state")
    assert (status, state["unauthorized"], state["failed_refreshes"]) == (200, 1, 1)
    assert state["requests"] == {"login": {"200": 1}, "ingest": {"401": 1}, "refresh": {"401": 1}}
    assert state["total"] == sandbox.state().total == 3


async def test_the_admin_api_refuses_other_names_pages_and_calls(start):
    _, client = await start()
    assert (await client.admin("GET", "state", Host="evil.example"))[0] == 403
    assert (await client.admin("GET", "state", Origin="http://127.0.0.1"))[0] == 403
    assert (await client.admin("GET", "state", Host="localhost"))[0] == 200
    assert (await client.admin("GET", "stat"))[0] == 404
    assert (await client.admin("DELETE", "state"))[0] == 404


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", ""])
def test_it_listens_on_loopback_only(host):
    with pytest.raises(UsageError, match="loopback only"):
        Sandbox(host=host)


async def test_two_sandboxes_cannot_share_a_port():
    async with Sandbox() as first:
        second = Sandbox(port=first.port)
        with pytest.raises(OSError, match="in use"):
            await second.start()


def test_what_was_not_started_cannot_be_asked():
    with pytest.raises(RuntimeError, match="not started"):
        Sandbox().state()


async def test_until_waits_for_what_is_received(start):
    sandbox, client = await start()
    waiting = asyncio.create_task(sandbox.until(lambda one: one.state().answered("ingest", 200) == 2))
    await client.send("/ingest", b"{}")
    assert not waiting.done()
    await client.send("/ingest", b"{}")
    await waiting
    with pytest.raises(TimeoutError):
        await sandbox.until(lambda one: False, timeout=0.01)


async def test_a_client_that_goes_away_halfway_leaves_no_trouble(start, caplog):
    sandbox, client = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
    head = (
        f"POST /ingest HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {client.pair['access_token']}\r\n"
    )
    writer.write(head.encode() + b"Content-Length: 10\r\n\r\nhalf")
    await writer.drain()
    writer.close()
    await sandbox.until(lambda one: one.platform.ledger.last == 2)
    assert sandbox.state().requests["ingest"] == {"400": 1}
    assert sandbox.state().records == {}
    assert not caplog.records
    assert await reader.read() == b""


def test_a_thread_serves_code_without_an_event_loop():
    with sandbox_in_thread(Settings(password="secret-enough")) as sandbox:
        form = urllib.parse.urlencode({"username": "demo", "password": "secret-enough"}).encode()
        with urllib.request.urlopen(f"{sandbox.auth_url}/auth/password", form) as answer:
            token = json.load(answer)["access_token"]
        request = urllib.request.Request(
            sandbox.endpoints["ingest"] + "/x", b"[1]", {"Authorization": f"Bearer {token}"}
        )
        urllib.request.urlopen(request).close()
        sandbox.until(lambda one: one.state().total == 2)
        assert sandbox.state().records == {"ingest/x": 1}
        assert sandbox.requests("ingest/x")[0].body.plain == b"[1]"
        sandbox.expire()
        with pytest.raises(urllib.error.HTTPError, match="401") as caught:
            urllib.request.urlopen(request)
        caught.value.close()
        sandbox.revoke()
        sandbox.add_faults(Fault(on="*", answer=500))
        sandbox.clear_faults()
        assert sandbox.devices() == []
        sandbox.reset()
        assert sandbox.state().total == 0
