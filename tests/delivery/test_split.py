"""A refused batch is taken apart until the bad records stand alone; the others are delivered, in order."""

from __future__ import annotations

import asyncio
import gzip
import logging
import math
from datetime import timedelta

import pytest

from agent.commands.screen import size
from agent.commands.status import text
from agent.config.model import Delivery, Expire
from agent.message import EXPIRED
from agent.status import Figures, to_json
from agent.survey import survey
from agent.web.metrics import render
from tests.support.batches import FRAMES, Picky, batch, joined
from tests.support.delivery import sent
from tests.support.scripted import DROP, Answer
from tests.support.spool import letter, stamp

STOP = Delivery(on_refusal="stop")


async def spooled(world, *drafts, job="gps", **more):
    run = await world.spool.start_run(job, 0.0, "test", "sha")
    return await world.spool.append(run, drafts, **more)


async def begin(world, delivery=None, **more):
    world.route(await world.connect(**more), delivery=delivery)
    await world.deliverer.start()


def letters(world, **more):
    """Oldest first."""
    with world.reader() as reader:
        return reader.dead(limit=1000, **more)[::-1]


def keys(server):
    return [one.headers["Idempotency-Key"] for one in server.requests]


@pytest.mark.parametrize("format_", FRAMES)
async def test_del_26_three_bad_records_of_500_stand_alone_in_the_end(world, server, format_):
    target = Picky(format_, {3, 217, 500}, last=520)
    server.script("/in", target)
    key, behind = await spooled(world, batch(format_, 500), batch(format_, 20, first=501))
    await begin(world)
    await world.settled()
    assert target.taken == [n for n in range(1, 521) if n not in {3, 217, 500}]
    assert len(server.requests) - 2 <= 60
    found = letters(world)
    assert [gzip.decompress(one.body) for one in found] == [joined(format_, [n]) for n in (3, 217, 500)]
    assert [one.key for one in found] == [f"{key}.{n}-{n}" for n in (3, 217, 500)]
    assert [one.origin for one in found] == [f"positions.csv row {n}" for n in (3, 217, 500)]
    assert [one.answer.body for one in found] == [f"record {n} is bad" for n in (3, 217, 500)]
    assert {(one.records, one.reason, one.attempts, one.answer.status) for one in found} == {
        (1, "refused", 1, 422)
    }
    assert [one.size for one in found] == [len(gzip.decompress(one.body)) for one in found]
    sent_keys = keys(server)
    assert (sent_keys[0], sent_keys[1], sent_keys[-1]) == (key, f"{key}.1-250", behind)
    assert len(set(sent_keys)) == len(sent_keys)
    overview = world.overview()
    assert (overview.waiting, overview.waiting_records, overview.waiting_bytes) == (0, 0, 0)
    assert (overview.delivered_records, overview.dead) == (517, 3)


@pytest.mark.parametrize("bad", [1, 2, 64, 99, 100])
async def test_a_bad_record_costs_two_requests_for_each_halving(world, server, bad):
    server.script("/in", Picky("ndjson", {bad}, last=100))
    await spooled(world, batch("ndjson", 100))
    await begin(world)
    await world.settled()
    assert len(server.requests) - 1 <= 2 * math.ceil(math.log2(100))


async def test_what_is_left_is_right_after_each_step(world, server):
    seen = []
    target = Picky("json", {2, 3}, last=4)

    def look(request):
        one = world.overview()
        assert one.waiting == 1
        seen.append((one.waiting_records, one.delivered_records, one.dead))
        return target(request)

    server.script("/in", look)
    await spooled(world, batch("json", 4))
    await begin(world)
    await world.settled()
    #       1-4,       1-2,       1,         2,         3-4,       3,         4
    assert seen == [(4, 0, 0), (4, 0, 0), (4, 0, 0), (3, 1, 0), (2, 1, 1), (2, 1, 1), (1, 1, 2)]


@pytest.mark.parametrize("status", [400, 409, 415, 422, 418])
async def test_del_26_every_refusal_of_a_batch_splits_it(world, server, status):
    target = Picky("csv", {5}, last=8, status=status)
    server.script("/in", target)
    await spooled(world, batch("csv", 8))
    await begin(world)
    await world.settled()
    assert target.taken == [1, 2, 3, 4, 6, 7, 8]
    assert [one.answer.status for one in letters(world)] == [status]


