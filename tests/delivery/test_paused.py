"""Paused lanes: what is in flight ends, the rest waits visibly, and goes on at once when it may."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from agent.config.model import Delivery, Expire
from agent.spool import PauseRow
from tests.support.delivery import sent
from tests.support.scripted import Answer


def a_pause(name="gps", *, kind="job", part="delivering", reason="their release", until=None):
    return PauseRow(kind=kind, name=name, part=part, reason=reason, since=0.0, until=until)


async def test_a_paused_job_sends_nothing_and_says_why_and_goes_on_at_once(still, server):
    server.script("/in", [Answer(204)])
    still.deliverer.hold({"gps": a_pause()})
    await still.spooled("a", "b")
    await still.start()
    wait = await still.waits("paused")
    assert (wait.reason, wait.until) == ("job gps is paused: their release", None)
    assert server.requests == []
    assert [one.kind for one in still.overview().waits] == ["paused"]
    still.deliverer.hold({})
    await still.settled()  # no second has passed on this clock
    assert sent(server.requests) == ["a", "b"]
    assert still.overview().waits == ()


async def test_a_lane_that_waits_for_a_pause_does_not_fill_the_log(still, server, caplog):
    caplog.set_level("INFO", "push_agent")
    server.script("/in", [Answer(204)])
    still.deliverer.hold({"gps": a_pause()})
    await still.spooled("a")
    await still.start()
    await still.waits("paused")
    still.deliverer.hold({})
    await still.settled()
    assert "a lane" not in caplog.text


async def test_what_is_in_flight_when_the_pause_comes_ends_and_is_stored(still, server):
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(_):
        asked.set()
        await may_answer.wait()
        return Answer(204)

    server.script("/in", slow)
    await still.spooled("a", "b")
    await still.start()
    await asked.wait()
    still.deliverer.hold({"gps": a_pause()})
    may_answer.set()
    await still.waits("paused")
    assert sent(server.requests) == ["a"]
    assert still.overview().delivered == 1
    still.deliverer.hold({})
    await still.settled()
    assert sent(server.requests) == ["a", "b"]


async def test_a_lane_that_backs_off_waits_for_the_pause_instead_and_then_tries_at_once(still, server):
    server.script("/in", [Answer(503), Answer(204)])
    await still.spooled("a")
    await still.start()
    await still.waits("retry")
    still.deliverer.hold({"gps": a_pause()})
    await still.waits("paused")
    await still.clock.advance(3600)
    assert len(server.requests) == 1
    still.deliverer.hold({})
    await still.settled()
    first, second = server.requests
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]


async def test_a_pause_of_one_job_leaves_the_others_of_its_connection_alone(still, server):
    server.script("/in", [Answer(204)])
    connection = await still.connect()
    still.route(connection)
    still.route(connection, name="other")
    still.deliverer.hold({"gps": a_pause()})
    await still.spooled("a")
    await still.spooled("b", job="other")
    await still.deliverer.start()
    await still.settled("other")
    await still.waits("paused")
    assert sent(server.requests) == ["b"]


async def test_a_pause_with_an_end_says_when_and_is_no_hot_loop_when_nobody_lifts_it(still, server):
    await still.spooled("a")
    still.deliverer.hold({"gps": a_pause(until=still.clock.now() + 60)})
    await still.start()
    wait = await still.waits("paused")
    assert wait.until == still.clock.now() + 60
    await still.clock.advance(61)
    wait = await still.waits("paused")  # a second each time, whichever of them it is in now
    assert still.clock.now() <= wait.until <= still.clock.now() + 1
    assert server.requests == []


async def test_nothing_is_too_old_while_it_is_paused_but_is_when_it_goes_on(still, server):
    connection = await still.connect()
    still.route(connection, delivery=Delivery(expire=Expire(after=timedelta(minutes=5))))
    still.deliverer.hold({"gps": a_pause()})
    await still.spooled("a")
    await still.deliverer.start()
    await still.waits("paused")
    await still.clock.advance(600)
    assert still.overview().expired == 0
    still.deliverer.hold({})
    await still.settled()
    assert still.overview().expired == 1
    assert server.requests == []


@pytest.mark.parametrize("known", [True, False])
async def test_a_pause_counts_also_where_there_is_no_route(still, known):
    if known:
        still.route(await still.connect())
    still.deliverer.hold({"gps": a_pause(reason="")})
    await still.spooled("a")
    await still.deliverer.start()
    assert (await still.waits("paused")).reason == "job gps is paused"
