"""The state folder on a bad day: a clear line and the documented exit code, or a wait that heals by itself."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from tests.support.world import ROOT

MOUNTS = os.geteuid() == 0 and shutil.which("unshare") is not None
needs_mounts = pytest.mark.skipif(not MOUNTS, reason="needs root and unshare, for a small or read-only mount")


def run_once(world, *, prefix=()):
    """`push-agent run`, which must end by itself."""
    (world.config / "agent.yaml").write_text(f"state: {world.state}\nweb: {{listen: off}}\n")
    line = [*prefix, sys.executable, "-m", "agent", "run", "--config", str(world.config)]
    return subprocess.run(line, capture_output=True, text=True, timeout=20, cwd=ROOT, check=False)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_del_15_a_file_in_the_place_of_the_state_folder_is_exit_78_with_one_clear_line(scene):
    scene.connection().records()
    scene.world.state.write_text("not a folder")
    done = run_once(scene.world)
    assert done.returncode == 78
    assert str(scene.world.state) in done.stderr
    assert "Traceback" not in done.stderr
    assert scene.world.state.read_text() == "not a folder"


@needs_mounts
def test_del_15_a_read_only_state_folder_is_exit_78_with_one_clear_line(scene):
    scene.connection().records()
    scene.world.state.mkdir()
    mount = f"mount --bind {scene.world.state} {scene.world.state} && mount -o remount,ro,bind {scene.world.state}"
    done = run_once(scene.world, prefix=("unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh"))
    assert done.returncode == 78, done.stderr
    assert "read-only" in done.stderr
    assert "Traceback" not in done.stderr


@needs_mounts
def test_del_12_a_start_on_a_full_disk_is_exit_75_with_one_clear_line(scene):
    """The unit starts it again until there is room: with 78 it would not."""
    scene.connection().records()
    scene.world.state.mkdir()
    place = scene.world.state
    full = f"mount -t tmpfs -o size=64k,mode=0700 tmpfs {place} && (cat /dev/zero > {place}/ballast 2>/dev/null; true)"
    done = run_once(scene.world, prefix=("unshare", "-m", "sh", "-c", f'{full} && exec "$@"', "sh"))
    assert done.returncode == 75, done.stderr
    assert f"the disk of the state folder {place} is full" in done.stderr
    assert "Traceback" not in done.stderr


def test_sig_04_a_second_daemon_on_the_same_state_is_exit_75_and_names_the_first(living, stage):
    stage.connection().records().load()
    done = run_once(living)
    assert done.returncode == 75
    assert str(living.daemon.pid) in done.stderr
    stage.numbers(10)
    stage.all_arrived()


def test_del_20_a_database_of_a_newer_version_is_exit_78_and_left_as_it_is(scene):
    scene.connection().records()
    world = scene.world
    world.start()
    scene.numbers(10)
    scene.all_arrived()
    world.stop()
    with closing(sqlite3.connect(world.state / "state.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
    before = files_of(world.state)
    done = run_once(world)
    assert done.returncode == 78
    assert "newer" in done.stderr
    after = files_of(world.state)
    assert {name: after.get(name) for name in before if name != "lock"} == {
        name: content for name, content in before.items() if name != "lock"
    }


@needs_mounts
def test_del_12_13_a_disk_that_fills_up_pauses_collecting_while_deliveries_go_on(scene):
    world = scene.world
    scene.connection().files()
    world.state.mkdir()
    # A mount namespace that lives as long as the daemon; the ballast fills the small disk from inside.
    disk = f"mount -t tmpfs -o size=24m tmpfs {world.state}"
    line = ["unshare", "-m", "sh", "-c", f'{disk} && exec "$@"', "sh", sys.executable, "-m", "agent", "run"]
    line += ["--config", str(world.config), "--state", str(world.state)]
    with world.log.open("a") as log:
        world.daemon = subprocess.Popen(line, stdout=log, stderr=log, cwd=ROOT)
    inside = f"/proc/{world.daemon.pid}/root{world.state}"
    world.until(world.ready, "the daemon is ready")
    world.state = type(world.state)(inside)
    scene.put("0.csv", "n\n0\n")
    world.until(lambda: len(scene.requests()) == 1, "it delivers")
    scene.sandbox.faults({"on": f"ingest/{scene.name}", "answer": 503})
    scene.put("1.csv", "n\n1\n")
    scene.until_waits("503")
    ballast = world.state / "ballast"
    free = os.statvfs(world.state)
    with ballast.open("wb") as file:
        file.write(bytes(free.f_bavail * free.f_frsize - 300_000))
    scene.put("2.csv", "n\n" + os.urandom(1_000_000).hex() + "\n")
    why = world.until(
        lambda: scene.status()["collecting"] or world.events("collecting waits: the spool is full"),
        "collecting waits",
    )
    assert why
    scene.sandbox.no_faults()
    world.until((scene.drop / "done/1.csv").exists, "what was spooled is delivered and acknowledged")
    assert not (scene.drop / "done/2.csv").exists()
    ballast.unlink()
    world.until((scene.drop / "done/2.csv").exists, "collecting goes on by itself", 15)
    assert scene.sandbox.state()["repeats"] == 0
    world.daemon.terminate()
    assert world.daemon.wait(timeout=20) == 0
