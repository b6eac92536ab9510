"""A program and its warden: nothing of it lives on, whoever is killed."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.programs import Program, in_own_thread, run_program
from tests.support.world import ROOT

AGENT = """
import sys
from agent.programs import Program, run_program
program = Program(command=("/bin/sh", "-c", sys.argv[1]), environment={}, timeout=300, max_bytes=10**6)
ended = run_program(program, lambda piece: (sys.stdout.buffer.write(piece), sys.stdout.flush()), lambda: False)
print(ended.how, flush=True)
"""
# Its own number, that of a child, and that of one that has left its session.
SHELL = "echo $$; sleep 300 & echo $!; setsid sh -c 'echo $$; exec sleep 300' & wait"


def wait_for_end(pid):
    """Until it is gone. A killed one stays until its parent has looked at it: its number is not enough."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], 30)[0], f"{pid} lives on"
    finally:
        os.close(handle)


@pytest.fixture
def agent():
    """A process that runs a program, and the program's processes."""
    process = subprocess.Popen(
        [sys.executable, "-c", AGENT, SHELL], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    pids = [int(process.stdout.readline()) for _ in range(3)]
    yield process, pids
    process.kill()
    process.wait()
    process.stdout.close()


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])


def test_del_50_the_program_ends_with_an_agent_that_is_killed(agent):
    process, pids = agent
    process.kill()
    for pid in pids:
        wait_for_end(pid)


def test_the_program_ends_with_a_warden_that_is_killed(agent):
    process, pids = agent
    os.kill(parent_of(pids[0]), signal.SIGKILL)
    wait_for_end(pids[0])
    for pid in pids[1:]:  # out of reach: whoever kills the warden has them on his hands
        os.kill(pid, signal.SIGKILL)
    assert process.stdout.readline() == "lost\n"


def run(*command, **more):
    out = bytearray()
    terms = {"environment": {"PATH": "/usr/bin:/bin"}, "timeout": 30.0, "max_bytes": 1_000_000, **more}
    ended = run_program(Program(command=command, **terms), out.extend, lambda: False)
    return ended, bytes(out)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("/no/such/program",), "no such file or directory"),
        (("/etc/passwd",), "permission denied"),
        (("/usr",), "permission denied"),
        (("/bin/echo", "a\0b"), "invalid argument"),
    ],
)
def test_what_cannot_be_started_is_told(command, why):
    ended, out = run(*command)
    assert (ended.how, ended.why, out) == ("not started", why, b"")


def test_a_folder_that_is_not_there_is_told():
    ended, _ = run("/bin/pwd", folder="/no/such/folder")
    assert (ended.how, ended.why) == ("not started", "no such file or directory")


def test_arguments_and_variables_may_be_any_bytes():
    ended, out = run(
        "/bin/sh", "-c", 'printf %s "$1$V"', "sh", os.fsdecode(b"\xff\n'\"\\"), environment={"V": "\udcfe"}
    )
    assert (ended.how, out) == ("exit", b"\xff\n'\"\\\xfe")


def test_the_first_and_the_last_of_stderr_are_kept():
    ended, _ = run(
        "/bin/sh", "-c", "echo first >&2; head -c 300000 /dev/zero >&2; echo last >&2", keep_errors=1000
    )
    assert len(ended.errors) == 1000
    assert ended.errors.startswith(b"first\n")
    assert ended.errors.endswith(b"last\n")


def test_what_takes_the_output_may_fail_and_the_program_is_killed(tmp_path):
    def fail(piece):
        raise OSError(28, "No space left on device")

    mark = tmp_path / "pid"
    program = Program(
        command=("/bin/sh", "-c", f"echo $$ > {mark}; echo x; exec sleep 300"),
        environment={"PATH": "/usr/bin:/bin"},
        timeout=60,
        max_bytes=10,
    )
    with pytest.raises(OSError, match="No space left"):
        run_program(program, fail, lambda: False)
    wait_for_end(int(mark.read_text()))


async def test_cancelled_it_waits_until_the_program_is_gone(tmp_path):
    told = tmp_path / "pid"
    os.mkfifo(told)
    program = Program(
        command=("/bin/sh", "-c", f"echo $$ > {told}; exec sleep 300"),
        environment={},
        timeout=60,
        max_bytes=10,
    )
    task = asyncio.create_task(in_own_thread(lambda ending: run_program(program, lambda _: None, ending)))
    pid = int(await asyncio.to_thread(told.read_text))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_what_the_work_raises_is_raised():
    def fail(ending):
        raise ValueError("why not")

    with pytest.raises(ValueError, match="why not"):
        await in_own_thread(fail)


NO_MORE = """
import os, resource
from agent.programs import Program, run_program
if os.geteuid() == 0:
    os.setuid(65_534)  # root has no such limit
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
program = Program(command=("/bin/true",), environment={}, timeout=30.0, max_bytes=10)
for _ in range(2):
    ended = run_program(program, lambda piece: None, lambda: False)
    print(ended.how, ended.why)
"""


def test_res_05_without_room_for_one_more_process_a_program_fails_alone_and_is_told():
    done = subprocess.run(
        [sys.executable, "-c", NO_MORE], capture_output=True, text=True, timeout=50, check=True, cwd=ROOT
    )
    assert done.stdout == "not started resource temporarily unavailable\n" * 2
