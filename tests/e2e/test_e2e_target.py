"""The target on a bad day: a wait that `status` explains, order kept, nothing lost, others go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tests.support.stage import Scripted, free_port
from tests.support.world import ask


def keys_in_order(requests):
    """Idempotency keys as they came, repeats that follow each other as one."""
    keys = [request["key"] for request in requests]
    return [key for key, before in zip(keys, [None, *keys], strict=False) if key != before]


def test_a_target_that_is_down_is_waited_for_and_all_arrives_once_it_is_up(stage):
    port = free_port()
    down = f"http://127.0.0.1:{port}"
    stage.connection(endpoints={"ingest": f"{down}/x"}).records().load()
    stage.numbers(25)
    why = stage.until_waits("refused")
    assert "try at" in why
    up = Scripted(lambda path, body, number: (200, {}, {}), port)
    try:
        stage.world.until(lambda: stage.status()["waiting_messages"] == 0, "all is delivered", 15)
        bodies = [body for path, _, body in up.seen]
    finally:
        up.close()
    assert b"".join(bodies) == b"".join(
        b"[" + b",".join(b'{"n":"%d"}' % n for n in numbers) + b"]"
        for numbers in (range(10), range(10, 20), range(20, 25))
    )


def test_a_slow_target_delays_its_job_and_no_other(stage):
    stage.sandbox.faults({"on": f"ingest/{stage.name}", "hold": True, "times": 1})
    stage.connection().records().records(f"{stage.name}-quick", endpoint="other", folder="quick").load()
    stage.numbers(10)
    stage.world.until(lambda: stage.session()["in_flight"] == 1, "the slow request is under way")
    stage.put("q.csv", "n\nq\n", folder="quick")
    stage.world.until(lambda: stage.arrived(f"{stage.name}-other") == ["q"], "the other job delivered")
    assert stage.arrived() == []
    stage.sandbox.no_faults()
    stage.all_arrived()


def test_auth_32_del_29_one_401_costs_exactly_one_refresh_and_the_same_request_again(stage):
    stage.connection().records().load()
    stage.numbers(10)
    stage.all_arrived()
    stage.sandbox.faults({"on": f"ingest/{stage.name}", "answer": 401, "times": 1})
    stage.numbers(10)
    stage.all_arrived()
    state = stage.sandbox.state()
    assert (state["logins"], state["refreshes"]) == (1, 1)
    _, refused, again = stage.requests()
    assert (refused["status"], again["status"]) == (401, 200)
    assert (refused["key"], refused["sha256"]) == (again["key"], again["sha256"])


def test_auth_31_a_target_that_always_says_401_waits_visibly_and_the_other_endpoint_goes_on(stage):
    stage.sandbox.faults({"on": f"ingest/{stage.name}", "answer": 401})
    stage.connection().records().records(f"{stage.name}-good", endpoint="other", folder="good").load()
    stage.numbers(10)
    stage.until_waits("does not accept a fresh token")
    stage.put("g.csv", "n\ng\n", folder="good")
    stage.world.until(lambda: stage.arrived(f"{stage.name}-other") == ["g"], "the other endpoint goes on")
    stage.world.until(lambda: len(stage.requests()) >= 4, "it was tried some more times")
    state = stage.sandbox.state()
    assert (state["logins"], state["refreshes"]) == (1, 1)
    stage.sandbox.no_faults()
    stage.all_arrived()


def test_auth_30_del_29_a_403_is_no_reason_to_sign_in_anew_and_says_so(stage):
    stage.sandbox.faults({"on": f"ingest/{stage.name}", "answer": 403})
    stage.connection().records().load()
    stage.numbers(10)
    assert "403" in stage.until_waits("does not take it at this address or from us")
    state = stage.sandbox.state()
    assert (state["logins"], state["refreshes"], stage.status()["dead"]) == (1, 0, 0)
    stage.sandbox.no_faults()
    stage.connection(limits="{concurrency: 7}").load()  # any change of the connection is a new try
    stage.all_arrived()


def test_a_404_waits_and_heals_at_once_when_the_connection_is_corrected(stage):
    stage.connection(endpoints={"ingest": f"{stage.sandbox.url}/no/such/place"}).records().load()
    stage.numbers(25)
    assert "404" in stage.until_waits("does not take it at this address or from us")
    assert stage.status()["waiting_messages"] == 3
    stage.connection().load()
    stage.all_arrived()
    assert stage.status()["dead"] == 0


def test_del_27_a_413_becomes_a_dead_letter_with_its_answer_and_the_next_goes_on(stage):
    too_large = {"on": f"ingest/{stage.name}", "answer": 413, "body": "at most 10 bytes", "times": 1}
    stage.sandbox.faults(too_large)
    stage.connection().files().load()
    stage.put("1.csv", "n\n1\n")
    stage.put("2.csv", "n\n2\n")
    stage.world.until((stage.drop / "done/2.csv").exists, "the second file is done")
    stage.world.until((stage.drop / "failed/1.csv.why.json").exists, "the first file lies in failed")
    assert "413" in (stage.drop / "failed/1.csv.why.json").read_text()
    assert stage.status()["dead"] == 1
    told = stage.world.run("dead", "list", "--job", stage.name, check=0).stdout
    assert "413" in told


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_del_21_22_a_429_is_obeyed_in_both_forms_and_the_order_stays(stage, form):
    stage.connection().records().load()
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    words = "2" if form == "seconds" else format_datetime(until, usegmt=True)
    stage.sandbox.faults({"on": f"ingest/{stage.name}", "answer": 429, "retry_after": words, "times": 1})
    stage.numbers(30)
    stage.until_waits("429")
    stage.all_arrived()
    refused, again = stage.requests()[:2]
    at, then = datetime.fromisoformat(refused["time"]), datetime.fromisoformat(again["time"])
    assert (refused["status"], refused["key"]) == (429, again["key"])
    assert then >= (at + timedelta(seconds=2) if form == "seconds" else until)


def test_del_24_500_for_a_while_keeps_the_order_and_the_keys(stage):
    stage.sandbox.faults({"on": f"ingest/{stage.name}", "answer": 500, "skip": 1, "times": 3})
    stage.connection().records().load()
    stage.numbers(40)
    stage.until_waits("500")
    stage.all_arrived()
    requests = stage.requests()
    assert [request["status"] for request in requests] == [200, 500, 500, 500, 200, 200, 200]
    assert len(keys_in_order(requests)) == 4
    assert len({request["key"] for request in requests}) == 4


def test_del_34_an_answer_that_is_lost_is_a_repeat_with_the_same_key(stage):
    stage.sandbox.faults({"on": f"ingest/{stage.name}", "drop": "after", "times": 1})
    stage.connection().records().load()
    stage.numbers(20)
    stage.world.until(lambda: len(stage.requests()) == 3, "all is delivered")
    first, again, second = stage.requests()
    assert first["key"] == again["key"] != second["key"]
    assert again["repeat"]


def test_eight_jobs_that_meet_a_401_at_the_same_moment_cost_one_refresh_and_no_login(stage):
    names = [f"{stage.name}-{number}" for number in range(8)]
    places = {f"p{number}": f"{stage.sandbox.url}/ingest/{name}" for number, name in enumerate(names)}
    stage.connection(endpoints=places)
    for number, name in enumerate(names):
        stage.records(name, endpoint=f"p{number}", folder=name)
        stage.put("1.csv", "n\n1\n", folder=name)
    stage.load()
    everybody = lambda numbers: all(stage.arrived(name) == numbers for name in names)  # noqa: E731
    stage.world.until(lambda: everybody(["1"]), "all eight are signed in")
    # All eight are held up at the target, and only then the token they were sent with ends.
    stage.sandbox.faults(*({"on": f"ingest/{name}", "hold": True, "times": 1} for name in names))
    for name in names:
        stage.put("2.csv", "n\n2\n", folder=name)
    stage.world.until(lambda: stage.session()["in_flight"] == 8, "eight requests are under way")
    stage.sandbox.expire()
    stage.sandbox.no_faults()
    stage.world.until(lambda: everybody(["1", "2"]), "all eight delivered")
    state = stage.sandbox.state()
    assert (state["logins"], state["refreshes"], state["refresh_reuse"]) == (1, 1, 0)
    refused = [r for name in names for r in stage.requests(name) if r["status"] == 401]
    assert len(refused) == 8
    assert state["repeats"] == 0
    assert ask(f"{stage.sandbox.url}/_sandbox/state")["unauthorized"] == 8


def test_yml_14_a_request_in_flight_ends_as_it_began_and_what_is_behind_it_goes_the_new_way(stage):
    stage.sandbox.faults({"on": f"ingest/{stage.name}", "hold": True, "times": 1})
    stage.connection().records().load()
    stage.numbers(20)
    stage.world.until(lambda: stage.session()["in_flight"] == 1, "the first request is under way")
    stage.records(endpoint="other")
    stage.load()  # says "1 changed", or nothing where the watcher of the folder was first
    assert stage.session()["in_flight"] == 1
    stage.sandbox.no_faults()
    stage.world.until(lambda: len(stage.arrived(f"{stage.name}-other")) == 10, "the second went the new way")
    assert stage.arrived() == [str(n) for n in range(10)]
    assert stage.arrived(f"{stage.name}-other") == [str(n) for n in range(10, 20)]
