"""`type: command`: real programs, and all that they can do wrong (DEL-50, SEC-12)."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from agent.config import load
from agent.config.piece import digest
from tests.support.pulling import rows

HERE = f"#!{sys.executable} -IS\nimport json, os, sys, time\n"


@pytest.fixture
def program(alone, tmp_path):
    """Writes a program of Python, allows it, and makes a job of it."""
    folder = tmp_path / "bin"
    folder.mkdir(mode=0o755)
    path = folder / "export"

    def use(body, source="", *arguments):
        path.write_text(f"{HERE}{body}\n")
        path.chmod(0o755)
        alone.write("agent.yaml", f"commands: {{allow: [{path}]}}\n")
        words = ", ".join(repr(word) for word in (str(path), *arguments))
        return alone.job(f"type: command\ncommand: [{words}]\n{source}")

    use.path = path
    return use


async def failed(world):
    result = await world.run()
    assert result.state == "failed"
    assert world.bodies() == []
    return result.reason


def alive(mark):
    """Processes whose arguments hold the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if mark.encode() in words:
                found.append(int(entry.name))
    return found


def gone(mark):
    """Wait until none is alive: the kernel needs a moment to take a killed process away."""
    while alive(mark):
        time.sleep(0.01)
    return True


async def test_what_it_prints_is_read_as_the_format_says(program):
    world = program("print(json.dumps([{'id': 1}, {'id': 2}, {'id': 3}]))")
    result = await world.run()
    assert (result.state, result.reason, result.records) == ("done", "", 3)
    assert world.bodies() == [rows(1, 2), rows(3)]
    assert world.origins()[0] == "output of export rows 1-2"


@pytest.mark.parametrize(
    ("body", "source"),
    [
        ("print('id;n\\n1;x')", 'format: csv\ndelimiter: ";"\ntypes: {id: BIGINT}\ncolumns: [id]'),
        ('print(\'{"id":1,"n":"x"}\')', "format: ndjson"),
        ('print(\'{"d":{"i":[{"id":1,"n":"x"}]}}\')', "records: /d/i"),
    ],
)
async def test_csv_ndjson_and_a_place_in_json(program, body, source):
    world = program(body, source)
    result = await world.run()
    assert (result.state, result.reason) == ("done", "")
    assert world.bodies() == [[{"id": 1, "n": "x"}]]


async def test_each_run_sends_what_is_printed_then(program):
    world = program("print('[{\"id\": 1}]')")
    await world.run()
    await world.run()
    assert world.ids() == [1, 1]
    assert len({message.key for message in world.spool.oldest("pulled", 0).result()}) == 2


async def test_nothing_printed_is_nothing_to_send(program):
    result = await program("").run()
    assert (result.state, result.records) == ("done", 0)


async def test_sec_12_arguments_are_no_shell_words(program, tmp_path):
    canary = tmp_path / "canary"
    words = [f"; touch {canary}", f"$(touch {canary})", f"`touch {canary}`", "|", "*", ""]
    world = program("print(json.dumps([{'id': 1, 'argv': sys.argv[1:]}]))", "", *words[:-1])
    await world.run()
    assert world.bodies()[0][0]["argv"] == words[:-1]
    assert not canary.exists()


async def test_sec_12_it_gets_the_listed_variables_and_no_others(program, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_AGENT", "canary")
    monkeypatch.setenv("WANTED", "yes")
    world = program(
        "print(json.dumps([{'id': 1, 'env': {k: v for k, v in os.environ.items() if k != 'LC_CTYPE'}, "
        "'cwd': os.getcwd(), 'in': sys.stdin.read(), 'leads': os.getsid(0) == os.getpid()}]))",
        "environment: [WANTED, MISSING]\nfolder: /usr",
    )
    await world.run()
    [[found]] = world.bodies()
    assert found == {
        "id": 1,
        "env": {"WANTED": "yes", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        "cwd": "/usr",
        "in": "",
        "leads": True,
    }


async def test_sec_12_only_its_own_three_files_are_open(program):
    reading, writing = os.pipe()
    os.set_inheritable(reading, True)  # noqa: FBT003 - of the standard library
    try:
        world = program(
            "print(json.dumps([{'id': int(n), 'to': os.readlink('/proc/self/fd/' + n)} "
            "for n in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + n)]))"
        )
        await world.run()
    finally:
        os.close(reading)
        os.close(writing)
    assert sorted(world.ids()) == [0, 1, 2]


async def test_sec_12_what_is_not_allowed_is_not_run(program, tmp_path):
    canary = tmp_path / "canary"
    world = program(f"open({str(canary)!r}, 'w')")
    result = await world.run(allowed=())
    assert result.state == "failed"
    assert f"the program {program.path} is not allowed to run (allow it in agent.yaml" in result.reason
    assert not canary.exists()


async def test_sec_12_a_program_that_others_can_change_is_not_run(program):
    world = program("print('[]')")
    program.path.chmod(0o777)
    assert "others may write to" in await failed(world)


def test_sec_12_by_default_no_program_is_allowed(alone):
    alone.write(
        "jobs/pulled.yaml",
        "job: pulled\nschedule: {every: 1h}\nsource: {type: command, command: [/bin/echo]}\n"
        "body: {format: json}\ntarget: {connection: sink, path: /in}\n",
    )
    [problem] = load(alone.config).problems
    assert problem.message == "the program /bin/echo is not allowed to run"
    assert problem.hint == "allow it in agent.yaml: `commands: {allow: [/bin/echo]}`"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("sys.stderr.write('no such\\ntable\\x1b[31m: trips'); sys.exit(3)", "export ended with 3: no such table [31m: trips (run it"),
        ("print('[{\"id\": 1}]'); sys.exit(1)", "export ended with 1"),
        ("os.kill(os.getpid(), 9)", "export was killed by signal 9"),
        ("sys.exit(137)", "export ended with 137"),
        ("print('[{\"id\": 1}')", "output of export"),
    ],
)  # fmt: skip
async def test_del_50_how_it_ended_and_what_it_said_are_in_the_reason_of_the_run(program, body, words):
    world = program(body)
    reason = await failed(world)
    assert words in reason
    [run] = [row for row in world.spool_runs() if row.state == "failed"]
    assert run.reason == reason


