"""Positions of many vehicles over 16 lanes, to a target on a bad day: the order of each vehicle is that of the source.

`PUSH_AGENT_BIG=1 pytest -n 0 -s tests/faults/test_positions.py` sends 50,000 of 1,000 vehicles, each in a request of its own.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time

import pytest

from tests.faults.checker import judge
from tests.faults.lives import Nursery
from tests.faults.proxy import Proxy
from tests.faults.record import History
from tests.faults.sources import CONNECTION
from tests.faults.target import Target, Weather
from tests.support.world import World

BIG = os.environ.get("PUSH_AGENT_BIG") == "1"
POSITIONS, VEHICLES = (50_000, 1_000) if BIG else (4_000, 200)
BODY = (
    "{format: json, per: record, map: {k: =plate, n: =n}}"
    if BIG
    else "{format: json, map: {k: =plate, n: =n}}"
)
BAD_DAY = Weather(busy=0.03, fails_after=0.02, drops_after=0.02, slow_down=0.005)
JOB = """\
job: plates
schedule: {{watch: true, every: 1h}}
source: {{type: csv, path: {drop}/*.csv, settle: 0s, types: {{n: BIGINT}}, done: {{move: done/}}}}
body: {body}
batch: {{records: 10}}
target: {{connection: platform, endpoint: plates}}
delivery: {{order: {{by: =plate, lanes: 16}}}}
"""


@pytest.mark.timeout(900 if BIG else 180)
async def test_the_order_of_each_vehicle_survives_a_target_that_fails_and_drops(tmp_path):
    dice = random.Random(16)
    history = History(lanes={"/plates": 16})
    world = World(tmp_path / "world", "http://127.0.0.1:9")
    records = [(f"V-{dice.randrange(VEHICLES):04}", number) for number in range(POSITIONS)]
    history.put("/plates", records)
    proxy = Proxy(history, random.Random(1))
    target = Target(history, dice, proxy.life_of)
    target.weather = BAD_DAY
    began = time.monotonic()
    async with target, proxy, Nursery(world.log) as nursery:
        proxy.target_port = target.port
        text = CONNECTION.format(url=proxy.url, gzip="true").replace("concurrency: 6", "concurrency: 16")
        (world.config / "connections/platform.yaml").write_text(text)
        world.job("plates", JOB.format(drop=world.drop, body=BODY))
        lines = "".join(f"{plate},{number}\n" for plate, number in records)
        (world.drop / "1.csv").write_text(f"plate,n\n{lines}")
        history.life = 1
        arguments = ["run", "--config", str(world.config), "--state", str(world.state)]
        life = await nursery.bear(arguments, None, 0)
        async with asyncio.timeout(800 if BIG else 120):
            while not (world.drop / "done/1.csv").exists():
                assert life.returncode is None, world.logged()[-3000:]
                await target.heard(0.2)
        took = time.monotonic() - began
        life.send_signal(signal.SIGTERM)
        assert await life.wait() == 0
    verdict = judge(history, frozenset())
    assert verdict.violations == []
    assert verdict.lost == verdict.out_of_order == 0
    assert verdict.repeats > 0
    failed = sum(row.status in {429, 500, 503, 0} for row in history.rows)
    assert failed > 0
    print(f"\n{POSITIONS} positions of {VEHICLES} vehicles: {verdict.requests} requests, {failed} failed or dropped, "
          f"{verdict.repeats} repeats, {verdict.logins} login, {took:.1f} s")  # fmt: skip
