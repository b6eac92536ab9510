"""Through kills and reloads: every record arrives, in order, once, with one login.

`PUSH_AGENT_BIG=1 pytest tests/e2e/test_e2e_everything.py -s` plays it in full size and prints the figures;
`PUSH_AGENT_SEED=N` plays another history.
"""

from __future__ import annotations

import json
import os
import random
import time
from dataclasses import dataclass
from itertools import pairwise

import pytest

from tests.support.stage import Stage
from tests.support.world import SandboxProcess, World

BIG = os.environ.get("PUSH_AGENT_BIG") == "1"
SEED = int(os.environ.get("PUSH_AGENT_SEED", "1"))
PLANS, POSITIONS = (200, 100_000) if BIG else (40, 10_000)
BATCH, KILLS, GROUPS = 100, 5, 8
PATIENCE = 200 if BIG else 30
HEAD = "trip ID,STOP ID,location ID,start time stop,END time stop"


def plan(number):
    hours = "2026-01-25T10:45:00+01:00,2026-01-25T11:15:00+01:00"
    return f"{HEAD}\nT{number:04},1,depot-1,{hours}\nT{number:04},2,depot-2,{hours}\n"


@dataclass
class History:
    """What is done to the daemon, each deed once so many requests with positions have arrived."""

    stage: Stage
    dropped: int = 0
    kills: int = 0

    def drop_plans(self):
        for _ in range(PLANS // GROUPS):
            self.stage.put(f"plan-{self.dropped:04}.csv", plan(self.dropped), folder="planning")
            self.dropped += 1

    def kill(self):
        self.stage.world.kill()
        self.stage.world.start(wait=False)  # the next kill may well hit the start
        self.kills += 1

    def add_job(self):
        self.stage.records("extra", endpoint="extra", folder="extra")
        self.stage.put("1.csv", "n\n" + "".join(f"{n}\n" for n in range(50)), folder="extra")

    def delete_job(self):
        """Once its file is spooled: what is spooled is delivered all the same."""
        self.stage.world.until(
            lambda: self.stage.requests("extra"), "the job that is to be deleted delivers", PATIENCE
        )
        (self.stage.world.config / "jobs/extra.yaml").unlink()

    def break_jobs(self):
        for job in ("positions", "planning"):
            path = self.stage.world.config / f"jobs/{job}.yaml"
            self.stage.write(f"jobs/{job}.yaml", path.read_text().replace("source:", "sauce: {", 1))
        self.stage.write("jobs/never-good.yaml", "job: never-good\nschedule: {every: 1x}\n")

    def mend_jobs(self):
        for job in ("positions", "planning"):
            path = self.stage.world.config / f"jobs/{job}.yaml"
            text = path.read_text().replace("sauce: {", "source:", 1)
            self.stage.write(f"jobs/{job}.yaml", text + "description: mended\n")

    def change_connection(self):
        places = {
            "planning": f"{self.stage.sandbox.url}/trips/insertOrUpdate",
            "extra": f"{self.stage.sandbox.url}/ingest/extra",
        }
        self.stage.connection(endpoints=places, limits="{concurrency: 5}")

    def play(self, dice):
        """The deeds in their order, the kills at any moments between, before and after them."""
        deeds = [self.add_job, self.break_jobs, self.delete_job, self.change_connection, self.mend_jobs]
        last = POSITIONS // BATCH - 5
        moments = sorted(dice.sample(range(2, last), len(deeds)))
        events = [*zip(moments, deeds, strict=True)]
        events += [(dice.randrange(1, last), self.kill) for _ in range(KILLS)]
        events += [(last * group // GROUPS, self.drop_plans) for group in range(GROUPS)]
        for moment, deed in sorted(events, key=lambda event: event[0]):
            self.stage.world.until(
                lambda moment=moment: self.progress() >= moment, f"{moment} requests arrived", PATIENCE
            )
            deed()

    def progress(self):
        counts = self.stage.sandbox.state()["requests"].get("ingest/positions", {})
        return sum(counts.values())


def check_lane(rows, *, kills):
    """One lane of the record: its bodies in order, repeats taken out. Knows nothing of the agent."""
    bodies, seen, repeats = [], {}, 0
    for before, row in pairwise([None, *rows]):
        assert row["key"], "every request has a key"
        if row["key"] in seen:
            repeats += 1
            assert row["key"] == before["key"], "only the last request may come again"
            assert row["body"] == seen[row["key"]], "a repeat is the same request"
            continue
        seen[row["key"]] = row["body"]
        bodies.append(row["body"])
    assert repeats <= kills
    return bodies, repeats


@pytest.mark.timeout(600 if BIG else 120)
def test_everything_arrives_in_order_through_kills_and_reloads(tmp_path):
    sandbox = SandboxProcess(tmp_path / "sandbox")
    world = World(tmp_path / "world", sandbox.url)
    world.measured = False
    try:
        (world.config / "connections/platform.yaml").unlink()
        stage = Stage(world, sandbox, "positions")
        history = History(stage)
        history.change_connection()
        stage.records(batch=BATCH)
        stage.files("planning", endpoint="planning", folder="planning", source=f"columns: [{HEAD}]")
        # So slow that kills hit every part of the life of a request; one in fifty fails first.
        sandbox.faults(
            {"on": "targets", "answer": 503, "rate": 0.02, "retry_after": "0"},
            {"on": "targets", "delay": 0.01},
        )
        began = time.monotonic()
        world.start()
        stage.numbers(POSITIONS)
        history.play(random.Random(SEED))
        done = stage.drop / "planning/done"
        world.until(
            lambda: done.exists() and len(list(done.iterdir())) == PLANS, "all plans are done", PATIENCE
        )
        world.until((stage.drop / "done/000000.csv").exists, "the positions are done", PATIENCE)
        world.until(
            lambda: all(job["waiting_messages"] == 0 for job in stage.ask("status")["jobs"]),
            "nothing waits",
            PATIENCE,
        )
        took = time.monotonic() - began
        jobs = stage.ask("status")["jobs"]
        world.stop()
    finally:
        world.close()
        sandbox.close()
    rows = sandbox.recorded()
    lanes = {}
    for row in rows:
        if row["processed"]:
            lanes.setdefault(row["endpoint"], []).append(row)
    assert len(lanes.pop("login")) == 1
    assert set(lanes) == {"ingest/positions", "ingest/extra", "planning"}
    positions, again = check_lane(lanes["ingest/positions"], kills=KILLS)
    assert [record["n"] for body in positions for record in json.loads(body)] == [
        str(n) for n in range(POSITIONS)
    ]
    plans, plans_again = check_lane(lanes["planning"], kills=KILLS)
    assert plans == [plan(number) for number in range(PLANS)]
    extra, extra_again = check_lane(lanes["ingest/extra"], kills=KILLS)
    assert [record["n"] for body in extra for record in json.loads(body)] == [str(n) for n in range(50)]
    assert sum(job["dead"] for job in jobs) == 0
    assert history.kills == KILLS
    assert not list(world.drop.rglob("*.part"))
    print(
        f"\nseed {SEED}: {PLANS} plans, {POSITIONS} positions, {len(rows)} requests in {took:.1f} s; {KILLS} kills,"
        f" repeated {again} + {plans_again} + {extra_again}, 1 login"
    )
