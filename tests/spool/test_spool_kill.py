"""kill -9 at chosen and random statements: what the spool had confirmed is there, and nothing is half."""

from __future__ import annotations

import random
import signal
import sys
from datetime import timedelta

import pytest

from agent.spool import Reader
from tests.support.processes import run_to_its_end
from tests.support.spool import bodies, open_spool


def child(state, kill_at, what):
    return run_to_its_end(sys.executable, "-m", "tests.support.spool_child", str(state), str(kill_at), what)


def said(output, word):
    return [key for line in output.splitlines() if line.startswith(word) for key in line.split()[1:]]


@pytest.mark.parametrize("seed", range(8))
def test_del_01_02_03_06_a_kill_at_any_statement_loses_nothing(state, seed):
    result = child(state, random.Random(seed).randint(40, 900), "work")
    assert result.returncode == -signal.SIGKILL, result.stderr
    spool = open_spool(state)
    assert spool.recovered is None
    waiting = spool.oldest("gps", 0, limit=1000).result()
    keys = [message.key for message in waiting]
    appended, acked = said(result.stdout, "appended"), said(result.stdout, "acked")
    with Reader.open(state) as reader:
        unconfirmed = [key for key in appended if key not in keys and key not in acked]
        assert len(unconfirmed) <= 1  # the one ack that was under way when the kill came
        assert all(reader.receipts(key) for key in (*acked, *unconfirmed))
        assert not set(acked) & set(keys)
        delivered = reader.overview()[0].delivered if reader.overview() else 0
    cursor = (spool.cursor("gps").result() or {"n": 0})["n"]
    assert delivered + len(keys) == cursor * 4  # the cursor and its four messages came together
    assert len(appended) in {cursor * 4, cursor * 4 - 4}
    assert [b.split(b".")[0] for b in bodies(spool)] == sorted(
        (b.split(b".")[0] for b in bodies(spool)), key=int
    )
    assert spool.interrupted_runs("gps", "sha").result() <= 1
    spool.close()


@pytest.mark.parametrize("kill_at", [3, 12, 20, 30, 40])
def test_del_07_a_kill_in_the_migration_leaves_a_state_that_opens(state, kill_at):
    result = child(state, kill_at, "open")
    assert result.returncode == -signal.SIGKILL, result.stderr
    spool = open_spool(state)
    assert spool.recovered is None
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    assert spool.append(run, []).result() == []
    spool.close()
    assert sorted(path.name for path in state.iterdir() if path.name != "machine") == ["lock", "state.db"]


@pytest.mark.parametrize("kill_at", [1, 900])
def test_del_08_a_kill_while_room_is_given_back_leaves_it_whole(state, kill_at):
    result = child(state, kill_at, "prune")
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert said(result.stdout, "acked") == ["10"]
    size = (state / "state.db").stat().st_size
    spool = open_spool(state)
    assert spool.recovered is None
    assert spool._thread.submit(lambda db: db.raw.execute("PRAGMA integrity_check").fetchone()).result() == (
        "ok",
    )
    assert [len(body) for body in bodies(spool)] == [50_000] * 10
    while spool.prune(timedelta(0)).result():
        pass
    assert spool.used_bytes().result() < 2_000_000
    spool.close()
    assert (state / "state.db").stat().st_size < size


def test_a_child_that_is_not_killed_comes_to_its_end(state):
    assert "end" in child(state, 0, "work").stdout


@pytest.mark.timeout(240)  # a dozen processes are started
@pytest.mark.parametrize("seed", range(2))
def test_windows_that_are_killed_again_and_again_come_once_each_and_in_order(state, seed):
    dice = random.Random(seed)
    ends = []
    while not ends or ends[-1] != 0:
        ends.append(child(state, dice.randint(40, 500), "windows").returncode)
        assert ends[-1] in {0, -signal.SIGKILL}
        spool = open_spool(state)
        mark = spool.window_mark("gps").result()
        done = int(mark.done) if mark else 0
        expected = [f"{number}.{part}".encode() for number in range(0, done, 10) for part in range(3)]
        assert bodies(spool) == expected, "what is visible is exactly what is done"
        assert spool.cursor("gps").result() == ({"n": float(done - 10)} if done else None)
        spool.close()
        with Reader.open(state) as reader:
            assert [(job.waiting, job.held) for job in reader.overview()] in ([], [(len(expected), 0)])
    assert done == 200
    assert len(ends) > 1
