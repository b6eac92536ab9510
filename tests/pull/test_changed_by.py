"""`only: {changed_by: …}` over what is asked for: answers, pages, what a program prints."""

from __future__ import annotations

import json
import signal

import pytest

from tests.support.pulling import PullWorld, run_child
from tests.support.scripted import Answer

LIST = "type: http\nconnection: api\npath: /items\nonly: {changed_by: [id]%s}\n"
PAGED = "type: http\nconnection: api\npath: /items\nrecords: /d\npaging: {%s}\nonly: {changed_by: [id]}\n"


def items(values):
    return [{"id": key, "v": value} for key, value in values.items()]


async def done(world, **more):
    """What a run sent."""
    before = len(flat(world))
    result = await world.run(**more)
    assert result.state == "done", result
    return flat(world)[before:]


def flat(world):
    return [(row["id"], row.get("v")) for body in world.bodies() for row in body]


async def test_of_an_answer_only_what_is_new_or_changed_is_sent(world, server):
    server.script("/items", [Answer(json=items(v)) for v in ({1: 1, 2: 2}, {1: 1, 2: 2}, {1: 1, 2: 3, 3: 1})])
    world.job(LIST % "")
    assert await done(world) == [(1, 1), (2, 2)]
    assert await done(world) == []
    assert await done(world) == [(2, 3), (3, 1)]
    assert len(list((world.state / "seen/pulled").iterdir())) == 1


async def test_keys_that_an_answer_has_no_more_are_deleted(world, server):
    answers = [items({1: 1, 2: 2}), items({2: 2, 3: 3}), []]
    server.script("/items", [Answer(json=one) for one in answers])
    world.job(LIST % ', deleted: {map: {id: =id, v: "gone"}}')
    assert await done(world) == [(1, 1), (2, 2)]
    assert await done(world) == [(3, 3), (1, "gone")]
    result = await world.run()
    assert result.state == "failed"
    assert "answer holds no record: that would delete all 2 keys" in result.reason
    assert "each reading is the whole list" in result.reason


async def test_an_unchanged_answer_by_its_etag_deletes_nothing(world, server):
    server.script("/items", [Answer(json=items({1: 1}), headers={"ETag": '"a"'}), Answer(304), Answer(304)])
    world.job(LIST % ", deleted: send")
    assert await done(world) == [(1, 1)]
    assert await done(world) == []
    assert server.requests[1].headers["If-None-Match"] == '"a"'
    assert await done(world) == []


def pages(values):
    """Two records a page, by number."""
    found = items(values)

    def answer(request):
        number = int(request.path.rpartition("=")[2])
        return Answer(json={"d": found[2 * number - 2 : 2 * number]})

    return answer


async def test_pages_are_read_to_the_last_also_where_nothing_of_them_changed(world, server):
    world.job(PAGED % "page: page")
    values = dict.fromkeys(range(1, 8), 0)
    server.script("/items", pages(values))
    assert await done(world) == [(key, 0) for key in range(1, 8)]
    server.script("/items", pages({**values, 7: 1}))
    assert await done(world) == [(7, 1)]
    assert await done(world) == []


async def test_a_key_on_two_pages_is_told_against_what_was_sent_last(world, server):
    world.job(PAGED % "page: page")

    def answer(request):
        number = int(request.path.rpartition("=")[2])
        found = [items({1: 1, 2: 1}), items({2: 1, 1: 2}), items({1: 2, 3: 3})]
        return Answer(json={"d": found[number - 1] if number <= 3 else []})

    server.script("/items", answer)
    assert await done(world) == [(1, 1), (2, 1), (1, 2), (3, 3)]


@pytest.mark.parametrize("moment", [20, 36, "INSERT INTO cursors", "UPDATE files"])
async def test_a_walk_killed_anywhere_sends_each_change_once(tmp_path, server, moment):
    values = dict.fromkeys(range(1, 10), 0)
    server.script("/items", pages(values))
    source = PAGED % "page: page"
    killed = await run_child(tmp_path, server.url, source, moment)
    assert killed in {0, -signal.SIGKILL}
    world = PullWorld(tmp_path, server.url).job(source)
    await world.run()
    await world.run()
    assert flat(world) == items_of(values)
    server.script("/items", pages({**values, 3: 1, 9: 1}))
    assert await done(world) == [(3, 1), (9, 1)]
    await world.close()


def items_of(values):
    return list(values.items())


async def test_what_a_program_prints_is_the_whole_list(alone, tmp_path):
    script = tmp_path / "list.sh"
    script.write_text(f"#!/bin/sh\ncat {tmp_path}/list.json\n")
    script.chmod(0o755)
    alone.write("agent.yaml", f"commands: {{allow: [{script}]}}\n")
    alone.job(f"type: command\ncommand: [{script}]\nonly: {{changed_by: [id], deleted: send}}\n")

    async def printed(values):
        (tmp_path / "list.json").write_text(json.dumps(items(values)))
        return await done(alone)

    assert await printed({1: 1, 2: 2}) == [(1, 1), (2, 2)]
    assert await printed({2: 5}) == [(2, 5), (1, None)]
    assert await printed({2: 5}) == []
