"""What a reload does, with the real loader and a real spool."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from agent.errors import ConfigError, Problem, StateError
from agent.message import Answer, Receipt
from agent.reload import JobRejected
from agent.reload.texts import KEEP
from tests.support.config_folder import CONNECTION, job_text, write

BAD = job_text("gps", endpoint="nowhere")
"""Wrong in line 7."""


async def test_the_first_load_adds_all(house):
    change = await house.reloader.start()
    assert str(change) == "2 added, 0 unchanged, 1 connection changed"
    assert house.world.jobs == ["gps", "planning"]


async def test_a_changed_job_is_changed_and_the_others_are_the_same_objects(house):
    await house.reloader.start()
    before = house.reloader.plan
    write(house.job("gps"), job_text("gps", every="5m"))
    change = await house.reloader.reload("test")
    assert str(change) == "1 changed, 1 unchanged"
    assert house.reloader.plan.jobs["planning"] is before.jobs["planning"]
    assert house.reloader.plan.connections["stg"] is before.connections["stg"]
    assert house.reloader.plan.jobs["gps"] != before.jobs["gps"]


async def test_a_bad_file_keeps_its_last_good_version_and_says_where(house):
    await house.reloader.start()
    write(house.job("gps"), BAD)
    write(house.job("planning"), job_text("planning", every="1m"))
    change = await house.reloader.reload("test")
    assert str(change) == "1 changed, 1 unchanged, 1 rejected (gps.yaml:7)"
    assert change.kept == ("jobs/gps.yaml",)
    assert house.world.jobs == ["gps", "planning"]


async def test_a_bad_file_runs_on_its_last_good_text_over_a_restart(house):
    await house.reloader.start()
    good = house.reloader.plan.jobs["gps"]
    write(house.job("gps"), BAD)
    change = await house.new_reloader().start()
    assert house.reloader.plan.jobs["gps"] == good
    assert [problem.line for problem in change.rejected] == [7]
    await house.new_reloader().start()
    assert house.world.jobs == ["gps", "planning"], "a bad text never takes the place of the last good one"


async def test_a_bad_file_without_a_good_one_is_reported_and_the_others_run(house):
    write(house.job("gps"), BAD)
    change = await house.reloader.start()
    assert house.world.jobs == ["planning"]
    assert str(change) == "1 added, 0 unchanged, 1 connection changed, 1 rejected (gps.yaml:7)"


async def test_yml_11_one_bad_file_among_100_blocks_no_other(house):
    for number in range(98):
        write(house.job(f"j{number}"), job_text(f"j{number}"))
    await house.reloader.start()
    write(house.job("j5"), job_text("j5", endpoint="nowhere"))
    for number in (6, 7):
        write(house.job(f"j{number}"), job_text(f"j{number}", every="1m"))
    change = await house.reloader.reload("test")
    assert str(change) == "2 changed, 98 unchanged, 1 rejected (j5.yaml:7)"
    assert len(house.world.jobs) == 100


async def test_yml_12_two_files_with_one_name_are_both_refused_and_the_old_one_runs_on(house):
    await house.reloader.start()
    old = house.reloader.plan.jobs["gps"]
    write(house.job("another"), job_text("gps", every="1s"))
    change = await house.reloader.reload("test")
    assert {Path(problem.file).name for problem in change.rejected} == {"another.yaml", "gps.yaml"}
    assert house.reloader.plan.jobs["gps"] is old


async def test_yml_13_a_deleted_job_with_messages_is_drained_also_over_a_restart(house):
    await house.reloader.start()
    job = house.reloader.plan.jobs["gps"]
    await house.spool_message("gps")
    house.job("gps").unlink()
    change = await house.reloader.reload("test")
    assert change.removed == ("gps",)
    assert house.world.jobs == ["planning"]
    assert house.reloader.draining["gps"] is job
    (house.folder / "connections" / "stg.yaml").unlink()
    house.job("planning").unlink()
    await house.new_reloader().start()
    assert house.reloader.draining == {"gps": job}
    assert list(house.reloader.plan.connections) == ["stg"], "its connection is lent to it"


async def test_yml_13_a_deleted_job_that_cannot_be_prepared_holds_no_reload_and_is_drained_later(house):
    await house.reloader.start()
    await house.spool_message("gps")
    house.job("gps").unlink()
    problem = Problem(file="jobs/gps.yaml", line=7, column=1, path="target", message="no such endpoint")
    house.world.reject["gps"] = JobRejected(job="gps", problem=problem)
    change = await house.reloader.reload("test")
    assert (change.removed, change.rejected) == (("gps",), (problem,))
    assert house.reloader.draining == {}
    del house.world.reject["gps"]
    await house.reloader.reload("test")
    assert list(house.reloader.draining) == ["gps"]


async def test_yml_13_the_text_of_a_deleted_job_is_kept_as_long_as_it_has_messages(house):
    await house.reloader.start()
    await house.spool_message("gps")
    house.job("gps").unlink()
    connection = house.folder / "connections" / "stg.yaml"
    good = connection.read_text()
    write(connection, good.replace("planning:", "elsewhere:"))
    await house.reloader.reload("test")
    for _ in range(3):
        await house.clock.sleep(2 * KEEP)
        await house.new_reloader().start()
    write(connection, good)
    await house.reloader.reload("test")
    assert list(house.reloader.draining) == ["gps"]


async def test_yml_13_a_job_deleted_while_the_agent_was_down_is_drained(house):
    await house.reloader.start()
    await house.spool_message("gps")
    house.job("gps").unlink()
    await house.new_reloader().start()
    assert list(house.reloader.draining) == ["gps"]
    assert house.world.jobs == ["planning"]


async def test_yml_13_a_job_that_was_given_another_name_is_drained_under_its_old_one(house):
    await house.reloader.start()
    await house.spool_message("gps")
    write(house.job("gps"), job_text("positions"))
    change = await house.reloader.reload("test")
    assert (change.added, change.removed) == (("positions",), ("gps",))
    await house.new_reloader().start()
    assert list(house.reloader.draining) == ["gps"]
    assert house.world.jobs == ["planning", "positions"]


async def test_yml_13_a_deleted_job_without_messages_is_not_drained(house):
    await house.reloader.start()
    house.job("gps").unlink()
    await house.reloader.reload("test")
    assert house.reloader.draining == {}


async def test_yml_13_a_drained_job_is_let_go_when_all_is_delivered(house):
    await house.reloader.start()
    await house.spool_message("gps")
    house.job("gps").unlink()
    await house.reloader.reload("test")
    [message] = await house.spool.oldest("gps", 0)
    receipt = Receipt(
        job="gps",
        lane=0,
        key=message.key,
        run=message.run,
        records=1,
        size=1,
        origin="",
        spooled_at=0.0,
        delivered_at=1.0,
        attempts=1,
        method="POST",
        url="http://127.0.0.1:9/planning",
        answer=Answer(status=200, reason="200 OK"),
    )
    await house.spool.ack(message, receipt)
    await house.reloader._look_at_draining()
    assert house.world.swaps[-1].draining == {}


async def test_a_deleted_file_that_comes_back_within_the_grace_was_never_deleted(house):
    await house.reloader.start()
    text = house.job("gps").read_text()
    house.job("gps").unlink()
    clock_sleep = house.clock.sleep

    async def sleep(seconds):
        if house.clock.mono > 1001.5 and not house.job("gps").exists():
            write(house.job("gps"), text)
        await clock_sleep(seconds)

    house.clock.sleep = sleep
    change = await house.reloader.reload("test")
    assert str(change) == "2 unchanged"


async def test_a_file_that_stays_empty_keeps_the_old_job(house):
    await house.reloader.start()
    write(house.job("gps"), "")
    change = await house.reloader.reload("test")
    assert change.kept == ("jobs/gps.yaml",)
    assert house.world.jobs == ["gps", "planning"]


async def test_what_the_world_rejects_stays_as_it_was_and_is_tried_again(house):
    await house.reloader.start()
    old = house.reloader.plan.jobs["gps"]
    problem = Problem(file="jobs/gps.yaml", line=7, message="the secret is missing")
    # The new version only: the old one is taken.
    house.world.reject = _OnlyNew(old, house.world)
    house.world.reject.entry = JobRejected(job="gps", problem=problem)
    write(house.job("gps"), job_text("gps", every="5m"))
    write(house.job("new"), job_text("new"))
    change = await house.reloader.reload("test")
    assert str(change) == "1 added, 2 unchanged, 1 rejected (gps.yaml:7)"
    assert house.reloader.plan.jobs["gps"] is old
    house.world.reject = {}
    assert str(await house.reloader.reload("test")) == "1 changed, 2 unchanged"


class _OnlyNew(dict):
    """Rejects the job `gps` unless it is the old one."""

    def __init__(self, old, world):
        super().__init__()
        self.old = old
        self.world = world
        self.entry = None
        prepare = world.prepare

        async def looking(plan, draining, change):
            self.now = plan.jobs.get("gps")
            return await prepare(plan, draining, change)

        world.prepare = looking

    def __contains__(self, name):
        return name == "gps" and self.now is not self.old

    def __getitem__(self, name):
        return self.entry


async def test_a_new_job_that_the_world_rejects_does_not_run(house):
    problem = Problem(file="jobs/gps.yaml", message="no")
    house.world.reject = {"gps": JobRejected(job="gps", problem=problem)}
    change = await house.reloader.start()
    assert house.world.jobs == ["planning"]
    assert change.rejected == (problem,)
    house.world.reject = {}
    write(house.job("gps"), BAD)
    await house.new_reloader().start()
    assert house.world.jobs == ["planning"], "a rejected text is no last good one"


async def test_a_world_that_cannot_prepare_anything_goes_on_as_it_was(house):
    await house.reloader.start()
    before = house.reloader.plan
    house.world.error = StateError("the disk is gone")
    write(house.job("gps"), job_text("gps", every="5m"))
    with pytest.raises(StateError):
        await house.reloader.reload("test")
    assert house.reloader.plan is before
    house.world.error = None
    assert str(await house.reloader.reload("test")) == "1 changed, 1 unchanged"


async def test_calls_at_the_same_time_share_one_load(house):
    await house.reloader.start()
    write(house.job("gps"), job_text("gps", every="5m"))
    changes = await asyncio.gather(*(house.reloader.reload("test") for _ in range(10)))
    assert len(house.world.swaps) == 2
    assert {str(change) for change in changes} == {"1 changed, 1 unchanged"}


async def test_a_bad_agent_yaml_without_a_last_good_one_is_an_error_at_the_start(house):
    write(house.folder / "agent.yaml", "log: {level: loud}\n")
    with pytest.raises(ConfigError) as caught:
        await house.reloader.start()
    assert "agent.yaml:1" in str(caught.value)


async def test_a_bad_agent_yaml_runs_on_its_last_good_text(house):
    write(house.folder / "agent.yaml", "log: {level: debug}\n")
    await house.reloader.start()
    write(house.folder / "agent.yaml", "log: {level: loud}\n")
    change = await house.new_reloader().start()
    assert house.reloader.plan.settings.log_level == "debug"
    assert change.kept == ("agent.yaml",)


async def test_a_missing_folder_is_an_error_at_the_start_and_only_then(house):
    await house.reloader.start()
    shutil.rmtree(house.folder)
    change = await house.reloader.reload("test")
    assert house.world.jobs == ["gps", "planning"]
    assert change.rejected
    house.folder = house.folder.parent / "nowhere"
    fresh = house.new_reloader()
    for row in await house.spool.config_rows():
        await house.spool.drop_config(row.path)
    with pytest.raises(ConfigError):
        await fresh.start()


async def test_settings_take_effect_now_or_after_a_restart(house):
    await house.reloader.start()
    write(house.folder / "agent.yaml", "log: {level: debug}\nspool: {max_bytes: 1GB}\n")
    change = await house.reloader.reload("test")
    assert (change.settings, change.restart) == (("log_level",), ("spool_max_bytes",))
    settings = house.reloader.plan.settings
    assert (settings.log_level, settings.spool_max_bytes) == ("debug", 10_000_000_000)
    assert str(change) == "2 unchanged, after a restart: spool_max_bytes"


async def test_a_problem_is_logged_once_however_often_it_is_found(house, caplog):
    caplog.set_level("INFO", logger="push_agent")
    await house.reloader.start()
    write(house.job("gps"), BAD)
    for _ in range(3):
        await house.reloader.reload("test")
    assert sum(record.message == "rejected" for record in caplog.records) == len(
        house.reloader.last_change.rejected
    )


async def test_yml_16_content_decides_and_not_the_time(house):
    await house.reloader.start()
    path = house.job("gps")
    about = path.stat()
    write(path, path.read_text().replace("10m", "20m"))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert path.stat().st_size == about.st_size
    assert str(await house.reloader.reload("test")) == "1 changed, 1 unchanged"
    os.utime(path, (4e9, 4e9))
    assert str(await house.reloader.reload("test")) == "2 unchanged"


async def test_a_changed_connection_is_told(house):
    await house.reloader.start()
    write(house.folder / "connections" / "stg.yaml", CONNECTION + "limits: {concurrency: 2}\n")
    change = await house.reloader.reload("test")
    assert (change.connections, str(change)) == (("stg",), "2 unchanged, 1 connection changed")