async def test_a_batch_that_is_bad_throughout_ends_as_one_dead_letter_for_each_record(world, server):
    server.script("/in", Answer(422))
    await spooled(world, batch("xml", 9))
    await begin(world)
    await world.settled()
    assert [gzip.decompress(one.body) for one in letters(world)] == [joined("xml", [n]) for n in range(1, 10)]
    assert len(server.requests) == 17
    overview = world.overview()
    assert (overview.delivered, overview.delivered_records, overview.dead) == (0, 0, 9)


@pytest.mark.parametrize("fault", [Answer(503), Answer(401), Answer(404), DROP])
async def test_a_fault_in_the_middle_is_waited_for_with_the_same_key(world, server, fault):
    target, before = Picky("json", {3}, last=4), set()

    def sometimes(request):
        key = request.headers["Idempotency-Key"]
        if key in before:
            return target(request)
        before.add(key)
        return fault

    server.script("/in", sometimes)
    await spooled(world, batch("json", 4))
    await begin(world)
    await world.settled()
    assert target.taken == [1, 2, 4]
    found = keys(server)
    assert [found[at] for at in range(0, len(found), 2)] == [found[at] for at in range(1, len(found), 2)]
    if fault.status == 503:
        assert [one.attempts for one in letters(world)] == [2]


async def test_what_cannot_be_taken_apart_is_refused_whole(world, server):
    server.script("/in", Answer(422))
    odd = [
        batch("json", 3, name="raw"),
        batch("json", 3),
        batch("csv", 3),
        batch("json", 3),
    ]
    odd[0] = _changed(odd[0], form="")  # of before
    odd[1] = _changed(odd[1], form="json 2 1")
    odd[2] = _changed(odd[2], records=4)
    odd[3] = _changed(odd[3], body=b"not gzipped")
    await spooled(world, *odd)
    await begin(world)
    await world.settled()
    assert len(server.requests) == 3
    assert [one.body for one in letters(world)] == [one.body for one in odd]


def _changed(draft, **more):
    from dataclasses import replace  # noqa: PLC0415 - beside what needs it

    return replace(draft, **more)


async def test_rows_that_do_not_follow_each_other_are_told_by_their_place_in_the_batch(world, server):
    server.script("/in", Picky("json", {2}, last=3))
    await spooled(world, _changed(batch("json", 3), origin="positions.csv rows 10-900"))
    await begin(world)
    await world.settled()
    assert [one.origin for one in letters(world)] == ["positions.csv rows 10-900, record 2 of 3"]


async def test_a_restart_goes_on_with_the_next_part(world, server):
    held = asyncio.Event()
    target = Picky("json", {3}, last=500)

    def slow(request):
        if len(server.requests) == 9:
            return Answer(204, hold=held)
        return target(request)

    server.script("/in", slow)
    await spooled(world, batch("json", 500))
    await begin(world)
    await server.until(9)
    await world.deliverer.stop(0)
    held.set()
    world.new_life()
    world.deliverer.set_routes(world.entries)
    await world.deliverer.start()
    await world.settled()
    repeated = [key for key in keys(server) if keys(server).count(key) > 1]
    assert len(repeated) == 2
    assert len(set(repeated)) == 1
    assert [one.key.partition(".")[2] for one in letters(world)] == ["3-3"]
    assert target.taken == [n for n in range(1, 501) if n != 3]
    assert world.overview().delivered_records == 499


async def test_a_refused_record_goes_back_with_its_own_key_and_arrives(world, server):
    target = Picky("csv", {2}, last=3)
    server.script("/in", target)
    (key,) = await spooled(world, batch("csv", 3))
    await begin(world)
    await world.settled()
    target._bad.clear()
    await world.spool.revive(letters(world)[0].id)
    await world.settled()
    assert target.taken == [1, 3, 2]
    assert keys(server)[-1] == f"{key}.2-2"
    overview = world.overview()
    assert (overview.delivered_records, overview.dead, overview.waiting_bytes) == (3, 0, 0)


