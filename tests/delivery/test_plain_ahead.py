"""Large bodies for a target without gzip: decompressed while the message before them is on its way."""

from __future__ import annotations

import gzip
import random

from agent.message import Draft
from agent.target import INLINE
from tests.support.delivery import sent
from tests.support.scripted import DROP, Answer

NOISE = random.Random(7)


def large(name):
    return name + "".join(NOISE.choices("abcdefghijklmnop", k=3 * INLINE))


async def test_large_bodies_arrive_whole_and_in_order_through_failures(world, server):
    server.script("/in", [Answer(204), Answer(503), DROP, Answer(204)])
    texts = [large("a"), large("b"), "small", large("c"), large("d")]
    await world.spooled(*texts)
    await world.start()
    await world.settled()
    assert list(dict.fromkeys(sent(server.requests))) == texts
    assert world.overview().delivered == 5


async def test_a_damaged_body_that_was_begun_ahead_is_refused_and_the_next_one_is_sent(world, server):
    server.script("/in", Answer(204))
    good = large("a")
    await world.spooled(good)
    run = await world.spool.start_run("gps", 0.0, "test", "sha")
    damaged = gzip.compress(large("b").encode())[:-9]
    draft = Draft(body=damaged, size=len(good), records=1, content_type="text/plain", first=2)
    await world.spool.append(run, [draft])
    await world.spooled("after")
    await world.start()
    await world.settled()
    assert sent(server.requests) == [good, "after"]
    [letter] = world.reader().dead()
    assert letter.answer.reason.startswith("the body in the spool is damaged")


async def test_a_body_that_was_begun_ahead_leaves_gzipped_when_the_target_takes_gzip_now(world, server):
    texts = [large("a"), large("b"), large("c")]
    plain = await world.connect()
    zipped = await world.connect(accepts_gzip=True)

    def change(request):
        world.route(zipped)
        return Answer(204)

    server.script("/in", change)
    await world.spooled(*texts)
    world.route(plain)
    await world.deliverer.start()
    await world.settled()
    assert sent(server.requests) == texts
    assert [one.headers.get("Content-Encoding") for one in server.requests] == [None, "gzip", "gzip"]
