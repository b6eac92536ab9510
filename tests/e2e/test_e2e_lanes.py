"""Positions of many vehicles over many lanes, to a target that fails: the order of each vehicle holds.

`PUSH_AGENT_MILLION=1 pytest -n 0 -s tests/e2e/test_e2e_lanes.py` is the large run: 50,000 of 1,000 vehicles.
"""

from __future__ import annotations

import json
import os
import time

import pytest

from tests.support.positions import PositionsTarget

BIG = os.environ.get("PUSH_AGENT_MILLION") == "1"
POSITIONS, PLATES = (50_000, 1_000) if BIG else (1_000, 100)
PATIENCE = 1_200 if BIG else 45
PART = 150

JOB = """\
job: {name}
schedule: {{watch: true, every: 1h}}
source: {{type: csv, path: {drop}/*.csv, settle: 0s, done: {{move: done/}}, on_bad_row: dead_letter, order: [name]}}
body: {{format: json, per: {per}, map: {{n: =n, plate: =plate}}}}
{batch}
target: {{connection: {name}, endpoint: in}}
delivery: {{order: {order}{more}}}
"""


@pytest.fixture
def target():
    made = []

    def make(**shares):
        made.append(PositionsTarget(**shares))
        return made[-1]

    yield make
    for one in made:
        one.close()


def connect(scene, target):
    endpoints = json.dumps({"in": f"{target.url}/in"})
    limits = "limits: {concurrency: 8}\naccepts: {gzip: true}"
    text = f"connection: {scene.name}\ntype: http\nendpoints: {endpoints}\n{limits}\n"
    scene.write(f"connections/{scene.name}.yaml", text)


def order(scene, order, *, per="record", batch="", more=""):
    text = JOB.format(name=scene.name, drop=scene.drop, order=order, per=per, batch=batch, more=more)
    scene.write(f"jobs/{scene.name}.yaml", text)


def plate_of(number):
    return f"plate {number * 7919 % PLATES}"


def put(scene, first, count):
    lines = "".join(f"{n},{plate_of(n)}\n" for n in range(first, first + count))
    scene.put(f"{first:07}.csv", f"n,plate\n{lines}")


def holds(target, count):
    """None is missing, and at the receiver, without repeats, each vehicle is in the order of the source."""
    wanted = {}
    for number in range(count):
        wanted.setdefault(plate_of(number), []).append(number)
    assert target.by_plate() == wanted


@pytest.mark.timeout(PATIENCE + 75)
def test_the_order_of_every_vehicle_holds_over_16_lanes_with_a_target_that_fails(scene, target):
    """5 % are answered 503, 2 % processed and cut off, and some 429: what fell is settled by the seed alone."""
    at = target(fail=0.05, drop=0.02, slow_down=0.004)
    connect(scene, at)
    order(scene, "{by: =plate, lanes: 16}")
    put(scene, 0, POSITIONS)
    scene.world.start()
    began = time.monotonic()
    scene.world.until(lambda: at.count == POSITIONS, "all positions are there", seconds=PATIENCE)
    scene.world.until(lambda: scene.status()["waiting_messages"] == 0, "all of it is acked")
    took = time.monotonic() - began
    holds(at, POSITIONS)
    assert at.fails > 0
    assert at.drops > 0
    assert at.slowed > 1
    assert at.repeats == at.drops
    assert scene.status()["dead"] == 0
    print(f"\n{POSITIONS:,} positions of {PLATES:,} vehicles in {took:.0f} s: {len(at.order):,} processed, "
          f"{at.fails:,} answered 503, {at.slowed} 429, {at.drops:,} cut off, {at.repeats:,} repeats")  # fmt: skip


@pytest.mark.timeout(PATIENCE + 75)
@pytest.mark.parametrize(("per", "batch"), [("record", ""), ("batch", "batch: {records: 7}")])
def test_kills_and_other_lanes_in_between_lose_nothing_and_keep_the_order(scene, target, per, batch):
    at = target(fail=0.03, drop=0.01)
    connect(scene, at)
    lanes = 0
    for number, each in enumerate(["{by: =plate, lanes: 16}", "{by: =plate, lanes: 5}", "strict"]):
        order(scene, each, per=per, batch=batch)
        put(scene, number * PART, PART)
        scene.world.start()
        begun = PART * number + PART // 3
        scene.world.until(lambda begun=begun: at.count >= begun, "part of it is there")
        scene.world.kill()
        lanes += 16
    order(scene, "{by: =upper(plate), lanes: 9}", per=per, batch=batch)
    scene.world.start()
    put(scene, 3 * PART, PART)
    scene.world.until(lambda: at.count == 4 * PART, "all positions are there", seconds=PATIENCE)
    scene.world.until(lambda: scene.status()["waiting_messages"] == 0, "all of it is acked")
    holds(at, 4 * PART)
    assert at.repeats <= at.drops + lanes  # one request per lane and kill at most


def test_a_reload_opens_the_new_lanes_when_the_old_ones_are_empty(scene, target):
    at = target()
    connect(scene, at)
    order(scene, "{by: =plate, lanes: 4}")
    at.hold()
    put(scene, 0, 100)
    scene.world.start()
    scene.world.until(lambda: scene.status()["waiting_messages"] == 100, "it is spooled")
    order(scene, "{by: =plate, lanes: 32}")
    assert not scene.load()["rejected"]
    put(scene, 100, 100)
    scene.world.until(lambda: scene.status()["waiting_messages"] == 200, "the next is spooled")
    at.release()
    scene.world.until(lambda: at.count == 200, "all positions are there")
    first = [one["n"] for _, positions in at.order[:100] for one in positions]
    assert sorted(map(int, first)) == list(range(100))
    holds(at, 200)


def test_what_is_too_old_is_a_dead_letter_that_the_commands_show(scene, target):
    at = target()
    connect(scene, at)
    order(scene, "{by: =plate, lanes: 4}", more=", expire: {after: 1h, of: =plate}")
    scene.put("a.csv", "n,plate\n1,2020-01-01T00:00:00Z\n2,2999-01-01T00:00:00Z\n3,\n")
    scene.world.start()
    scene.world.until(lambda: at.count == 2, "what is young enough is there")
    scene.world.until(lambda: scene.status()["expired"] == 1, "the other is set aside")
    told = scene.world.run("dead", "list", "--reason", "expired", check=0).stdout
    assert "too old: its youngest record is of 2020-01-01T00:00:00Z" in told
    assert "no dead letters" in scene.world.run("dead", "list", "--reason", "refused", check=0).stdout
    assert "1 message too old to be sent" in scene.world.run("status", check=0).stdout
    assert sorted(int(n) for numbers in at.by_plate().values() for n in numbers) == [2, 3]
