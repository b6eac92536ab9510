"""kill -9 while a batch is taken apart, again and again: the same end as without."""

from __future__ import annotations

import asyncio
import gzip
import random
import signal
import sys
from pathlib import Path

import pytest

from agent.spool import Reader
from tests.support.batches import Picky, batch, joined
from tests.support.processes import unmeasured
from tests.support.scripted import Answer
from tests.support.spool import open_spool

ROOT = Path(__file__).parents[2]
BAD = (3, 217, 500)


async def child(state, url, kill_at):
    words = [sys.executable, "-m", "tests.support.split_child", str(state), url, str(kill_at)]
    process = await asyncio.create_subprocess_exec(
        *words, cwd=ROOT, env=unmeasured(), stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode in {0, -signal.SIGKILL}, said.decode()
    return process.returncode


@pytest.mark.timeout(240)  # several processes are started
@pytest.mark.parametrize("seed", range(1))  # more by hand: each kill costs a start
async def test_del_04_05_26_a_batch_that_is_split_ends_the_same_through_any_kills(tmp_path, server, seed):
    target, seen = Picky("json", BAD, last=520), []

    def look(request):
        key = request.headers["Idempotency-Key"]
        seen.append(key)
        if seen.count(key) > 1:  # it was processed, and the answer was not stored
            return gone[key]
        gone[key] = target(request)
        return gone[key]

    gone = {}
    server.script("/in", look)
    spool = open_spool(tmp_path)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    first, second = spool.append(run, [batch("json", 500), batch("json", 20, first=501)]).result()
    spool.close()
    dice, ends = random.Random(seed), []
    while not ends or ends[-1] != 0:
        ends.append(await child(tmp_path, server.url, dice.randint(60, 220)))
    kills = len(ends) - 1
    assert kills >= 1
    assert target.taken == [n for n in range(1, 521) if n not in BAD]
    again = len(seen) - len(set(seen))
    assert again <= kills
    with Reader.open(tmp_path) as reader:
        letters = reader.dead()[::-1]
        (overview,) = reader.overview()
        parts = sum(len(reader.receipts(key)) for key in set(seen))
    assert [gzip.decompress(one.body) for one in letters] == [joined("json", [n]) for n in BAD]
    assert [one.key for one in letters] == [f"{first}.{n}-{n}" for n in BAD]
    assert (overview.waiting, overview.waiting_records, overview.waiting_bytes) == (0, 0, 0)
    assert (overview.delivered_records, overview.dead) == (517, 3)
    assert overview.delivered == parts
    assert seen[-1] == second
    assert len(set(seen)) - 2 <= 60


@pytest.mark.parametrize("at", range(1, 8))
async def test_del_26_a_split_that_is_cut_off_at_any_request_goes_on_there(world, server, at):
    """1-8, 1-4, 1-2, 3-4, 3, 4, 5-8: with the third record bad, seven requests."""
    held, target, seen = asyncio.Event(), Picky("csv", {3}, last=8), []

    def look(request):
        seen.append(request.headers["Idempotency-Key"].partition(".")[2])
        return Answer(204, hold=held) if len(seen) == at else target(request)

    server.script("/in", look)
    run = await world.spool.start_run("gps", 0.0, "test", "sha")
    await world.spool.append(run, [batch("csv", 8)])
    world.route(await world.connect())
    await world.deliverer.start()
    await server.until(at)
    await world.deliverer.stop(0)
    held.set()
    world.new_life()
    world.deliverer.set_routes(world.entries)
    await world.deliverer.start()
    await world.settled()
    wanted = ["", "1-4", "1-2", "3-4", "3-3", "4-4", "5-8"]
    assert seen == [*wanted[:at], *wanted[at - 1 :]]
    assert target.taken == [1, 2, 4, 5, 6, 7, 8]
    with world.reader() as reader:
        assert [gzip.decompress(one.body) for one in reader.dead()] == [joined("csv", [3])]
    assert (world.overview().delivered_records, world.overview().waiting_bytes) == (7, 0)
