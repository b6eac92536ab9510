from __future__ import annotations

import asyncio
import gzip
import json
import logging
from itertools import pairwise

import pytest

from agent.config.model import Delivery, Expr, Limits
from agent.deliver import trying
from agent.errors import StateError
from agent.spool import LaneWait
from tests.support.delivery import WHERE, sent, template
from tests.support.scripted import DROP, DROP_UNREAD, Answer, ScriptedServer

TEN = [f"message {n}" for n in range(10)]


async def test_messages_arrive_in_order_with_their_keys_and_leave_receipts(world, server):
    server.script("/in", Answer(200, b"thanks", headers={"X-Request-Id": "r1"}))
    keys = await world.spooled(*TEN)
    await world.start(accepts_gzip=True)
    assert await world.deliverer.drained("gps") is None
    assert sent(server.requests) == TEN
    assert [one.headers["Idempotency-Key"] for one in server.requests] == keys
    overview = world.overview()
    assert (overview.waiting, overview.delivered, overview.dead) == (0, 10, 0)
    assert overview.last_receipt.answer.headers == {"X-Request-Id": "r1"}
    assert overview.last_receipt.attempts == 1


async def test_what_is_appended_later_is_sent_without_being_asked(world, server):
    server.script("/in", Answer(204))
    await world.start()
    for text in TEN:
        await world.spooled(text)
        await server.until(int(text.split()[1]) + 1)
    await world.settled()
    assert sent(server.requests) == TEN
    assert world.deliverer.snapshot().lanes == 0


async def test_the_next_message_is_sent_only_when_the_ack_of_the_last_is_stored(world, server):
    stored = []

    def look(request):
        stored.append(world.overview().delivered)
        return Answer(204)

    server.script("/in", look)
    await world.spooled(*TEN)
    await world.start(limits=Limits(concurrency=8))
    await world.settled()
    assert stored == list(range(10))
    assert server.most_in_flight == 1


@pytest.mark.parametrize(
    "fault",
    [
        Answer(503),
        Answer(408),
        Answer(425),
        Answer(429),
        Answer(500),
        DROP,
        DROP_UNREAD,
        Answer(200, b"0123", drop="half"),
    ],
)
async def test_del_28_34_order_holds_through_failures_and_the_key_stays(world, server, fault):
    server.script("/in", [Answer(200), fault, fault, fault, Answer(200), fault, Answer(200)])
    keys = await world.spooled("a", "b", "c", "d")
    await world.start()
    await world.settled()
    arrived = [one.headers["Idempotency-Key"] for one in server.requests]
    assert arrived[0] == keys[0]
    assert list(dict.fromkeys(arrived)) == keys
    assert [keys.index(key) for key in arrived] == sorted(keys.index(key) for key in arrived)
    assert world.overview().delivered == 4


async def test_a_failed_attempt_is_counted_and_waits_visibly(still, server):
    server.script("/in", [Answer(503), Answer(503), Answer(204)])
    await still.spooled("a")
    await still.start()
    wait = await still.waits("retry")
    assert wait.reason == "503 Service Unavailable"
    assert (wait.attempts, wait.until) == (1, still.clock.now() + 0.5)
    assert (await still.deliverer.drained("gps")) == wait
    assert [one.kind for one in still.overview().waits] == ["retry"]
    await still.clock.advance(0.5)
    await server.until(2)
    await still.waits("retry", attempts=2)
    await still.clock.advance(1)
    await server.until(3)
    await still.settled()
    assert still.overview().last_receipt.attempts == 3
    assert still.overview().waits == ()


# ---------------------------------------------------------------------- Retry-After


async def test_del_21_429_with_retry_after_waits_so_long_and_keeps_the_order(world, server):
    times = []

    def timed(status, **headers):
        def answer(_):
            times.append(world.clock.monotonic())
            return Answer(status, headers=headers)

        return answer

    server.script("/in", [timed(429, **{"Retry-After": "3"}), timed(204)])
    await world.spooled("a", "b")
    await world.start()
    await world.settled()
    assert sent(server.requests) == ["a", "a", "b"]
    assert 3.0 <= times[1] - times[0] <= 4.0


async def test_retry_after_zero_for_ever_is_no_hot_loop(world, server):
    times = []

    def busy(_):
        times.append(world.clock.monotonic())
        return Answer(429, headers={"Retry-After": "0"}) if len(times) < 12 else Answer(204)

    server.script("/in", busy)
    await world.spooled("a")
    await world.start()
    await world.settled()
    assert times[-1] - times[-2] == 150.0


