"""`delivery.latest_by`: what a newer message makes useless is not sent, and never silently."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

import pytest
from click import unstyle

from agent.commands.status import text
from agent.config.model import Delivery, Expire, Expr, Limits
from agent.status import Figures, to_json
from agent.survey import survey
from agent.web.metrics import render
from tests.support.delivery import WHERE, a_draft, sent
from tests.support.scripted import Answer
from tests.support.spool import stamp

LATEST = Delivery(latest_by=Expr(sql="plate", where=WHERE))


async def spooled(world, *texts, file=None, **more):
    """Positions such as `A1`: of vehicle A, the first one. `-1` has no vehicle."""
    run = await world.spool.start_run("gps", 0.0, "test", "sha")
    drafts = [
        a_draft(text, subject=None if text[0] == "-" else text[0], origin=text, **more) for text in texts
    ]
    return await world.spool.append(run, drafts, file=file)


async def begin(world, delivery=LATEST, **more):
    connection = await world.connect(**more)
    world.route(connection, delivery=delivery)
    await world.deliverer.start()
    return connection


async def told(world, lane=0):
    """Until the lane knows that something was appended."""
    while not world.deliverer._lanes["gps", lane].waiting.look_again:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.001)


def fates(world, *keys):
    with world.reader() as reader:
        found = [one for key in keys for one in reader.find(key)]
        return [one.fate for one in found]


async def test_only_the_newest_of_each_is_sent_and_the_order_stays(still, server, caplog):
    server.script("/in", Answer(204))
    keys = await spooled(still, "A1", "B1", "-1", "A2", "C1", "A3", "-2", "B2")
    with caplog.at_level(logging.INFO):
        await begin(still)
        await still.settled()
    assert sent(server.requests) == ["-1", "C1", "A3", "-2", "B2"]
    assert fates(still, *keys) == [
        *("superseded", "superseded", "delivered", "superseded"),
        *("delivered", "delivered", "delivered", "delivered"),
    ]
    with still.reader() as reader:
        [one] = reader.find(keys[0])
    assert one.answer is not None
    assert (one.answer.status, one.answer.reason, one.attempts) == (None, f"superseded by {keys[5]}", 0)
    assert (one.method, one.url, one.settled_at) == ("", "", still.clock.now())
    overview = still.overview()
    assert (overview.waiting, overview.delivered, overview.superseded, overview.dead) == (0, 5, 3, 0)
    assert overview.waiting_bytes == overview.waiting_records == 0
    told = [record for record in caplog.records if record.getMessage() == "superseded"]
    assert len(told) == 1, "one line for a window"


async def test_the_one_that_is_retried_leaves_before_its_next_attempt(still, server):
    server.script("/in", lambda request: Answer(503 if sent([request]) == ["A1"] else 204))
    [old] = await spooled(still, "A1")
    await begin(still)
    await still.waits("retry")
    [new] = await spooled(still, "A2")
    await told(still)
    await still.clock.advance(5 * 60)
    await still.settled()
    assert sent(server.requests) == ["A1", "A2"]
    assert fates(still, old, new) == ["superseded", "delivered"]
    with still.reader() as reader:
        [one] = reader.find(old)
    assert one.attempts == 1
    assert still.overview().waits == ()


async def test_the_one_in_front_of_the_gate_is_not_sent_any_more(still, server):
    server.script("/in", [Answer(429, headers={"Retry-After": "600"}), Answer(204)])
    await spooled(still, "B1")
    old = await spooled(still, "A1", lane=1)
    connection = await begin(still, limits=Limits(concurrency=1))
    await still.waits("retry")
    assert connection.gate.paused_for() > 0
    await still.asleep(2)
    await spooled(still, "A2", lane=1)
    await told(still, lane=1)
    await still.clock.advance(11 * 60 + 60)
    await still.settled()
    assert sorted(sent(server.requests)) == ["A2", "B1", "B1"]
    assert fates(still, *old) == ["superseded"]


async def test_what_comes_while_a_window_is_sent_counts_for_the_rest_of_it(still, server):
    passing = asyncio.Event()

    async def first(request):
        if sent([request]) == ["A1"]:
            await spooled(still, "B2")
            await told(still)
            passing.set()
        return Answer(204)

    server.script("/in", first)
    await spooled(still, "A1", "B1", "C1")
    await begin(still)
    await still.settled()
    assert passing.is_set()
    assert sent(server.requests) == ["A1", "C1", "B2"]


async def test_what_is_held_takes_nobodys_place_before_it_can_be_sent(still, server):
    server.script("/in", Answer(503))
    old = await spooled(still, "A1")
    run = await still.spool.start_run("gps", 0.0, "test", "sha")
    row = await still.spool.open_file("gps", run, stamp(), "sha", hold=True)
    await still.spool.append(run, [a_draft("A2", subject="A")], file=row)
    await begin(still)
    await still.waits("retry")
    await still.clock.advance(60)
    await still.waits("retry", attempts=2)
    assert fates(still, *old) == ["waiting"]
    server.script("/in", Answer(204))
    await still.spool.release_file(row)
    await told(still)
    await still.clock.advance(10 * 60)
    await still.settled()
    assert sent(server.requests)[-1] == "A2"
    assert fates(still, *old) == ["superseded"]


async def test_a_file_is_done_when_all_its_messages_have_left(still, server):
    server.script("/in", Answer(204))
    run = await still.spool.start_run("gps", 0.0, "test", "sha")
    row = await still.spool.open_file("gps", run, stamp(), "sha", hold=True)
    drafts = [a_draft(text, subject="A") for text in ("A1", "A2", "A3")]
    await still.spool.append(run, drafts, file=row)
    await still.spool.release_file(row)
    assert await still.spool.settled_files() == []
    await begin(still)
    await still.settled()
    [file] = await still.spool.settled_files()
    assert (file.ends, file.delivered, file.dead) == ("done", 1, 0)


async def test_a_job_without_latest_by_sends_all_and_one_that_gets_it_does_not(still, server):
    server.script("/in", Answer(503))
    await spooled(still, "A1", "A2", "A3")
    connection = await begin(still, Delivery())
    await still.waits("retry")
    server.script("/in", Answer(204))
    still.route(connection, delivery=LATEST)
    await still.settled()
    assert sent(server.requests) == ["A1", "A3"]
    still.route(connection, delivery=Delivery())
    await spooled(still, "B1", "B2")
    await still.settled()
    assert sent(server.requests)[-2:] == ["B1", "B2"]


async def test_a_thousand_superseded_ones_leave_together(world, server):
    server.script("/in", Answer(204))
    await spooled(world, *["A1"] * 1_000, "A2")
    await begin(world)
    await world.settled()
    assert sent(server.requests) == ["A2"]
    assert (world.overview().superseded, world.overview().waiting) == (1_000, 0)


async def test_after_a_restart_what_left_has_left_and_the_rest_goes_on(still, server):
    server.script("/in", Answer(503))
    old = await spooled(still, "A1", "B1")
    connection = await begin(still)
    await still.waits("retry")
    await still.deliverer.stop(0)
    new = await spooled(still, "A2")
    still.new_life()
    server.script("/in", Answer(204))
    still.deliverer.set_routes(still.entries)
    await still.deliverer.start()
    await still.settled()
    assert connection is not None
    assert sent(server.requests) == ["A1", "B1", "A2"]
    assert fates(still, *old, *new) == ["superseded", "delivered", "delivered"]


async def test_what_is_too_old_is_a_dead_letter_also_when_a_newer_one_waits(still, server):
    server.script("/in", Answer(204))
    await spooled(still, "A1", as_of=still.clock.now() - 3_600)
    await spooled(still, "A2")
    await begin(still, Delivery(latest_by=LATEST.latest_by, expire=Expire(after=timedelta(minutes=30))))
    await still.settled()
    assert sent(server.requests) == ["A2"]
    assert (still.overview().expired, still.overview().superseded) == (1, 0)


async def test_a_dead_letter_that_is_sent_again_by_hand_takes_nobodys_place(still, server):
    server.script("/in", [Answer(422), Answer(503)])
    [dead] = await spooled(still, "A1")
    await begin(still)
    await still.settled()
    with still.reader() as reader:
        letters = reader.dead()
    await spooled(still, "A2")
    await still.waits("retry")
    server.script("/in", Answer(204))
    await still.spool.revive(letters[0].id)
    await still.clock.advance(10 * 60)
    await still.settled()
    assert sent(server.requests) == ["A1", "A2", "A2", "A1"]
    assert fates(still, dead) == ["delivered"]


async def test_superseding_twice_leaves_one_trace(still):
    keys = await spooled(still, "A1", "A2")
    first, _ = await still.spool.oldest("gps", 0)
    assert await still.spool.supersede([first]) == [first.id]
    assert await still.spool.supersede([first]) == [first.id], "it is gone: not to be sent"
    assert fates(still, keys[0]) == ["superseded"]
    assert still.overview().superseded == 1


@pytest.mark.parametrize("name", ["superseded_messages_total"])
async def test_the_count_is_in_status_and_metrics(still, server, name):
    server.script("/in", Answer(204))
    await spooled(still, "A1", "A2")
    await begin(still)
    await still.settled()
    snapshot = survey(still.folder, still.clock.now())
    assert snapshot.jobs[0].superseded == 1
    assert "gps: 1 message superseded: a newer one of the same value took its place" in unstyle(
        text(to_json(snapshot))
    )
    assert f'push_agent_{name}{{job="gps"}} 1.0' in render(Figures(snapshot=snapshot)).decode()