async def test_a_file_is_settled_when_all_parts_are(world, server):
    settled = []
    target = Picky("json", {4}, last=4)

    def look(request):
        settled.append(len(world.spool.settled_files().result()))
        return target(request)

    server.script("/in", look)
    run = await world.spool.start_run("gps", 0.0, "test", "sha")
    file = await world.spool.open_file("gps", run, stamp(), "sha", hold=True)
    await world.spool.append(run, [batch("json", 4)], file=file)
    await world.spool.release_file(file)
    await begin(world)
    await world.settled()
    assert set(settled) == {0}
    (one,) = await world.spool.settled_files()
    assert (one.dead, one.ends) == (1, "failed")
    assert one.delivered == 2  # 1-2 and 3


async def test_what_is_left_can_become_too_old(still, server):
    target = Picky("json", {1}, last=8)
    server.script("/in", [target, target, target, target, Answer(503)])
    (key,) = await spooled(still, batch("json", 8))
    await begin(still, Delivery(expire=Expire(after=timedelta(minutes=10))))
    await still.waits("retry")
    await still.clock.advance(700)
    await still.waits("retry", attempts=2)
    await still.clock.advance(300)
    await still.settled()
    refused, late = letters(still)
    assert (refused.key, late.key, late.reason) == (f"{key}.1-1", f"{key}.2-8", EXPIRED)
    assert gzip.decompress(late.body) == joined("json", range(2, 9))
    assert (late.records, late.origin) == (7, "positions.csv rows 2-8")
    overview = still.overview()
    assert (overview.waiting_records, overview.waiting_bytes, overview.expired) == (0, 0, 1)
    await still.spool.revive(late.id)
    server.script("/in", target)
    await still.settled()
    assert target.taken == list(range(2, 9))


async def test_a_part_that_goes_to_the_wrong_place_is_set_aside_where_the_job_says_so(world, server):
    target = Picky("json", {1}, last=4)
    server.script("/in", [target, target, target, Answer(403), target])
    await spooled(world, batch("json", 4))
    await begin(world, Delivery(on_misdirected="dead_letter"))
    await world.settled()
    assert [(one.reason, one.records) for one in letters(world)] == [("refused", 1), ("misdirected", 1)]
    assert target.taken == [3, 4]


async def test_taking_apart_is_told_once_when_it_begins_and_once_when_it_ends(world, server, caplog):
    server.script("/in", Picky("json", {3, 90}, last=100))
    await spooled(world, batch("json", 100))
    with caplog.at_level(logging.INFO):
        await begin(world)
        await world.settled()
    told = [one.getMessage() for one in caplog.records if one.name == "push_agent.deliver"]
    assert len(told) == 2, told
    assert "taken apart" in told[0]
    assert "is done" in told[1]
    assert world.deliverer.snapshot().splits == {"gps": 1}
    figures = Figures(snapshot=survey(world.folder, world.clock.now()), splits={"gps": 1})
    assert b'push_agent_split_messages_total{job="gps"} 1.0' in render(figures)


# ---------------------------------------------------------------------- on_refusal: stop


async def test_del_26_stop_holds_the_lane_and_says_what_the_target_said(still, server):
    target = Picky("json", {2}, last=4)
    server.script("/in", target)
    (key, _) = await spooled(still, batch("json", 2), batch("json", 2, first=3))
    await begin(still, STOP)
    wait = await still.waits("refused")
    assert wait.reason.startswith("422 Unprocessable")  # what follows depends on the version of Python
    assert wait.reason.endswith(": record 2 is bad")
    assert wait.until == still.clock.now() + 30
    await still.clock.advance(30)
    await still.waits("refused", attempts=2)
    assert keys(server) == [key, key]
    overview = still.overview()
    assert (overview.waiting, overview.dead) == (2, 0)
    target._bad.clear()
    await still.clock.advance(300)
    await still.settled()
    assert target.taken == [1, 2, 3, 4]


async def test_a_reload_that_lets_dead_letters_be_made_goes_on_at_once(still, server):
    target = Picky("json", {2}, last=4)
    server.script("/in", target)
    await spooled(still, batch("json", 4))
    connection = await still.connect()
    still.route(connection, delivery=STOP)
    await still.deliverer.start()
    await still.waits("refused")
    still.route(connection)
    await still.settled()
    assert target.taken == [1, 3, 4]
    assert [one.records for one in letters(still)] == [1]


