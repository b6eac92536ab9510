"""The control socket over a real Unix socket: what is asked, who may ask, what goes wrong."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agent.errors import ConfigError, ControlError, Problem, StateError
from agent.web.control import SOCKET, ControlServer, JsonObject, call, call_and_wait

ASK_AS_NOBODY = """
import os, sys
from pathlib import Path
from agent.errors import ControlError
from agent.web.control import call_and_wait
import json, encodings.idna  # before the rights to read them are gone
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    print(call_and_wait(Path(sys.argv[1]), "ping", {}, timeout=5))
except ControlError as error:
    print(error.message)
"""


async def push(arguments: JsonObject) -> JsonObject:
    return {"pushed": arguments.get("job")}


async def full(arguments: JsonObject) -> JsonObject:
    raise StateError("the disk is full", hint="make room")


async def wrong(arguments: JsonObject) -> JsonObject:
    raise ConfigError((Problem(file="gps.yaml", line=14, message="no such column"),))


async def bug(arguments: JsonObject) -> JsonObject:
    raise ZeroDivisionError


HANDLERS = {"push": push, "full": full, "wrong": wrong, "bug": bug}


@pytest.fixture
def state() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
async def server(state: Path) -> AsyncIterator[ControlServer]:
    server = ControlServer(state, HANDLERS)
    await server.start()
    yield server
    await server.stop()


async def test_hands_the_arguments_over_and_the_answer_back(server: ControlServer, state: Path) -> None:
    assert await call(state, "push", {"job": "gps"}, timeout=5) == {"pushed": "gps"}
    assert await call(state, "ping", {}, timeout=5) == {"pid": os.getpid()}


async def test_an_error_of_the_daemon_keeps_its_words_hint_and_exit_code(
    server: ControlServer, state: Path
) -> None:
    with pytest.raises(ControlError, match="the disk is full") as told:
        await call(state, "full", {}, timeout=5)
    assert (told.value.hint, told.value.exit_code) == ("make room", 78)
    with pytest.raises(ControlError, match=r"gps\.yaml:14: no such column"):
        await call(state, "wrong", {}, timeout=5)


async def test_a_bug_in_a_handler_is_logged_and_the_daemon_answers_on(
    server: ControlServer, state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ControlError, match="'bug' failed in the daemon: ZeroDivisionError"):
        await call(state, "bug", {}, timeout=5)
    assert caplog.records[0].exc_info
    assert await call(state, "ping", {}, timeout=5)


async def test_an_unknown_word_is_told_the_known_ones(server: ControlServer, state: Path) -> None:
    with pytest.raises(ControlError, match="there is no 'halt'") as told:
        await call(state, "halt", {}, timeout=5)
    assert told.value.hint == "this daemon knows bug, full, ping, push, wrong"


@pytest.mark.parametrize("body", [b"[1]", b"{", b"\xff", b"[" * 500_000])
async def test_arguments_that_are_no_object_are_refused(
    server: ControlServer, state: Path, body: bytes
) -> None:
    reader, writer = await asyncio.open_unix_connection(state / SOCKET)
    writer.write(b"POST /ping HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.0 400")


async def test_get_reaches_nothing(server: ControlServer, state: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(state / SOCKET)
    writer.write(b"GET /push HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.0 404")


async def test_gives_up_on_a_daemon_that_does_not_answer(state: Path) -> None:
    released = asyncio.Event()

    async def late(arguments: JsonObject) -> JsonObject:
        await released.wait()
        return {}

    server = ControlServer(state, {"late": late})
    await server.start()
    with pytest.raises(ControlError, match=r"did not answer 'late' within 0\.05 s"):
        await call(state, "late", {}, timeout=0.05)
    released.set()
    await server.stop()


def test_without_a_daemon_says_how_to_start_one(tmp_path: Path) -> None:
    for state in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ControlError, match="no daemon runs on") as told:
            call_and_wait(state, "ping", {}, timeout=1)
        assert "systemctl start push-agent" in told.value.hint


def test_a_daemon_that_breaks_off_is_an_error_with_words(tmp_path: Path) -> None:
    (tmp_path / SOCKET).touch()
    with pytest.raises(ControlError, match="no daemon runs on"):
        call_and_wait(tmp_path, "ping", {}, timeout=1)


async def test_a_stale_socket_of_a_dead_daemon_is_replaced(state: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(state / SOCKET))
    dead.close()
    server = ControlServer(state, {})
    await server.start()
    assert await call(state, "ping", {}, timeout=5)
    await server.stop()
    await server.stop()
    assert not (state / SOCKET).exists()


async def test_a_state_folder_with_a_path_longer_than_a_socket_address(tmp_path: Path) -> None:
    state = tmp_path / ("d" * 120) / ("e" * 120)
    state.mkdir(parents=True)
    server = ControlServer(state, {})
    await server.start()
    assert await call(state, "ping", {}, timeout=5)
    await server.stop()


async def test_sec_25_only_its_own_user_reaches_the_socket(server: ControlServer, state: Path) -> None:
    assert stat.S_IMODE((state / SOCKET).stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask as another user")
async def test_sec_25_another_user_is_refused_even_where_the_file_lets_him_in(
    server: ControlServer, state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.chmod(state, 0o755)  # noqa: PTH101 - a temporary folder, at once
    assert await asyncio.to_thread(ask_as_nobody, state) == f"may not speak to the daemon of {state}"
    (state / SOCKET).chmod(0o666)
    assert await asyncio.to_thread(ask_as_nobody, state) == "only the daemon's own user and root may do this"
    assert "refused another user on the control socket" in caplog.text


def ask_as_nobody(state: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ASK_AS_NOBODY, str(state)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path.cwd())},
    )
    return done.stdout.strip() or done.stderr
