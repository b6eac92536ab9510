"""`type: token_command`: a real program that prints a token, and all the ways in which it can fail to."""

from __future__ import annotations

import asyncio
import json
import os
import select
import sys
from datetime import timedelta

import pytest

from agent.config.model import AnswerNames, TokenCommandAuth, TokenHeader
from agent.errors import NotSignedIn
from tests.support.auth_world import signed_soon


class Programs:
    """Writes programs of Python, and makes them the sign-in of a world."""

    def __init__(self, world, folder):
        self.world = world
        self.folder = folder
        folder.mkdir(mode=0o755)

    def use(self, body, *arguments, **more):
        path = self.folder / "get-token"
        path.write_text(f"#!{sys.executable} -IS\nimport json, os, sys, time\n{body}\n")
        path.chmod(0o755)
        more = {"timeout": timedelta(seconds=30), **more}
        self.world.auth = TokenCommandAuth(command=(str(path), *arguments), **more)
        return self.world.start()

    @property
    def runs(self):
        log = self.folder / "runs"
        return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.fixture
def programs(world, tmp_path):
    return Programs(world, tmp_path / "bin")


async def told(session):
    with pytest.raises(NotSignedIn) as error:
        await session.sign()
    return error.value


LOG = "open(os.path.dirname(os.path.abspath(__file__)) + '/runs', 'a').write('run\\n')\n"
GOOD = LOG + "print(json.dumps({'access_token': 'token-of-' + sys.argv[1], 'expires_in': 600}))"


async def test_what_it_prints_is_the_token_and_it_is_run_for_each_one(programs):
    session = programs.use(GOOD, "a b;$(c)")
    with pytest.raises(NotSignedIn, match="characters that no token may have"):
        await session.sign()
    session = programs.use(GOOD, "$(c);*")
    signed = await signed_soon(programs.world, session)
    assert signed.headers == {"Authorization": "Bearer token-of-$(c);*"}
    await session.rejected(signed.generation)
    assert programs.runs == 3
    assert programs.world.server.requests == []


async def test_a_token_of_it_lives_over_a_restart_and_another_command_is_another_token(programs):
    session = programs.use(GOOD, "one")
    await session.sign()
    await session.close()
    session = programs.world.start()
    await session.sign()
    await session.close()
    assert programs.runs == 1
    signed = await programs.use(GOOD, "two").sign()
    assert signed.headers == {"Authorization": "Bearer token-of-two"}


async def test_answer_and_header_are_those_of_the_config(programs):
    session = programs.use(
        "print(json.dumps([{'t': 'abc', 'kind': 'jwt'}, 60]))",
        answer=AnswerNames(access_token="/0/t", expires_in="/1", token_type="/0/kind"),
        header=TokenHeader(name="X-Auth", prefix=""),
    )
    assert (await session.sign()).headers == {"X-Auth": "abc"}
    assert session.status().expires_at == programs.world.clock.now() + 60


async def test_it_gets_only_the_variables_of_the_list_and_no_file_of_ours(programs, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_AGENT", "canary")
    monkeypatch.setenv("WANTED", "yes")
    reading, writing = os.pipe()
    os.set_inheritable(reading, True)  # noqa: FBT003 - of the standard library
    try:
        session = programs.use(
            "told = [sorted(set(os.environ) - {'LC_CTYPE'}), sys.stdin.read(), os.listdir('/proc/self/fd'), os.getcwd(),"
            " os.getsid(0) == os.getpid()]\n"
            "print(json.dumps({'access_token': json.dumps(told).replace(' ', '')}))",
            environment=("WANTED", "MISSING"),
        )
        signed = await session.sign()
    finally:
        os.close(reading)
        os.close(writing)
    names, stdin, files, folder, leads = json.loads(signed.headers["Authorization"].removeprefix("Bearer "))
    assert (names, stdin, folder, leads) == (["WANTED"], "", "/", True)
    assert set(files) - {"0", "1", "2"} <= {"3"}  # the listing itself


async def test_a_failure_shows_the_end_of_stderr_without_what_looks_like_a_token(programs):
    jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
    session = programs.use(
        f"sys.stderr.write('x' * 5000 + '\\naccess_token=hunter2hunter2 {jwt}\\x1b[31m no ticket for you\\n'); sys.exit(3)"
    )
    error = await told(session)
    assert "the command ended with 3: " in error.message
    assert error.message.endswith("access_token=******** ******** [31m no ticket for you")
    assert "x" * 200 not in error.message
    assert "run the command of `auth.command` by hand" in error.hint


async def test_stderr_is_blotted_before_it_is_cut_and_of_what_the_program_got(programs, monkeypatch):
    monkeypatch.setenv("API_KEY", "canary-of-the-environment")
    monkeypatch.setenv("HOME", "/home/somebody")
    session = programs.use(
        "sys.stderr.write('eyJ' + 'h' * 60 + '.eyJ' + 'p' * 900 + '.' + 'SIG' * 110 + ' Authorization: Bearer opaque-12345 '"
        " + os.environ['API_KEY'] + ' ' + os.environ['HOME']); sys.exit(1)",
        environment=("API_KEY", "HOME"),
    )
    message = (await told(session)).message
    assert message.endswith(": ******** Authorization: Bearer ******** ******** /home/somebody")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("pass", "something that is not JSON, 0 bytes"),
        ('print(\'{"access_token": "a\')', "damaged JSON"),
        ("print('[1]')", "JSON that is not an object"),
        ("print('{}')", "the answer has no `access_token`"),
        ('print(\'{"error": "no_ticket"}\')', "no_ticket"),
        ("sys.stdout.write(' ' * 2_000_000)", "more than 1048576 bytes"),
        ("os.kill(os.getpid(), 9)", "was killed by signal 9"),
    ],
)
async def test_whatever_else_it_does_is_told_and_counts_as_a_failed_login(programs, body, words):
    session = programs.use(LOG + body)
    assert words in (await told(session)).message
    for _ in range(5):
        programs.world.clock.tick(100)
        await told(session)
    assert (session.status().failures, session.status().state) == (3, "blocked")
    assert programs.runs == 3


