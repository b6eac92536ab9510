"""kill -9 anywhere between and inside of pages: every record comes once, in order."""

from __future__ import annotations

import signal

import pytest

from tests.support.pulling import PullWorld, rows, run_child
from tests.support.scripted import Answer

SOURCE = "type: http\nconnection: api\npath: /items\nrecords: /d\npaging: {%s}\n"
PAGES = 4
EACH = 5


def answer(request):
    """Four pages of five records, whichever way they are asked for."""
    word = request.path.rpartition("=")[2]
    page = int(word) if word.isdigit() else 1
    found = {"d": rows(*range(page * EACH - EACH + 1, page * EACH + 1)) if page <= PAGES else []}
    if page < PAGES:
        found |= {"cursor": str(page + 1), "next": f"/items?p={page + 1}"}
    return Answer(json=found)


@pytest.mark.parametrize("paging", ["cursor: /cursor", "next: /next", "page: page"])
async def test_a_run_killed_again_and_again_goes_on_at_the_page_that_was_not_there(tmp_path, server, paging):
    server.script("/items", answer)
    source = SOURCE % paging
    killed = 0
    for moment in (25, 37, 50):
        if await run_child(tmp_path, server.url, source, moment) == 0:
            break
        killed += 1
    world = PullWorld(tmp_path, server.url).job(source)
    seen = world.ids()
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) % EACH == 0
    if "next" in (world.cursor or {}) or not seen:
        result = await world.run()
        assert (result.state, result.reason) == ("done", "")
    assert world.ids() == list(range(1, PAGES * EACH + 1))
    assert killed >= 2
    assert not [row for row in world.spool.files_by_path("pulled", "http").result() if row.state == "reading"]
    await world.close()


@pytest.mark.parametrize(
    "statement", ["INSERT INTO messages", "INSERT INTO cursors", "UPDATE files", "COMMIT"]
)
async def test_a_run_killed_at_a_statement_leaves_whole_pages_and_nothing_twice(tmp_path, server, statement):
    server.script("/items", answer)
    source = SOURCE % "cursor: /cursor"
    assert await run_child(tmp_path, server.url, source, statement) == -signal.SIGKILL
    world = PullWorld(tmp_path, server.url).job(source)
    before = world.ids()
    assert len(before) % EACH == 0
    result = await world.run()
    assert (result.state, result.reason) == ("done", "")
    assert world.ids() == list(range(1, PAGES * EACH + 1))
    await world.close()