async def test_del_25_a_429_pauses_its_connection_and_no_other(still, server):
    async with ScriptedServer() as elsewhere:
        elsewhere.script("/in", Answer(204))
        server.script("/in", [Answer(429, headers={"Retry-After": "60"}), Answer(204)])
        server.script("/other", Answer(204))
        here, there = await still.connect(), await still.connect(name="there", url=elsewhere.url)
        still.route(here, name="slowed")
        still.route(here, name="beside", endpoint="other")
        still.route(there, name="free")
        await still.deliverer.start()
        await still.spooled("a", job="slowed")
        await still.waits("retry", job="slowed")
        await still.spooled("b", job="beside")
        await still.spooled("c", job="free")
        await elsewhere.until(1)
        await still.asleep(2)
        await still.clock.advance(59)
        assert server.asked("/other") == []
        assert here.state().paused_until is not None
        await still.clock.advance(3)
        await server.until(1, "/other")


# ---------------------------------------------------------------------- refused and misdirected


@pytest.mark.parametrize("status", [400, 409, 413, 415, 422])
async def test_del_26_27_45_a_refused_message_becomes_a_dead_letter_and_the_others_go_on(
    world, server, status
):
    server.script("/in", [Answer(204), Answer(status, b'{"error": "no such vehicle"}'), Answer(204)])
    keys = await world.spooled("a", "poison", "c")
    await world.start(accepts_gzip=True)
    await world.settled()
    assert sent(server.requests) == ["a", "poison", "c"]
    (letter,) = world.reader().dead("gps")
    letter = world.reader().dead_letter(letter.id)
    assert (letter.reason, letter.key, letter.attempts) == ("refused", keys[1], 1)
    assert gzip.decompress(letter.body) == b"poison"
    assert letter.answer.body == '{"error": "no such vehicle"}'
    assert letter.answer.status == status
    assert letter.headers["Idempotency-Key"] == keys[1]
    assert world.overview().delivered == 2


@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308, 403, 404, 405])
async def test_del_30_a_misdirected_message_waits_and_probes_slowly(world, server, status):
    times = []

    def wrong(_):
        times.append(world.clock.monotonic())
        return Answer(status if len(times) < 6 else 204)

    server.script("/in", wrong)
    await world.spooled("a", "b")
    await world.start()
    await world.settled()
    gaps = [later - before for before, later in pairwise(times[:6])]
    assert min(gaps) >= 30.0
    assert max(gaps) <= 300.0
    assert world.overview().dead == 0
    assert sent(server.requests) == ["a"] * 6 + ["b"]


async def test_a_job_may_give_up_what_is_misdirected(world, server):
    server.script("/in", [Answer(404), Answer(204)])
    await world.spooled("a", "b")
    connection = await world.connect()
    world.route(connection, delivery=Delivery(on_misdirected="dead_letter"))
    await world.deliverer.start()
    await world.settled()
    assert [one.reason for one in world.reader().dead("gps")] == ["misdirected"]
    assert world.overview().delivered == 1


async def test_a_message_that_cannot_be_sent_as_a_request_is_refused_with_its_reason(world, server):
    server.script("/in/b", Answer(204))
    await world.spooled("a", path="/x/../y")
    await world.spooled("b", path="/b")
    connection = await world.connect()
    world.route(connection, path=template("/", Expr(sql="id", where=WHERE)))
    await world.deliverer.start()
    await world.settled()
    (letter,) = world.reader().dead("gps")
    assert "would leave its place" in letter.answer.reason
    assert sent(server.requests) == ["b"]


# ---------------------------------------------------------------------- limits


async def test_res_04_concurrency_holds_over_all_jobs_of_a_connection(world, server):
    release = asyncio.Event()
    server.script("/in", Answer(204, hold=release))
    connection = await world.connect(limits=Limits(concurrency=3))
    for number in range(8):
        world.route(connection, name=f"job-{number}")
        await world.spooled("a", "b", job=f"job-{number}")
    await world.deliverer.start()
    await server.until(3)
    assert connection.state().in_flight == 3
    release.set()
    for number in range(8):
        await world.settled(f"job-{number}")
    assert server.most_in_flight == 3
    assert len(server.requests) == 16


async def test_a_rate_holds_over_all_jobs_of_a_connection(world, server):
    times = []

    def note(_):
        times.append(world.clock.monotonic())
        return Answer(204)

    server.script("/in", note)
    connection = await world.connect(limits=Limits(rate=10, concurrency=1))
    for number in range(3):
        world.route(connection, name=f"job-{number}")
        await world.spooled(*TEN, job=f"job-{number}")
    await world.deliverer.start()
    for number in range(3):
        await world.settled(f"job-{number}")
    assert len(times) == 30
    assert times[-1] - times[0] >= 2.85