async def test_other_exit_codes_can_be_a_success_and_stderr_is_noted(program):
    world = program(
        "print('[{\"id\": 1}]'); sys.stderr.write('one row late'); sys.exit(4)", "success: [0, 4]"
    )
    result = await world.run()
    assert (result.state, result.reason) == ("done", "stderr: one row late")
    assert world.ids() == [1]


async def test_del_50_a_program_that_hangs_is_killed_with_all_that_it_started(program):
    mark = f"mark-hang-{os.getpid()}"
    world = program(
        f"import subprocess\nsubprocess.Popen(['/bin/sh', '-c', 'sleep 300; : {mark}'])\n"
        f"subprocess.Popen(['setsid', '/bin/sh', '-c', 'sleep 300; : {mark}'])\n"
        "print('[{\"id\": 1}]', flush=True); time.sleep(300)",
        "timeout: 1s",
    )
    told = "export did not end within 1 s and was killed (a longer `timeout` of the source"
    assert told in await failed(world)
    assert gone(mark)


async def test_del_50_a_daemon_that_it_leaves_behind_neither_holds_the_run_nor_lives_on(program):
    mark = f"mark-daemon-{os.getpid()}"
    world = program(
        "print('[{\"id\": 1}]', flush=True)\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        f"        os.execv('/bin/sh', ['/bin/sh', '-c', 'sleep 300; : {mark}'])\n"
        "    os._exit(0)\n",
        "timeout: 50s",
    )
    result = await world.run()
    assert (result.state, result.reason) == ("done", "")
    assert world.ids() == [1]
    assert gone(mark)


async def test_del_50_more_output_than_allowed_is_refused(program):
    world = program("while True: sys.stdout.write('x' * 65536)", "max_bytes: 1MB")
    told = "export printed more than 1,000,000 bytes and was killed (raise `max_bytes` of the source"
    assert told in await failed(world)


async def test_del_50_stderr_that_never_ends_is_dropped_and_its_start_is_told(program):
    world = program(
        "sys.stderr.write('the start ')\nfor _ in range(300): sys.stderr.write('y' * 65536)\n"
        "print('[{\"id\": 1}]'); sys.exit(2)"
    )
    reason = await failed(world)
    assert "export ended with 2: the start yyy" in reason
    assert len(reason) < 600


async def test_values_that_it_was_given_are_not_told(program, monkeypatch):
    monkeypatch.setenv("API_KEY", "canary-of-the-environment")
    world = program(
        "sys.stderr.write('refused: ' + os.environ['API_KEY']); sys.exit(1)", "environment: [API_KEY]"
    )
    assert "export ended with 1: refused: ********" in await failed(world)


async def test_a_program_that_is_no_program_is_told(program):
    world = program("")
    program.path.write_text("#!/no/such/interpreter\n")
    assert "export cannot be started: no such file or directory" in await failed(world)


async def test_a_stop_kills_it(program, tmp_path):
    told = tmp_path / "pid"
    os.mkfifo(told)
    world = program(f"open({str(told)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)")
    ending = threading.Event()
    world.stopped = ending.is_set
    running = asyncio.create_task(world.run())
    pid = int(await asyncio.to_thread(told.read_text))
    ending.set()
    assert (await running).state == "stopped"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_job_that_is_only_delivered_needs_no_leave_to_run(alone):
    text = (
        b"job: pulled\nschedule: {every: 1h}\nsource: {type: command, command: [/bin/echo]}\n"
        b"body: {format: json}\ntarget: {connection: sink, path: /in}\n"
    )
    piece = digest("jobs/pulled.yaml", "job", text, "jobs/pulled.yaml", alone.config)
    piece.relate(load(alone.config).plan.connections, {}, reads=False)
    assert piece.job() is not None


async def test_del_50_no_room_for_the_output_is_told_and_the_program_killed(program):
    world = program("while True: sys.stdout.write('x' * 65536)")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000_000, before[1]))
    try:
        reason = await failed(world)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "output of export: cannot be kept while it is read: file too large" in reason
