"""The real daemon, a batch with bad records in it, SIGKILL in the middle, and what a person sees and does."""

from __future__ import annotations

import json
import re

BAD = ("13", "77")


def test_del_26_bad_records_stand_alone_through_a_kill_and_go_back_alone(scene):
    faults = [
        {"on": f"ingest/{scene.name}", "answer": 422, "body": f"no {n}", "containing": f'"n":"{n}"'}
        for n in BAD
    ]
    held = {"on": f"ingest/{scene.name}", "hold": True, "skip": 3, "times": 1}
    scene.sandbox.faults(held, *faults)
    scene.connection().records(batch=100)
    path = scene.numbers(100)
    scene.world.start()
    scene.world.until(lambda: len(scene.requests()) == 3, "the fourth request is held")
    scene.world.kill()
    scene.sandbox.no_faults()
    scene.sandbox.faults(*faults)
    scene.world.start()
    scene.world.until(lambda: scene.status()["waiting_records"] == 0, "all of it has left")
    good = [str(n) for n in range(100) if str(n) not in BAD]
    assert list(dict.fromkeys(scene.arrived())) == good
    status = scene.status()
    assert (status["delivered_records"], status["dead"]) == (98, 2)
    scene.world.until((scene.drop / "failed" / path.name).exists, "the file has failed")
    letters = json.loads(scene.world.run("dead", "list", "--output", "json").stdout)
    assert [one["origin"] for one in letters] == [f"{path.name} row {int(n) + 1}" for n in reversed(BAD)]
    assert [one["answer"]["body"] for one in letters] == [f"no {n}" for n in reversed(BAD)]
    assert all(re.fullmatch(r".+-1\.(\d+)-\1", one["key"]) for one in letters)
