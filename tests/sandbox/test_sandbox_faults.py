from __future__ import annotations

import asyncio
import gzip

import aiohttp
import pytest

from agent.errors import UsageError
from agent.sandbox import Fault
from agent.sandbox.faults import parse_faults

LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


@pytest.mark.parametrize("answer", [204, 302, 400, 401, 403, 404, 413, 429, 500, 503])
async def test_any_answer_can_be_asked_for_of_a_target(start, answer):
    sandbox, client = await start()
    sandbox.add_faults(Fault(on="devices", answer=answer, times=1))
    status, _, _ = await client.send("/devices", b"whatever")
    assert status == answer
    assert sandbox.state().records == {}
    assert (await client.send("/devices", b"whatever"))[0] == 400
    assert sandbox.state().unauthorized == (answer == 401)


async def test_an_answer_carries_the_body_and_headers_it_was_given(start):
    sandbox, client = await start()
    headers = {"Location": "http://127.0.0.1:1/elsewhere", "Content-Type": "text/html"}
    sandbox.add_faults(Fault(on="ingest", answer=503, retry_after="3", body="<h1>no</h1>", headers=headers))
    status, text, answered = await client.send("/ingest/x", b"{}")
    assert (status, text) == (503, "<h1>no</h1>")
    assert answered["Retry-After"] == "3"
    assert answered["Location"] == "http://127.0.0.1:1/elsewhere"
    assert answered["Content-Type"] == "text/html"


@pytest.mark.parametrize(("on", "calls"), [("login", [503, 200]), ("refresh", [200, 503]), ("*", [503, 503])])
async def test_sign_in_can_fail_too(start, on, calls):
    sandbox, client = await start()
    sandbox.add_faults(Fault(on=on, answer=503))
    assert [(await client.login())[0], (await client.refresh())[0]] == calls
    # A refresh that was never processed used up nothing.
    sandbox.clear_faults()
    assert (await client.refresh())[0] == 200
    assert sandbox.state().refresh_reuse == 0


@pytest.mark.parametrize(
    ("on", "hit"),
    [
        ("ingest/a", {"/ingest/a"}),
        ("ingest", {"/ingest/a", "/ingest/b", "/ingest"}),
        ("devices", {"/devices"}),
        ("targets", {"/ingest/a", "/ingest/b", "/ingest", "/devices", "/nothing"}),
        ("unknown", {"/nothing"}),
        ("login", set()),
    ],
)
async def test_a_fault_strikes_where_it_was_put(start, on, hit):
    sandbox, client = await start()
    sandbox.add_faults(Fault(on=on, answer=418))
    paths = ("/ingest/a", "/ingest/b", "/ingest", "/devices", "/nothing")
    assert {path for path in paths if (await client.send(path, b"{}"))[0] == 418} == hit
    assert ((await client.refresh())[0]) == 200


async def test_a_connection_dropped_before_processes_nothing(start):
    sandbox, client = await start()
    sandbox.add_faults(Fault(on="ingest", drop="before", times=1))
    with pytest.raises(LOST):
        await client.send("/ingest", b"{}", key="k1")
    assert (await client.send("/ingest", b"{}", key="k1"))[0] == 200
    state = sandbox.state()
    assert (state.records, state.repeats) == ({"ingest": 1}, 0)
    assert state.requests["ingest"] == {"dropped": 1, "200": 1}


async def test_a_connection_dropped_after_has_processed_everything(start):
    sandbox, client = await start()
    sandbox.add_faults(Fault(on="ingest", drop="after", times=1))
    with pytest.raises(LOST):
        await client.send("/ingest", b"{}", key="k1")
    assert (await client.send("/ingest", b"{}", key="k1"))[0] == 200
    state = sandbox.state()
    assert (state.records, state.unique_records, state.repeats) == ({"ingest": 2}, {"ingest": 1}, 1)
    assert state.repeated_keys == {"k1": 1}
    assert [row.dropped for row in sandbox.requests("ingest")] == ["after", ""]


async def test_a_refresh_dropped_after_rotating_leaves_a_dead_token(start):
    sandbox, client = await start()
    sandbox.add_faults(Fault(on="refresh", drop="after", times=1))
    with pytest.raises(LOST):
        await client.refresh()
    assert (await client.refresh())[0] == 401
    state = sandbox.state()
    assert (state.refreshes, state.refresh_reuse) == (1, 1)


async def test_a_refresh_dropped_before_leaves_the_token_alive(start):
    sandbox, client = await start()
    sandbox.add_faults(Fault(on="refresh", drop="before", times=1))
    with pytest.raises(LOST):
        await client.refresh()
    assert (await client.refresh())[0] == 200
    assert sandbox.state().refresh_reuse == 0


async def test_a_wrong_answer_after_processing_counts_as_processed(start):
    sandbox, client = await start()
    sandbox.add_faults(
        Fault(on="ingest", answer=502, processed=True, times=1),
        Fault(on="refresh", answer=500, processed=True),
    )
    assert (await client.send("/ingest", b"{}", key="k"))[0] == 502
    assert (await client.send("/ingest", b"{}", key="k"))[0] == 200
    assert sandbox.state().repeats == 1
    assert (await client.refresh())[0] == 500
    assert sandbox.state().refreshes == 1


async def test_a_delay_waits_and_then_processes(start, clock):
    sandbox, client = await start()
    sandbox.add_faults(Fault(on="ingest", delay=2.5))
    assert (await client.send("/ingest", b"{}"))[0] == 200
    assert clock.waited == [2.5]