async def test_del_36_a_target_that_never_answers_holds_up_no_other_job(world, server):
    never = asyncio.Event()
    server.script("/in", Answer(204, hold=never))
    server.script("/other", Answer(204))
    connection = await world.connect()
    world.route(connection, name="stuck")
    world.route(connection, name="free", endpoint="other")
    await world.spooled("a", job="stuck")
    await world.deliverer.start()
    await server.until(1, "/in")
    await world.spooled(*TEN, job="free")
    await server.until(10, "/other")
    await world.settled("free")
    never.set()


async def test_lanes_of_a_job_do_not_wait_for_each_other(world, server):
    hold = asyncio.Event()
    server.script("/in", lambda request: Answer(204, hold=hold if request.body == b"slow" else None))
    await world.spooled("slow", lane=1)
    await world.spooled("x", "y", "z", lane=2)
    await world.start()
    await server.until(4)
    assert [body for body in sent(server.requests) if body != "slow"] == ["x", "y", "z"]
    hold.set()
    await world.settled()


# ---------------------------------------------------------------------- routes


async def test_a_job_without_a_route_waits_visibly_and_loses_nothing(world, server):
    server.script("/in", Answer(204))
    await world.spooled("a", "b")
    await world.deliverer.start()
    wait = await world.waits("no route")
    assert wait.until is None
    world.route(await world.connect())
    await world.settled()
    assert sent(server.requests) == ["a", "b"]


async def test_a_deleted_job_still_in_a_try_ends_it_and_then_waits(world, server):
    hold = asyncio.Event()
    server.script("/in", Answer(204, hold=hold))
    await world.spooled("a", "b")
    await world.start()
    await server.until(1)
    world.deliverer.set_routes({})
    hold.set()
    await world.waits("no route")
    assert sent(server.requests) == ["a"]
    assert world.overview().waiting == 1


async def test_yml_14_a_try_in_flight_ends_on_its_old_route_and_the_next_takes_the_new_one(world, server):
    hold = asyncio.Event()
    server.script("/in", Answer(204, hold=hold))
    server.script("/other", Answer(204))
    await world.spooled("a", "b", "c")
    connection = await world.start()
    await server.until(1)
    world.route(connection, endpoint="other")
    hold.set()
    await world.settled()
    assert [request.path for request in server.requests] == ["/in", "/other", "/other"]


async def test_a_lane_in_a_long_wait_looks_at_a_new_route_at_once(still, server):
    server.script("/in", Answer(404))
    server.script("/other", Answer(204))
    await still.spooled("a")
    connection = await still.start()
    await still.waits("misdirected")
    still.route(connection, endpoint="other")
    await still.settled()
    assert [request.path for request in server.requests] == ["/in", "/other"]


async def test_a_lane_that_waits_at_the_gate_leaves_a_connection_that_is_replaced(still, server):
    server.script("/in", Answer(204))
    old = await still.connect()
    old.gate.pause(3600)
    still.route(old)
    await still.spooled("a")
    await still.deliverer.start()
    await still.asleep(1)
    still.route(await still.connect())
    await still.settled()
    assert old.gate.in_flight == 0
    await old.close(0)


async def test_routes_that_did_not_change_leave_a_waiting_lane_alone(still, server):
    server.script("/in", Answer(503))
    await still.spooled("a")
    connection = await still.start()
    await still.waits("retry")
    still.route(connection)
    still.route(connection, name="another")
    await asyncio.sleep(0.02)
    assert len(server.requests) == 1


# ---------------------------------------------------------------------- stop and kill


async def test_stop_lets_what_is_in_flight_end_and_stores_it(still, server):
    hold = asyncio.Event()
    server.script("/in", Answer(204, hold=hold))
    await still.spooled("a", "b")
    await still.start()
    await server.until(1)
    stopping = asyncio.create_task(still.deliverer.stop(30))
    await asyncio.sleep(0.01)
    assert not stopping.done()
    hold.set()
    assert await stopping == 0
    assert sent(server.requests) == ["a"]
    assert (still.overview().delivered, still.overview().waiting) == (1, 1)


async def test_stop_cuts_off_a_target_that_hangs_and_the_same_key_is_sent_again(still, server):
    hold = asyncio.Event()
    server.script("/in", [Answer(204, hold=hold), Answer(204)])
    keys = await still.spooled("a", "b")
    connection = await still.start()
    await server.until(1)
    stopping = asyncio.create_task(still.deliverer.stop(5))
    await asyncio.sleep(0.01)
    await still.clock.advance(5)
    assert await stopping == 1
    assert await still.deliverer.stop(5) == 0
    still.new_life()
    still.route(connection)
    await still.deliverer.start()
    await still.settled()
    assert [one.headers["Idempotency-Key"] for one in server.requests] == [keys[0], *keys]
    hold.set()