async def test_after_its_time_it_is_killed_with_all_that_it_started(programs):
    pids = programs.folder / "pids"
    session = programs.use(
        f"os.fork() or os.setsid()\nopen({str(pids)!r}, 'a').write(str(os.getpid()) + '\\n')\ntime.sleep(600)",
        timeout=timedelta(seconds=1),
    )
    error = await told(session)
    assert "did not end within 1 s and was killed" in error.message
    assert session.status().failures == 0
    for pid in pids.read_text().split():
        await asyncio.to_thread(wait_for_end, int(pid))


async def test_a_child_that_it_leaves_behind_with_its_output_open_makes_a_good_answer_no_timeout(programs):
    told_pid = programs.folder / "pid"
    session = programs.use(
        f"if not os.fork():\n    os.setsid()\n    open({str(told_pid)!r}, 'w').write(str(os.getpid()))\n"
        f"    time.sleep(600)\nwhile not os.path.exists({str(told_pid)!r}): time.sleep(0.01)\n" + GOOD,
        "left",
    )
    assert (await session.sign()).headers == {"Authorization": "Bearer token-of-left"}
    await asyncio.to_thread(wait_for_end, int(told_pid.read_text()))


def wait_for_end(pid):
    """Until nothing of it runs any more, whoever its parent is."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], 30)[0], f"{pid} lives on"
    finally:
        os.close(handle)


async def test_a_stop_in_the_middle_leaves_no_process_behind(programs):
    told_pid = programs.folder / "pid"
    os.mkfifo(told_pid)
    session = programs.use(f"open({str(told_pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)")
    session._close_grace = 0.01
    asking = asyncio.ensure_future(session.sign())
    pid = int(await asyncio.to_thread(told_pid.read_text))
    await session.close()
    await asyncio.wait({asking})
    assert isinstance(asking.exception(), NotSignedIn)
    await asyncio.to_thread(wait_for_end, pid)


async def test_the_event_loop_goes_on_while_it_runs(programs):
    gate = programs.folder / "gate"
    os.mkfifo(gate)
    session = programs.use(f"open({str(gate)!r}).read()\n" + GOOD, "slow")
    asking = asyncio.ensure_future(session.sign())
    handle = await asyncio.to_thread(os.open, gate, os.O_WRONLY)
    assert not asking.done()
    os.close(handle)
    assert (await asking).generation == 1


async def test_a_program_that_others_may_change_is_not_run(programs):
    session = programs.use(GOOD, "one")
    program = programs.folder / "get-token"
    program.chmod(0o757)
    error = await told(session)
    assert f"others may write to {program}, so the command cannot be trusted" in error.message
    program.chmod(0o755)
    programs.folder.chmod(0o777)
    programs.world.clock.tick(400)
    assert f"others may write to {programs.folder}, so" in (await told(session)).message
    programs.folder.chmod(0o755)
    programs.world.clock.tick(400)
    assert (await session.sign()).generation == 1
    assert programs.runs == 1
    assert session.status().failures == 0


async def test_a_program_that_is_made_safe_is_run_without_a_request(programs):
    session = programs.use(GOOD, "one")
    program = programs.folder / "get-token"
    program.chmod(0o757)
    await told(session)
    program.chmod(0o755)
    while session.status().state != "signed in":
        await programs.world.clock.advance(2)
        if session.status().state == "refreshing":
            await session.changed()
    assert programs.runs == 1


async def test_a_program_that_is_not_there_or_cannot_run_is_told_with_a_hint(programs):
    session = programs.use(GOOD, "one")
    program = programs.folder / "get-token"
    program.rename(programs.folder / "away")
    error = await told(session)
    assert f"there is no program {program}" in error.message
    assert error.hint == "it is looked at again by itself"
    program.write_bytes(b"\0\0\0 no program")
    program.chmod(0o755)
    programs.world.clock.tick(400)
    error = await told(session)
    assert "cannot be started: exec format error" in error.message
    assert error.hint == "check `auth.command`"
    assert session.status().failures == 0
