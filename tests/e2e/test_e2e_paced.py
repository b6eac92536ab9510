"""A target that is away for many jobs: seen as one thing, over a reload, and left without a loss."""

from __future__ import annotations

from tests.support.stage import Scripted, free_port

JOBS = range(4)


def test_a_reload_of_the_limits_keeps_the_circuit_and_all_arrives_once_the_target_is_up(stage):
    port = free_port()
    places = {"ingest": f"http://127.0.0.1:{port}/x"}
    stage.connection(endpoints=places)
    names = [f"{stage.name}-{number}" for number in JOBS]
    for name in names:
        stage.records(name, folder=name)
    stage.load()
    for name in names:
        stage.put("1.csv", f"n\n{name}\n", folder=name)

    def origin():
        found = [one for one in stage.session()["pacing"]["origins"] if str(port) in one["origin"]]
        return found[0] if found else {"circuit": "unknown"}

    stage.world.until(lambda: origin()["circuit"] in {"open", "probing"}, "the circuit opens")
    for name in names:
        assert "one request at a time tries whether" in stage.until_waits("refused; one request", name)
    assert f"http://127.0.0.1:{port} is away since" in stage.world.run("status").stdout

    stage.connection(endpoints=places, limits="{rate: 50/s, concurrency: 2}").load()
    pacing = stage.session()["pacing"]
    assert (pacing["concurrency"], pacing["rate"], origin()["openings"]) == (2, 50, 1)

    up = Scripted(lambda path, body, number: (200, {}, {}), port)
    try:
        for name in names:
            stage.world.until(
                lambda name=name: stage.status(name)["waiting_messages"] == 0, "all is delivered"
            )
        assert sorted(body.decode() for _, _, body in up.seen) == [f'[{{"n":"{name}"}}]' for name in names]
        assert origin()["circuit"] == "closed"
    finally:
        up.close()