async def test_stop_ends_a_lane_that_waits_at_once(still, server):
    server.script("/in", Answer(503))
    await still.spooled("a")
    await still.start()
    await still.waits("retry")
    assert await still.deliverer.stop(3600) == 0
    assert still.overview().waiting == 1


async def test_a_failing_try_that_is_in_flight_at_stop_is_counted(still, server):
    hold = asyncio.Event()
    server.script("/in", Answer(503, hold=hold))
    await still.spooled("a")
    await still.start()
    await server.until(1)
    stopping = asyncio.create_task(still.deliverer.stop(30))
    await asyncio.sleep(0.01)
    hold.set()
    assert await stopping == 0
    (message,) = await still.spool.oldest("gps", 0)
    assert message.attempts == 1


# ---------------------------------------------------------------------- the agent's own troubles


async def test_an_ack_that_cannot_be_stored_is_tried_again_and_the_message_not_sent_again(
    world, server, monkeypatch
):
    server.script("/in", Answer(204))
    ack, failing = world.spool.ack, [StateError("disk I/O error")] * 3

    def faulty(message, receipt):
        if failing:
            raise failing.pop()
        return ack(message, receipt)

    monkeypatch.setattr(world.spool, "ack", faulty)
    await world.spooled("a", "b")
    await world.start()
    await world.settled()
    assert sent(server.requests) == ["a", "b"]
    assert world.overview().delivered == 2


async def test_a_spool_that_cannot_be_read_for_a_while_is_asked_again(world, server, monkeypatch):
    server.script("/in", Answer(204))
    oldest, lanes = world.spool.oldest, world.spool.lanes
    failing = [StateError("disk I/O error")] * 4

    def faulty(work):
        def call(*args, **kwargs):
            if failing:
                raise failing.pop()
            return work(*args, **kwargs)

        return call

    await world.spooled("a")
    monkeypatch.setattr(world.spool, "oldest", faulty(oldest))
    monkeypatch.setattr(world.spool, "lanes", faulty(lanes))
    await world.start()
    await server.until(1)
    await world.settled()
    assert world.overview().delivered == 1


async def test_a_bug_in_a_lane_is_logged_and_neither_kills_nor_loses(world, server, monkeypatch, caplog):
    server.script("/in", Answer(204))
    bugs = [KeyError("bug"), KeyError("bug")]

    def buggy(*args, **kwargs):
        if bugs:
            raise bugs.pop()
        return real(*args, **kwargs)

    real = trying.build
    monkeypatch.setattr(trying, "build", buggy)
    await world.spooled("a", "b")
    with caplog.at_level(logging.ERROR):
        await world.start()
        await server.until(2)
        await world.settled()
    assert sent(server.requests) == ["a", "b"]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [KeyError, KeyError]


async def test_trouble_is_logged_once_when_it_begins_and_once_when_it_ends(world, server, caplog):
    server.script("/in", [DROP, DROP, DROP, Answer(503), Answer(204)])
    await world.spooled("a", "b")
    with caplog.at_level(logging.INFO):
        await world.start()
        await world.settled()
    said = [
        record.message
        for record in caplog.records
        if record.name in {"push_agent.deliver", "push_agent.connection"}
    ]
    assert said.count("the target does not answer") == 1
    assert said.count("the target answers again") == 1
    assert said.count("a lane waits") == 2  # network, then retry
    assert said.count("a lane goes on") == 1


async def test_a_wait_of_the_last_life_is_cleared_by_the_first_delivery(world, server):
    server.script("/in", Answer(204))
    row = LaneWait(job="gps", lane=0, kind="retry", reason="503", since=1.0, until=2.0, attempts=9)
    await world.spool.set_wait(row)
    await world.spooled("a")
    await world.start()
    await world.settled()
    assert world.overview().waits == ()


async def test_the_snapshot_counts_what_was_done(world, server):
    server.script("/in", [Answer(503), Answer(422), Answer(204)])
    await world.spooled("a", "bb", "ccc")
    await world.start()
    await world.settled()
    snapshot = world.deliverer.snapshot()
    assert snapshot.attempts == {("gps", "retry"): 1, ("gps", "refused"): 1, ("gps", "delivered"): 2}
    done = snapshot.delivered["gps"]
    assert (done.messages, done.records, done.bytes) == (2, 2, 5)
    assert sum(snapshot.seconds["gps"].counts) == 4
    assert (snapshot.in_flight, snapshot.lanes, snapshot.waits) == (0, 0, ())
    assert json.dumps(snapshot.seconds["gps"].bounds)


async def test_drained_says_at_once_that_there_is_nothing(world):
    await world.start()
    assert await world.deliverer.drained("never heard of") is None
