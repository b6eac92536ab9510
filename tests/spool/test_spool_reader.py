"""The reader writes no byte: after a stop, after a kill, beside a running owner."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import StateError
from agent.spool import LaneWait, Reader
from tests.support.processes import unmeasured
from tests.support.spool import draft, open_spool, receipt

ROOT = Path(__file__).parents[2]


def fingerprint(state):
    return {
        path.name: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in state.iterdir()
    }


def read(state):
    with Reader.open(state) as reader:
        reader.runs("gps")
        reader.dead()
        reader.sessions()
        return reader.overview()[0].waiting


@pytest.fixture
def owner(state):
    command = [sys.executable, "-m", "tests.support.spool_child", str(state), "0", "hold"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=unmeasured(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def test_beside_a_running_owner(owner, state):
    before = fingerprint(state)
    assert "state.db-wal" in before
    assert read(state) == 5
    assert fingerprint(state) == before


def test_after_a_kill_with_the_log_left_behind(owner, state):
    owner.kill()
    owner.wait()
    before = fingerprint(state)
    assert read(state) == 5
    assert fingerprint(state) == before


def test_after_a_kill_with_the_log_but_no_index(owner, state):
    owner.kill()
    owner.wait()
    (state / "state.db-shm").unlink()
    before = fingerprint(state)
    assert read(state) == 5
    assert fingerprint(state) == before


def test_after_a_clean_stop(owner, state):
    owner.communicate("")
    before = fingerprint(state)
    assert set(before) - {"machine"} == {"lock", "state.db"}
    assert read(state) == 5
    assert fingerprint(state) == before


def test_an_owner_that_starts_and_works_underneath_is_seen(state, clock):
    spool = open_spool(state, clock=clock)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    spool.close()
    with Reader.open(state) as reader:
        spool = open_spool(state, clock=clock)
        spool.append(run, [draft(b"x" * 5000) for _ in range(500)]).result()
        with Reader.open(state) as second:
            assert second.overview()[0].waiting == 500
        spool.close()
        assert reader.runs("gps")


def test_what_is_no_database_is_said_in_one_line(tmp_path):
    (tmp_path / "state.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StateError, match="cannot be read: file is not a database"):
        Reader.open(tmp_path)


def test_the_oldest_waiting_time_is_that_of_the_head_of_any_lane(state, clock):
    spool = open_spool(state, clock=clock)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    spool.append(run, [draft(lane=7)]).result()
    first = clock.now()
    clock.tick(60)
    spool.append(run, [draft(lane=1), draft(lane=7)]).result()
    with Reader.open(state) as reader:
        assert reader.overview()[0].oldest_at == first
    spool.close()


def test_a_wait_that_a_kill_left_behind_the_last_ack_is_not_told(spool, run, state):
    spool.append(run, [draft()]).result()
    [message] = spool.oldest("gps", 0).result()
    wait = LaneWait(job="gps", lane=0, kind="retry", reason="503", since=1.0, until=2.0, attempts=1)
    spool.set_wait(wait).result()
    with Reader.open(state) as reader:
        assert reader.overview()[0].waits == (wait,)
    spool.ack(message, receipt(message)).result()
    with Reader.open(state) as reader:
        assert reader.overview()[0].waits == ()