async def test_a_delay_can_stand_before_an_answer(start, clock):
    sandbox, client = await start()
    sandbox.add_faults(Fault(on="ingest", delay=1, answer=504))
    assert (await client.send("/ingest", b"{}"))[0] == 504
    assert clock.waited == [1]


async def test_a_hold_waits_until_the_faults_are_taken_away(start):
    sandbox, client = await start()
    await client.admin("POST", "faults", {"on": "ingest", "hold": True, "times": 1})
    held = asyncio.create_task(client.send("/ingest", b"{}", key="held"))
    while (await client.admin("GET", "faults"))[1]["faults"][0]["struck"] == 0:
        pass  # the question itself lets the other request go on
    assert (await client.send("/ingest", b"{}", key="free"))[0] == 200
    assert not held.done()
    await client.admin("DELETE", "faults")
    assert (await held)[0] == 200
    assert [row.key for row in sandbox.requests("ingest")] == ["free", "held"]


async def test_the_dice_fall_alike_for_the_same_seed(start):
    seen = []
    for seed in (1, 1, 2):
        sandbox, client = await start(seed=seed)
        sandbox.add_faults(Fault(on="ingest", answer=500, rate=0.3))
        seen.append([(await client.send("/ingest", b"{}"))[0] for _ in range(40)])
    assert seen[0] == seen[1] != seen[2]
    assert set(seen[0]) == {200, 500}


async def test_faults_are_used_in_the_order_of_the_list(start):
    sandbox, client = await start()
    sandbox.add_faults(
        Fault(on="ingest", answer=500, skip=1, times=1),
        Fault(on="*", answer=429, times=2),
        Fault(on="devices", answer=403),
    )
    assert [(await client.send("/ingest", b"{}"))[0] for _ in range(4)] == [429, 500, 429, 200]
    assert [(one["left"], one["struck"]) for one in sandbox.platform.faults.shown()] == [
        (0, 1),
        (0, 2),
        (None, 0),
    ]


@pytest.mark.parametrize("coding", [{}, {"Content_Encoding": "gzip"}])
async def test_bodies_with_a_text_in_them_are_answered_otherwise(start, coding):
    sandbox, client = await start()
    sandbox.add_faults(
        Fault(on="ingest", answer=422, containing="NL-13", body="no"),
        Fault(on="ingest", answer=409, containing="é"),
    )
    statuses = []
    for text in ("NL-12", "xNL-13x", "é", "é NL-13", ""):
        body = gzip.compress(text.encode()) if coding else text.encode()
        statuses.append((await client.send("/ingest/x", body, **coding))[0])
    assert statuses == [200, 422, 409, 422, 200]
    assert (await client.send("/devices", b"NL-13"))[0] == 400  # as usual


async def test_faults_come_and_go_over_the_admin_api(start):
    _, client = await start()
    fault = {"on": "ingest", "answer": 429, "retry_after": 3, "body": {"error": "slow down"}}
    status, shown = await client.admin("POST", "faults", [fault, {"on": "login", "drop": "before"}])
    assert (status, len(shown["faults"])) == (200, 2)
    status, text, headers = await client.send("/ingest", b"{}")
    assert (status, text, headers["Retry-After"]) == (429, '{"error": "slow down"}', "3")
    assert (await client.admin("GET", "faults"))[1]["faults"][0]["struck"] == 1
    assert (await client.admin("DELETE", "faults"))[1] == {"faults": []}
    assert (await client.send("/ingest", b"{}"))[0] == 200


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], None),
        ({"on": "*", "answer": 500, "times": None}, None),
        ("x", "fault 1: an object with `on` is needed"),
        ([{"on": "*", "delay": 1}, {"answer": 500}], "fault 2: an object with `on` is needed"),
        ({"on": "*", "anser": 500}, "fault 1: unknown key 'anser'"),
        ({"on": "*", "answer": "500"}, "fault 1: answer must not be a str"),
        ({"on": "*", "answer": True}, "fault 1: answer must not be a bool"),
        ({"on": "*", "answer": 99}, "fault 1: answer must be from 200 to 599"),
        (
            {"on": "*", "containing": "x", "answer": 422, "times": 1},
            "fault 1: containing needs an answer, and stands with body and headers only",
        ),
        ({"on": "*", "drop": "during"}, "fault 1: drop must be before or after"),
        ({"on": "*", "drop": "after", "answer": 500}, "fault 1: either answer or drop"),
        ({"on": "*"}, "fault 1: one of answer, drop, delay and hold is needed"),
        ({"on": "*", "answer": 500, "rate": 2}, "fault 1: rate must be from 0 to 1"),
        ({"on": "*", "answer": 500, "times": -1}, "fault 1: delay, skip and times must not be negative"),
        (
            {"on": "*", "answer": 500, "headers": {"X": 1}},
            "fault 1: headers must be texts without line breaks",
        ),
        (
            {"on": "*", "answer": 500, "headers": {"X": "a\r\nb"}},
            "fault 1: headers must be texts without line breaks",
        ),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_with_its_number(document, words):
    if words is None:
        parse_faults(document)
        return
    with pytest.raises(UsageError) as caught:
        parse_faults(document)
    assert caught.value.message == words


async def test_a_senseless_fault_is_a_400_over_http(start):
    _, client = await start()
    status, document = await client.admin("POST", "faults", {"on": "*", "anser": 500})
    assert (status, document["error"]) == (400, "fault 1: unknown key 'anser'")
    assert "answer" in document["hint"]
