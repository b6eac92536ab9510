"""The real daemon, a batch with bad records in it, SIGKILL in the middle, and what a person sees and does.

`PUSH_AGENT_MILLION=1 pytest -n 0 -s tests/e2e/test_e2e_split.py` kills it at each request.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import threading

import pytest

from agent.spool import Reader
from tests.support.stage import Scripted

BIG = os.environ.get("PUSH_AGENT_MILLION") == "1"
RECORDS, BAD, MOST = 500, ("2", "216", "499"), 60
KILLS = range(1, MOST) if BIG else (1, 20, 40)


class Judge:
    """Takes a body whole or refuses it, the same way however often it comes with that key.

    The answer to the request that is the `held`th of its kind (a repeat does not count) is not given until `release`.
    """

    def __init__(self):
        self.keys = []
        """Of all requests, repeats too."""
        self.taken = []
        """The numbers that were taken, in order, repeats left out."""
        self.held = 0
        self.holds = threading.Event()
        self._answers = {}
        self._free = threading.Event()
        self._server = Scripted(self._answer)
        self.url = self._server.url

    def hold(self, at):
        self.held = at
        self._free.clear()
        self.holds.clear()

    def release(self):
        self.held = 0
        self._free.set()

    def close(self):
        self.release()
        self._server.close()

    def _answer(self, _, body, number):
        key = self._server.seen[number - 1][1]["Idempotency-Key"]
        self.keys.append(key)
        if key not in self._answers:
            self._answers[key] = self._judged([record["n"] for record in json.loads(body)])
        if len(self._answers) == self.held:
            self.holds.set()
            self._free.wait()
        return self._answers[key]

    def _judged(self, numbers):
        bad = [n for n in numbers if n in BAD]
        if bad:
            return 422, {"error": f"no {', '.join(bad)}"}, {}
        self.taken += numbers
        return 200, {}, {}


@pytest.fixture
def judge():
    one = Judge()
    yield one
    one.close()


@pytest.mark.timeout(300 if BIG else 90)
def test_del_26_bad_records_stand_alone_through_a_kill_and_go_back_alone(scene, judge):
    world, kills = scene.world, 0
    scene.connection(url=judge.url).records(batch=RECORDS)
    path = scene.numbers(RECORDS)
    done = scene.drop / "failed" / path.name
    for step in KILLS:
        judge.hold(step)
        world.start()
        world.until(
            lambda: judge.holds.is_set() or done.exists(), "the request is held, or it was the last one"
        )
        if not judge.holds.is_set():
            break
        world.kill()
        judge.release()
        kills += 1
    judge.release()
    if world.daemon.poll() is not None:
        world.start()
    world.until(lambda: scene.status()["waiting_records"] == 0, "all of it has left")
    world.until(done.exists, "the file has failed")

    assert judge.taken == [str(n) for n in range(RECORDS) if str(n) not in BAD]
    status = scene.status()
    assert (status["delivered_records"], status["dead"]) == (RECORDS - len(BAD), len(BAD))
    requests = len(set(judge.keys))
    assert requests - 1 <= MOST
    assert len(judge.keys) - requests <= kills
    letters = json.loads(world.run("dead", "list", "--output", "json").stdout)[::-1]
    assert [one["origin"] for one in letters] == [f"{path.name} row {int(n) + 1}" for n in BAD]
    assert [one["answer"]["body"] for one in letters] == [json.dumps({"error": f"no {n}"}) for n in BAD]
    assert all(re.fullmatch(r".+-1\.(\d+)-\1", one["key"]) for one in letters)
    with Reader.open(world.state) as reader:
        bodies = [gzip.decompress(one.body) for one in reader.dead()[::-1]]
    assert bodies == [b'[{"n":"%s"}]' % n.encode() for n in BAD]
    print(f"\n{kills} kills, {requests} requests, {len(judge.keys) - requests} repeats")