# ---------------------------------------------------------------------- 413


class Narrow:
    """A target that takes bodies up to a size."""

    def __init__(self, most):
        self.most = most
        self.sizes = []
        self.refused = 0

    def __call__(self, request):
        if len(request.body) > self.most:
            self.refused += 1
            return Answer(413)
        self.sizes.append(len(request.body))
        return Answer(204)


async def test_del_27_413_splits_and_what_follows_fits(world, server):
    target = Narrow(2_000)
    server.script("/in", target)
    drafts = [batch("ndjson", 100, first=1 + 100 * n) for n in range(5)]
    assert all(2_000 < draft.size < 4_000 for draft in drafts)
    await spooled(world, *drafts)
    await begin(world)
    await world.settled()
    assert target.refused == 1
    assert "".join(sent(one for one in server.requests if len(one.body) <= 2_000)).count("\n") == 500
    assert letters(world) == []
    fit = (await world.spool.fits())["gps"]
    assert drafts[0].size // 2 <= fit.size < 2_000
    assert fit.refused == drafts[0].size
    snapshot = survey(world.folder, world.clock.now())
    assert snapshot.jobs[0].body_limit_bytes == fit.size
    assert f'push_agent_body_limit_bytes{{job="gps"}} {float(fit.size)}'.encode() in render(
        Figures(snapshot=snapshot)
    )
    assert f"takes no larger bodies (413): batches of {size(fit.size)} at most" in text(to_json(snapshot))


@pytest.mark.parametrize("delivery", [Delivery(), STOP])
async def test_del_27_a_record_that_is_too_large_alone_is_no_endless_story(still, server, delivery):
    server.script("/in", Answer(413))
    await spooled(still, batch("json", 4))
    await begin(still, delivery)
    if delivery is STOP:
        await still.waits("refused")
        assert [len(one.body) for one in server.requests][-1] < 100  # one record
        assert letters(still) == []
        return
    await still.settled()
    assert [one.answer.status for one in letters(still)] == [413] * 4
    assert len(server.requests) == 6


async def test_what_may_have_been_sent_whole_is_not_cut(world, server):
    """Its parts would have other keys, and what was processed once would be so twice."""
    server.script("/in", [Answer(413), Answer(204), Answer(204)])
    first, second = await spooled(world, batch("json", 40), batch("json", 40))
    await begin(world)
    await server.until(3)
    await world.deliverer.stop(10)
    server.script("/in", Answer(204))
    world.new_life()
    world.deliverer.set_routes(world.entries)
    await world.deliverer.start()
    await world.settled()
    found = keys(server)
    assert found[:3] == [first, f"{first}.1-20", f"{first}.21-40"]
    assert second in found[3:] or f"{second}.1-20" in found[:4]


async def test_a_dead_letter_is_sent_again_whole_before_it_is_cut(world, server):
    """It may have arrived before it grew too old, and its target then knows its key."""
    server.script("/in", Narrow(2_000))
    (key,) = await spooled(world, batch("ndjson", 100))
    (message,) = await world.spool.oldest("gps", 0)
    await world.spool.bury(message, letter(message, EXPIRED))
    await spooled(world, batch("ndjson", 100))
    await begin(world)
    await world.settled()
    learned = len(server.requests)
    await world.spool.revive(letters(world)[0].id)
    await world.settled()
    assert keys(server)[learned : learned + 2] == [key, f"{key}.1-50"]


async def test_a_size_that_was_learned_grows_again_and_is_forgotten(world, server):
    target = Narrow(2_000)
    server.script("/in", target)
    await spooled(world, batch("ndjson", 100))
    await begin(world)
    await world.settled()
    learned = (await world.spool.fits())["gps"]
    target.most = 1_000_000
    for _ in range(2):
        await spooled(world, *[batch("ndjson", 40) for _ in range(60)])
        await world.settled()
    grown = (await world.spool.fits())["gps"]
    assert grown.size == learned.size + learned.size // 10
    world.route(world.connections[0], timeout=timedelta(seconds=7))
    await world.spool.used_bytes()
    assert await world.spool.fits() == {}
