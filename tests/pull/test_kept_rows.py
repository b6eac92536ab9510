"""What pages leave in the spool: nothing, once their messages are gone; and dead letters can be retried."""

from __future__ import annotations

from agent.finish import Finisher
from agent.message import Answer as Said
from agent.message import DeadLetter
from tests.support.pulling import rows
from tests.support.scripted import Answer

SOURCE = "type: http\nconnection: api\npath: /items\n"


def row_states(world):
    return [row.state for row in world.spool.files_by_path("pulled", "http").result()]


def buried(message):
    names = ("job", "lane", "key", "run", "file", "records", "size", "origin", "spooled_at", "attempts")
    values = {name: getattr(message, name) for name in (*names, "content_type", "headers", "body")}
    said = Said(status=400, reason="400 Bad Request")
    return DeadLetter(**values, died_at=1.0, reason="refused", method="POST", url="http://x/", answer=said)


async def test_the_row_of_a_page_goes_when_its_messages_are_gone_and_a_dead_letter_can_come_back(
    world, server
):
    server.script("/items", Answer(json=rows(1, 2, 3)))
    finisher = Finisher(world.spool, world.clock)
    await world.job(SOURCE).run()
    first, second = world.spool.oldest("pulled", 0).result()
    await finisher.sweep()
    assert row_states(world) == ["spooled"]
    for message in (first, second):
        await world.spool.bury(message, buried(message))
    await finisher.sweep()
    assert row_states(world) == []
    assert await world.spool.revive(1) == "pulled"
    assert world.bodies() == [rows(1, 2)]


async def test_a_page_that_failed_leaves_no_row_and_no_message(world, server):
    server.script("/items", Answer(body=b'[{"id": 1}, 7]'))
    assert (await world.job(SOURCE).run()).state == "failed"
    await Finisher(world.spool, world.clock).sweep()
    assert row_states(world) == []
    assert world.bodies() == []
    assert world.spool.lanes("pulled").result() == []


async def test_what_a_killed_run_held_is_let_go_by_the_next_one(world, server):
    server.script("/items", Answer(json=rows(1)))
    world.job(SOURCE)
    await world.run()
    [message] = world.spool.oldest("pulled", 0).result()
    run = world.spool.start_run("pulled", 1.0, "test", "sha").result()
    stamp = world.spool.files_by_path("pulled", "http").result()[0].stamp
    row = world.spool.open_file("pulled", run, stamp, "other content", hold=True).result()
    world.spool.append(run, [message], file=row).result()
    assert len(world.bodies()) == 1
    await world.run()
    assert len(world.bodies()) == 2
    assert sorted(row_states(world)) == ["failed", "spooled", "spooled"]
