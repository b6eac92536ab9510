"""The ways in which files are saved: real tools, real inotify, one reload each."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys

import pytest

from tests.support.config_folder import job_text, write
from tests.support.schedules import until

TEN_TO_FIVE = "s/10m/5m/"


def reloads(house):
    """Without the first load."""
    return len(house.world.swaps) - 1


async def changed_once(house, what="1 changed, 1 unchanged"):
    """Exactly one reload: a file that is changed afterwards is the second one."""
    await until(lambda: reloads(house) >= 1)
    assert str(house.world.changes[1]) == what
    await quiet(house, 2)


async def quiet(house, wanted):
    """The next reload is the one that this makes: all before it has been counted."""
    write(house.folder / "jobs" / "last.yaml", job_text("last"))
    await until(lambda: any("last" in swap.plan.jobs for swap in house.world.swaps))
    assert reloads(house) == wanted


def run(*command, **options):
    subprocess.run([str(word) for word in command], check=True, capture_output=True, timeout=20, **options)


async def test_yml_09_sed_in_place_is_one_reload(live):
    run("sed", "-i", TEN_TO_FIVE, live.job("gps"))
    await changed_once(live)


async def test_yml_09_cp_over_it_is_one_reload(live, tmp_path):
    write(tmp_path / "new", job_text("gps", every="5m"))
    run("cp", tmp_path / "new", live.job("gps"))
    await changed_once(live)


async def test_yml_09_mv_over_it_is_one_reload(live, tmp_path):
    write(tmp_path / "new", job_text("gps", every="5m"))
    run("mv", tmp_path / "new", live.job("gps"))
    await changed_once(live)


async def test_yml_09_a_copying_tools_temporary_name_is_ignored(live):
    partial = live.folder / "jobs" / ".gps.yaml.x8Tq2F"  # as rsync does; .~tmp~ is a folder of these
    write(partial, job_text("gps", every="5m"))
    delayed = live.folder / "jobs" / ".~tmp~"
    delayed.mkdir()
    write(delayed / "planning.yaml", job_text("planning", every="1s"))
    partial.rename(live.job("gps"))
    await changed_once(live)


async def test_yml_09_truncate_and_write_as_nano_does_is_one_reload(live):
    with live.job("gps").open("w") as file:
        file.flush()
        file.write(job_text("gps", every="5m"))
    await changed_once(live)


async def test_yml_09_rename_away_and_write_anew_as_vim_does_is_one_reload(live):
    jobs = live.folder / "jobs"
    (jobs / "4913").touch()
    (jobs / "4913").unlink()
    (jobs / ".gps.yaml.swp").write_bytes(b"b0VIM 9.0")
    live.job("gps").rename(jobs / "gps.yaml~")
    write(live.job("gps"), job_text("gps", every="5m"))
    (jobs / "gps.yaml~").unlink()
    (jobs / ".gps.yaml.swp").unlink()
    await changed_once(live)


@pytest.mark.skipif(not shutil.which("vim"), reason="vim is not installed")
@pytest.mark.parametrize("options", ["backupcopy=no", "backupcopy=yes", "nowritebackup"])
async def test_yml_09_vim_itself_is_one_reload(live, options):
    keys = ["-c", f"set {options}", "-c", "%" + TEN_TO_FIVE, "-c", "wq"]
    run("vim", "-N", "-u", "NONE", "-es", *keys, live.job("gps"), stdin=subprocess.DEVNULL)
    await changed_once(live)


async def test_yml_09_helpers_and_backups_are_no_reload(live):
    jobs = live.folder / "jobs"
    for name in ("a.yaml~", ".a.yaml.swp", "4913", "a.yaml.bak", "a.yaml.tmp", "a.yaml.disabled", "#a.yaml#"):
        write(jobs / name, job_text("a"))
    await quiet(live, 1)
    assert live.world.jobs == ["gps", "last", "planning"]


async def test_yml_08_a_half_written_file_is_not_read_until_its_writer_is_done(live):
    new = job_text("gps", every="5m") + "# the end\n"
    script = "import sys; f = open(sys.argv[1], 'w'); f.write(sys.argv[2]); f.flush(); print(flush=True); input(); f.write(sys.argv[3])"
    half = len(new) - len("# the end\n")  # a file that would be right
    command = [sys.executable, "-c", script, str(live.job("gps")), new[:half], new[half:]]
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    writer = await asyncio.create_subprocess_exec(*command, **pipes)
    await writer.stdout.readline()
    await until(live.reloader._running.locked)
    write(live.job("planning"), job_text("planning", every="1m"))
    assert reloads(live) == 0
    await writer.communicate(b"\n")
    await until(lambda: reloads(live) >= 1)
    assert str(live.world.changes[1]) == "2 changed, 0 unchanged"


async def test_yml_10_a_folder_deleted_and_made_anew_goes_on_and_is_picked_up_again(live, tmp_path):
    jobs = live.folder / "jobs"
    shutil.rmtree(jobs)
    await until(lambda: live.world.swaps[-1] is not live.world.swaps[0])
    assert live.world.jobs == ["gps", "planning"]
    assert live.reloader.last_change.rejected[0].message == "the folder is gone"
    jobs.mkdir(mode=0o755)
    write(live.job("gps"), job_text("gps", every="5m"))
    write(live.job("planning"), job_text("planning"))
    await until(lambda: live.reloader.last_change.changed == ("gps",))
    assert live.world.jobs == ["gps", "planning"]


async def test_yml_10_a_config_folder_renamed_away_goes_on_and_is_picked_up_again(live, tmp_path):
    away = tmp_path / "away"
    live.folder.rename(away)
    await until(lambda: live.reloader.last_change.rejected)
    assert live.world.jobs == ["gps", "planning"]
    run("sed", "-i", TEN_TO_FIVE, away / "jobs" / "gps.yaml")
    away.rename(live.folder)
    await until(lambda: live.reloader.last_change.changed == ("gps",))
    assert live.reloader.last_change.rejected == ()


async def test_yml_10_a_folder_that_others_may_write_to_is_refused_and_goes_on(live):
    jobs = live.folder / "jobs"
    jobs.chmod(0o777)
    write(live.job("gps"), job_text("gps", every="5m"))
    await until(lambda: live.reloader.last_change.rejected)
    assert live.world.jobs == ["gps", "planning"]
    jobs.chmod(0o755)
    assert (await live.reloader.reload("test")).changed == ("gps",)


async def test_yml_15_ten_thousand_touches_and_one_change_are_one_reload(live):
    write(live.job("gps"), job_text("gps", every="5m"))
    for _ in range(10_000):
        os.utime(live.job("planning"))
    await changed_once(live)
