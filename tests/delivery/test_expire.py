"""What is too old is not sent: it becomes a dead letter that says so, and holds up nobody."""

from __future__ import annotations

import gzip
from datetime import timedelta

import pytest

from agent.config.model import Delivery, Expire, Limits
from agent.status import Figures
from agent.survey import survey
from agent.web.metrics import render
from tests.support.delivery import a_draft, sent
from tests.support.scripted import Answer

HALF_AN_HOUR = Delivery(expire=Expire(after=timedelta(minutes=30)))
MINUTE = 60.0


async def spool_of_ages(world, *ages, **more):
    """One message for each age in seconds of its youngest record, called by its number."""
    run = await world.spool.start_run("gps", 0.0, "test", "sha")
    now = world.clock.now()
    drafts = [a_draft(f"{n}", as_of=None if age is None else now - age, **more) for n, age in enumerate(ages)]
    return await world.spool.append(run, drafts)


async def begin(world, delivery=HALF_AN_HOUR, **more):
    connection = await world.connect(**more)
    world.route(connection, delivery=delivery)
    await world.deliverer.start()
    return connection


async def test_what_is_too_old_goes_to_the_dead_letters_with_its_reason_and_its_bytes(still, server):
    server.script("/in", Answer(204))
    keys = await spool_of_ages(still, 31 * MINUTE, 29 * MINUTE, 4000 * MINUTE)
    await begin(still)
    await still.settled()
    assert sent(server.requests) == ["1"]
    with still.reader() as reader:
        newest, oldest = reader.dead(reason="expired")
        assert reader.dead("gps", reason="expired") == [newest, oldest]
        assert reader.dead(reason="refused") == reader.dead("gps", reason="refused") == []
    assert [oldest.key, newest.key] == [keys[0], keys[2]]
    assert (oldest.reason, oldest.attempts, gzip.decompress(oldest.body)) == ("expired", 0, b"0")
    assert (oldest.method, oldest.url) == ("POST", f"{server.url}/in")
    assert oldest.answer.status is None
    assert oldest.answer.reason == (
        "too old: its youngest record is of 2027-01-15T07:29:00Z, 0:31:00 ago (expire.after: 0:30:00)"
    )
    overview = still.overview()
    assert (overview.delivered, overview.dead, overview.expired, overview.waiting) == (1, 2, 2, 0)


async def test_without_a_time_the_age_counts_from_when_it_was_spooled(still, server):
    server.script("/in", Answer(204))
    await spool_of_ages(still, None)
    await still.clock.advance(31 * MINUTE)
    await spool_of_ages(still, None)
    await begin(still)
    await still.settled()
    with still.reader() as reader:
        [letter] = reader.dead()
    assert "too old: it was spooled at 2027-01-15T08:00:00Z, 0:31:00 ago" in letter.answer.reason
    assert still.overview().delivered == 1


async def test_what_grows_too_old_while_it_is_tried_is_not_tried_again(still, server):
    server.script("/in", lambda request: Answer(503 if sent([request]) == ["0"] else 204))
    await spool_of_ages(still, 29 * MINUTE, 0)
    await begin(still)
    await still.waits("retry")
    still.clock.tick(2 * MINUTE)
    await still.clock.advance(0)
    await still.settled()
    assert sent(server.requests) == ["0", "1"]
    with still.reader() as reader:
        [letter] = reader.dead()
    assert (letter.reason, gzip.decompress(letter.body)) == ("expired", b"0")
    assert letter.attempts == 1
    assert still.overview().waits == ()


async def test_what_grows_too_old_in_front_of_the_gate_is_not_sent(still, server):
    server.script("/in", [Answer(429, headers={"Retry-After": "600"}), Answer(204)])
    await spool_of_ages(still, 0, 25 * MINUTE)
    run = await still.spool.start_run("gps", 0.0, "test", "sha")
    other = a_draft("late", as_of=still.clock.now() - 25 * MINUTE, lane=1)
    connection = await begin(still)
    await still.waits("retry")
    assert connection.gate.paused_for() > 0
    await still.spool.append(run, [other])
    await still.asleep(2)  # its lane stands at the gate
    await still.clock.advance(11 * MINUTE + 60)
    await still.settled()
    assert sent(server.requests) == ["0", "0"]
    assert still.overview().expired == 2


async def test_a_longer_time_in_the_job_counts_for_what_is_spooled_already(still, server):
    server.script("/in", Answer(503))
    await spool_of_ages(still, 29 * MINUTE)
    connection = await begin(still)
    await still.waits("retry")
    still.route(connection, delivery=Delivery(expire=Expire(after=timedelta(hours=4))))
    server.script("/in", Answer(204))
    await still.clock.advance(5 * MINUTE)
    await still.settled()
    assert (still.overview().delivered, still.overview().dead) == (1, 0)


async def test_a_job_without_expiry_sends_what_is_as_old_as_it_may_be(still, server):
    server.script("/in", Answer(204))
    await spool_of_ages(still, 1e9, -1e9, 1e14)
    await begin(still, Delivery())
    await still.settled()
    assert sent(server.requests) == ["0", "1", "2"]


@pytest.mark.parametrize("age", [1e11, 1e14, 9e12])
async def test_a_year_that_python_does_not_know_is_too_old_all_the_same(still, server, age):
    server.script("/in", Answer(204))
    await spool_of_ages(still, age)
    await begin(still)
    await still.settled()
    assert still.overview().expired == 1


async def test_a_thousand_that_are_too_old_leave_together_and_the_one_behind_them_is_sent(world, server):
    server.script("/in", Answer(204))
    await spool_of_ages(world, *[31 * MINUTE] * 1_000, 0)
    await begin(world, limits=Limits(concurrency=1))
    await world.settled()
    assert sent(server.requests) == ["1000"]
    assert (world.overview().expired, world.overview().delivered) == (1_000, 1)


async def test_a_dead_letter_that_is_sent_again_by_hand_is_young_again(still, server):
    server.script("/in", Answer(204))
    await spool_of_ages(still, 31 * MINUTE)
    await begin(still)
    await still.settled()
    with still.reader() as reader:
        [letter] = reader.dead()
    assert await still.spool.revive(letter.id) == "gps"
    await still.settled()
    assert sent(server.requests) == ["0"]
    assert (still.overview().delivered, still.overview().dead, still.overview().expired) == (1, 0, 1)


async def test_status_and_metrics_tell_how_many_were_too_old(still, server):
    server.script("/in", Answer(204))
    await spool_of_ages(still, 31 * MINUTE, 0)
    await begin(still)
    await still.settled()
    snapshot = survey(still.folder, still.clock.now())
    assert (snapshot.jobs[0].expired, snapshot.jobs[0].dead) == (1, 1)
    assert b'push_agent_expired_messages_total{job="gps"} 1.0' in render(Figures(snapshot=snapshot))
