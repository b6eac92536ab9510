"""The state folder on a bad day: a clear line and the documented exit code, or a wait that heals by itself."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.stage import Scripted
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


def start_on_small_disk(world, size):
    """The daemon in a mount namespace that lives as long as it does; the state folder as it sees it."""
    world.state.mkdir()
    disk = f"mount -t tmpfs -o size={size} tmpfs {world.state}"
    line = ["unshare", "-m", "sh", "-c", f'{disk} && exec "$@"', "sh", sys.executable, "-m", "agent", "run"]
    line += ["--config", str(world.config), "--state", str(world.state)]
    with world.log.open("a") as log:
        world.daemon = subprocess.Popen(line, stdout=log, stderr=log, cwd=ROOT)
    world.until(world.ready, "the daemon is ready")
    world.state = Path(f"/proc/{world.daemon.pid}/root{world.state}")


def fill(folder, *, left):
    """A file that takes the room of the disk but for so many bytes."""
    ballast = folder / "ballast"
    free = os.statvfs(folder)
    with ballast.open("wb") as file:
        file.write(bytes(free.f_bavail * free.f_frsize - left))
    return ballast


@needs_mounts
def test_del_12_13_a_disk_that_fills_up_pauses_collecting_while_deliveries_go_on(scene):
    world = scene.world
    scene.connection().files()
    start_on_small_disk(world, "24m")
    scene.put("0.csv", "n\n0\n")
    world.until(lambda: len(scene.requests()) == 1, "it delivers")
    scene.sandbox.faults({"on": f"ingest/{scene.name}", "answer": 503})
    scene.put("1.csv", "n\n1\n")
    scene.until_waits("503")
    ballast = fill(world.state, left=300_000)
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


PULLED = """\
job: {name}
schedule: {{every: 1s}}
source: {source}
body: {{format: json, map: {{n: =n, text: =text}}}}
batch: {{records: 2}}
target: {{connection: {connection}, endpoint: {name}}}
"""
TABLE = '{type: sql, connection: fleet, query: "SELECT id, id AS n, text FROM t WHERE id > :id ORDER BY id", cursor: [id]}'
PAGE = "{{type: http, connection: {connection}, endpoint: items}}"


class Feed:
    """Gives one document, under a tag that changes with it: who knows it is told that it is the same."""

    def __init__(self):
        self.rows = []
        self._server = Scripted(self._answer)
        self.url = self._server.url
        self.close = self._server.close

    def _answer(self, _, __, number):
        tag = f'"{self.rows[0]["n"]}"'
        known = self._server.seen[number - 1][1].get("If-None-Match")
        return (304, {}, {}) if known == tag else (200, self.rows, {"ETag": tag})


@pytest.fixture
def feed():
    one = Feed()
    yield one
    one.close()


@needs_mounts
def test_del_12_a_full_disk_holds_up_a_table_and_a_feed_and_nobody_else_and_heals_by_itself(scene, feed):
    world, places = scene.world, ("table", "page")
    fleet = world.folder / "fleet.db"

    def add(numbers, size):
        feed.rows = [{"n": n, "text": os.urandom(size // 2).hex()} for n in numbers]
        with closing(sqlite3.connect(fleet)) as database, database:
            database.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, text TEXT)")
            database.executemany("INSERT INTO t VALUES (:n, :text)", feed.rows)

    def arrived(name):
        return scene.arrived(f"{scene.name}-{name}")

    urls = {name: f"{scene.sandbox.url}/ingest/{scene.name}-{name}" for name in places}
    scene.connection(endpoints={**urls, "items": f"{feed.url}/items"}).files()
    scene.write("connections/fleet.yaml", f"connection: fleet\ntype: database\nurl: sqlite:///{fleet}\n")
    for name, source in zip(places, (TABLE, PAGE.format(connection=scene.name)), strict=True):
        scene.write(f"jobs/{name}.yaml", PULLED.format(name=name, source=source, connection=scene.name))
    add([1], 10)
    start_on_small_disk(world, "24m")
    world.until(lambda: all(arrived(name) == [1] for name in places), "both are read")
    scene.sandbox.faults({"on": f"ingest/{scene.name}", "answer": 503})
    scene.put("1.csv", "n\n1\n")
    scene.until_waits("503")
    ballast = fill(world.state, left=2_500_000)
    wanted = list(range(2, 12))
    add(wanted, 400_000)
    world.until(
        lambda: any(
            "the disk under" in one["reason"] for one in world.events("collecting waits: the spool is full")
        ),
        "the table's run waits",
    )
    world.until(
        lambda: scene.status("table")["collecting"].startswith("waiting: the spool is full"), "and says so"
    )
    world.until(
        lambda: "the disk has only" in (scene.status("page")["last_failed_run"] or {"reason": ""})["reason"],
        "the feed's run says why it failed",
    )
    scene.sandbox.no_faults()
    world.until((scene.drop / "done/1.csv").exists, "what was spooled before is delivered and acknowledged")
    assert all(arrived(name) != [1, *wanted] for name in places)
    ballast.unlink()
    world.until(lambda: all(len(arrived(name)) > len(wanted) for name in places), "both go on by themselves")
    world.until(
        lambda: all(scene.status(name)["waiting_messages"] == 0 for name in places), "all of it is acked"
    )
    assert [arrived(name) for name in places] == [[1, *wanted]] * 2
    assert scene.sandbox.state()["repeats"] == 0
    world.daemon.terminate()
    assert world.daemon.wait(timeout=20) == 0
