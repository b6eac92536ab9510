"""What is prepared while a request is on its way: the next request, and the window behind this one."""

from __future__ import annotations

import gzip

import pytest

from agent.auth.fixed import NoSession
from agent.auth.session import Signed
from agent.deliver import trying
from agent.deliver.lane import LOOK_AHEAD, WINDOW
from agent.errors import StateError
from agent.message import Draft
from agent.spool.pending import Pending
from tests.support.delivery import sent
from tests.support.scripted import DROP, Answer

MANY = [f"{number:03}" for number in range(3 * WINDOW + 7)]


async def test_windows_that_are_read_ahead_keep_the_order_through_failures(world, server):
    server.script(
        "/in", [Answer(204)] * 40 + [Answer(503), DROP] + [Answer(204)] * 90 + [Answer(500), Answer(204)]
    )
    await world.spooled(*MANY)
    await world.start()
    await world.settled()
    assert list(dict.fromkeys(sent(server.requests))) == MANY
    assert len(server.requests) == len(MANY) + 3
    assert world.overview().delivered == len(MANY)


async def test_the_next_window_is_asked_for_while_this_one_is_sent(world, server):
    server.script("/in", Answer(204))
    asked, oldest = [], world.spool.oldest

    def noting(job, lane, *, after=0, **more):
        asked.append((after, len(server.requests)))
        return oldest(job, lane, after=after, **more)

    world.spool.oldest = noting
    await world.spooled(*MANY)
    await world.start()
    await world.settled()
    assert sent(server.requests) == MANY
    ahead = [(after, begun) for after, begun in asked if after]
    assert [after for after, _ in ahead] == [WINDOW, 2 * WINDOW, 3 * WINDOW]
    assert all(begun < after for after, begun in ahead)


async def test_lanes_that_go_in_step_do_not_read_ahead_in_the_same_moment(world, server):
    """To read 64 windows at once held up the acks of all of them."""
    server.script("/in", Answer(204))
    begun, oldest = {}, world.spool.oldest

    def noting(job, lane, *, after=0, **more):
        if after and lane not in begun:
            begun[lane] = sum(text.startswith(f"{lane}-") for text in sent(server.requests))
        return oldest(job, lane, after=after, **more)

    world.spool.oldest = noting
    lanes = range(0, 24, 6)
    for lane in lanes:
        await world.spooled(*(f"{lane}-{number}" for number in range(WINDOW + 5)), lane=lane)
    await world.start()
    await world.settled()
    assert len(server.requests) == len(lanes) * (WINDOW + 5)
    assert [begun[lane] for lane in lanes] == [WINDOW - LOOK_AHEAD[lane] - 1 for lane in lanes]
    assert len(set(begun.values())) == len(lanes)


async def test_a_window_that_could_not_be_read_ahead_is_read_when_it_is_needed(world, server):
    server.script("/in", Answer(204))
    oldest, failed = world.spool.oldest, []

    def failing(job, lane, *, after=0, **more):
        if after and not failed:
            failed.append(Pending())
            failed[0].set_exception(StateError("the disk is away"))
            return failed[0]
        return oldest(job, lane, after=after, **more)

    world.spool.oldest = failing
    await world.spooled(*MANY)
    await world.start()
    await world.settled()
    assert failed
    assert sent(server.requests) == MANY


async def test_a_bug_in_the_middle_of_a_window_never_lets_the_next_window_go_first(
    world, server, monkeypatch
):
    server.script("/in", Answer(204))
    real, calls = trying.attempt, []

    async def buggy(*words, **more):
        calls.append(1)
        if len(calls) == WINDOW - 5:  # the next window has been read by now
            raise RuntimeError("a bug")
        return await real(*words, **more)

    monkeypatch.setattr(trying, "attempt", buggy)
    await world.spooled(*MANY)
    await world.start()
    await world.settled()
    assert len(calls) == len(MANY) + 1
    assert sent(server.requests) == MANY


async def test_what_is_appended_while_a_window_is_read_ahead_is_sent_behind_it(world, server):
    more = [f"more {number}" for number in range(5)]

    async def append(request):
        if len(server.requests) == WINDOW + 3:
            await world.spooled(*more)
        return Answer(204)

    server.script("/in", append)
    await world.spooled(*MANY)
    await world.start()
    await world.settled()
    assert sent(server.requests) == [*MANY, *more]


class TurningSession(NoSession):
    """Its headers are others for each request."""

    turn = 0

    async def sign(self):
        self.turn += 1
        return Signed(generation=self.turn, headers={"Authorization": f"Bearer token-{self.turn}"})


async def test_a_request_that_was_made_ahead_is_signed_with_what_counts_when_it_leaves(world, server):
    server.script("/in", Answer(204))
    await world.spooled("a", "b", "c")
    connection = await world.connect(session=TurningSession("platform"))
    world.route(connection)
    await world.deliverer.start()
    await world.settled()
    tokens = [one.headers["Authorization"] for one in server.requests]
    assert tokens == ["Bearer token-1", "Bearer token-2", "Bearer token-3"]


async def test_a_small_body_that_was_made_ahead_leaves_the_way_that_its_job_goes_now(world, server):
    plain = await world.connect()
    zipped = await world.connect(accepts_gzip=True)

    def change(request):
        world.route(zipped, endpoint="other", headers=())
        return Answer(204)

    server.script("/in", change)
    server.script("/other", Answer(204))
    await world.spooled("a", "b", "c")
    world.route(plain)
    await world.deliverer.start()
    await world.settled()
    assert sent(server.requests) == ["a", "b", "c"]
    assert [(one.path, one.headers.get("Content-Encoding")) for one in server.requests] == [
        ("/in", None),
        ("/other", "gzip"),
        ("/other", "gzip"),
    ]


@pytest.mark.parametrize("body", [gzip.compress(b"damaged" * 9)[:-9], b"no gzip"], ids=["cut off", "no gzip"])
async def test_a_small_damaged_body_is_refused_when_it_is_its_turn(world, server, body):
    server.script("/in", Answer(204))
    await world.spooled("a")
    run = await world.spool.start_run("gps", 0.0, "test", "sha")
    await world.spool.append(run, [Draft(body=body, size=63, records=1, content_type="text/plain", first=2)])
    await world.spooled("after")
    await world.start()
    await world.settled()
    assert sent(server.requests) == ["a", "after"]
    [letter] = world.reader().dead()
    assert letter.answer.reason.startswith("the body in the spool is damaged")


async def test_a_value_that_cannot_be_a_header_is_refused_when_it_is_its_turn(world, server):
    server.script("/in", Answer(204))
    await world.spooled("a")
    run = await world.spool.start_run("gps", 0.0, "test", "sha")
    draft = Draft(
        body=gzip.compress(b"b"), size=1, records=1, content_type="text/plain\r\nX-Evil: 1", first=2
    )
    await world.spool.append(run, [draft])
    await world.spooled("after")
    await world.start()
    await world.settled()
    assert sent(server.requests) == ["a", "after"]
    assert [letter.reason for letter in world.reader().dead()] == ["refused"]
