"""A job at its limit: it waits, says so, loses nothing, and holds up no other job."""

from __future__ import annotations

FULL = "waiting: spool is full: 3 of 3 messages of job"


def test_a_job_at_its_limit_waits_and_goes_on_by_itself_and_holds_up_no_other(scene):
    world = scene.world
    scene.connection().records().records(name=f"{scene.name}-free", endpoint="other", folder="free")
    path = world.config / f"jobs/{scene.name}.yaml"
    path.write_text(path.read_text() + "spool: {max_messages: 3}\n")
    scene.sandbox.faults({"on": f"ingest/{scene.name}", "answer": 503})
    world.start()
    for _ in range(6):
        scene.numbers(10)
    world.until(lambda: scene.status()["collecting"].startswith(FULL), "collecting waits for room")
    status = scene.status()
    assert (status["waiting_messages"], status["spool_limit"]["used_ratio"]) == (3, 1.0)
    scene.put("1.csv", "n\nfree\n", folder="free")
    world.until(lambda: scene.arrived(f"{scene.name}-other") == ["free"], "the other job goes on")
    scene.sandbox.no_faults()
    for action in ("pause", "resume"):  # a resumed lane tries at once, however long it was going to wait
        scene.ask("pause", action=action, jobs=[scene.name])
    scene.all_arrived()
