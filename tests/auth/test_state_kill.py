"""The stored pair and who may write it: kills inside of a commit, owners that die or stand still, late writers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from agent.auth.memory import SessionMemory
from agent.auth.token import Grant, Moment, unpack
from agent.auth.vault import open_vault
from agent.config.model import LoginLimit
from agent.errors import StateLocked
from agent.spool import Spool
from agent.spool.folder import is_locked
from tests.support.clock import FakeClock
from tests.support.processes import run_to_its_end, unmeasured
from tests.support.session_child import refresh_of

ROOT = Path(__file__).parents[2]
KEEPS = 8
"""So many that the thread that commits makes more calls than the one that opened the state did."""


def spool_of(state):
    return Spool.open(state, max_bytes=100_000_000, clock=FakeClock())


def stored(state):
    """The generation and the pair, as the next start finds them."""
    spool = spool_of(state)
    try:
        assert spool.recovered is None
        row = spool.session("p").result()
        token = unpack(open_vault(state).open(row.sealed, "p"), row.generation)
    finally:
        spool.close()
    return row, token


# ------------------------------------------------------------------ killed inside of a commit


def child(*before, state, count):
    return run_to_its_end(
        *before, sys.executable, "-m", "tests.support.session_child", str(state), str(count)
    )


@pytest.fixture(scope="module")
def strace():
    command = ["strace", "-f", "-o"]
    try:
        subprocess.run([*command, "/dev/null", "true"], check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.CalledProcessError) as error:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up(f"no strace here that may trace a process: {error}")
    return command


@pytest.fixture
def state(tmp_path):
    """A state folder with a first pair in it."""
    folder = tmp_path / "state"
    done = child(state=folder, count=1)
    assert done.stdout == "kept 1\n", done.stderr
    return folder


def lines_of(trace, call):
    return [line for line in trace.read_text().splitlines() if f"{call}(" in line]


@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_auth_11_a_kill_inside_of_a_commit_leaves_the_old_pair_or_the_new_one(state, strace, call):
    trace = state.parent / "trace"
    assert child(*strace, trace, "-e", f"trace={call}", state=state, count=KEEPS).returncode == 0
    # strace counts for each thread: the first opens the state, the other does nothing but commits.
    opening, commits = list(Counter(line.split()[0] for line in lines_of(trace, call)).values())[:2]
    assert commits > opening + 2
    seen = set()
    for at in range(opening + 1, commits)[:6]:
        row, _ = stored(state)
        inject = f"inject={call}:signal=KILL:when={at}"
        died = child(*strace, "/dev/null", "-e", f"trace={call}", "-e", inject, state=state, count=KEEPS)
        if died.returncode == 0:
            continue  # this time it had fewer to make: where the log of writes is folded away varies
        assert died.returncode == -signal.SIGKILL, died.stderr
        said = [int(line.split()[1]) for line in died.stdout.splitlines()]
        known = said[-1] if said else row.generation
        after, token = stored(state)
        assert after.generation in {known, known + 1}
        assert token.refresh == refresh_of(after.generation)
        assert token.access == f"access-{after.generation}"
        assert after.refreshing in {None, after.generation}
        seen.add((after.generation - known, after.refreshing is not None))
    assert len(seen) > 1  # kills came between intent and pair, not all at one place


# ------------------------------------------------------------------ owners


@pytest.fixture
def owner(state):
    """Another process that owns the state folder."""
    command = [sys.executable, "-m", "tests.support.spool_child", str(state), "0", "hold"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=unmeasured(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_auth_37_the_lock_of_a_killed_owner_is_free_at_once(state, owner):
    assert is_locked(state)
    owner.kill()
    owner.wait()
    assert not is_locked(state)
    _, token = stored(state)
    assert token.refresh == refresh_of(1)


def test_auth_34_37_an_owner_that_stands_still_keeps_its_state(state, owner):
    """Also AUTH-34: of two processes on one state the second gets nowhere near the token."""
    owner.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, owner.pid, os.WSTOPPED | os.WNOWAIT)
    before = (state / "state.db").read_bytes()
    for _ in range(3):
        with pytest.raises(StateLocked, match=f"pid {owner.pid}"):
            spool_of(state)
    refused = child(state=state, count=1)
    assert "kept" not in refused.stdout
    assert "StateLocked" in refused.stderr
    assert (state / "state.db").read_bytes() == before
    owner.send_signal(signal.SIGCONT)
    owner.stdin.close()
    assert owner.wait(timeout=30) == 0
    assert stored(state)[0].generation == 1


async def test_auth_37_a_writer_that_was_paused_cannot_overwrite_a_newer_pair(tmp_path, caplog):
    clock = FakeClock()
    spool = Spool.open(tmp_path / "state", max_bytes=100_000_000, clock=clock)
    try:
        vault = open_vault(tmp_path / "state")
        paused, other = (SessionMemory("p", spool, vault, clock) for _ in range(2))
        moment = Moment(wall=clock.now(), boot=clock.boottime())

        async def keep(memory, name):
            grant = Grant(access=f"access-{name}", refresh=f"refresh-{name}", lifetime=60.0)
            return await memory.keep(grant, moment, None)

        await keep(paused, "old")
        await other.load(LoginLimit())
        await keep(other, "new")
        newest = await spool.session("p")
        await paused.intend(1)
        await paused.note("what it knew when it was paused")
        await paused.count_login(LoginLimit())
        assert await spool.session("p") == newest
        assert not paused.unsaved
        assert "an older session was not written over a newer one" in caplog.messages
        assert (await paused.newer()).refresh == "refresh-new"
        assert (await keep(paused, "next")).generation == 3
        await spool.store_session(replace(newest, generation=3))  # the same generation may be written again
        assert (await spool.session("p")).generation == 3
    finally:
        spool.close()
