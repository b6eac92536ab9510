"""Against a real datagram socket, as the service manager holds it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.systemd import Notifier


class SteppingClock(SystemClock):
    """Sleeps are only noted; the fourth one ends the loop."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return 12.5

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) == 4:
            raise asyncio.CancelledError


class Manager:
    """The other end."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(b"\0" + address[1:].encode() if address.startswith("@") else address)

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@push-agent-test-{os.getpid()}"
    manager = Manager(address)
    yield manager
    manager.socket.close()


def notifier(manager: Manager, **environ: str) -> Notifier:
    return Notifier.from_environment(
        {"NOTIFY_SOCKET": manager.address, **environ}, clock=SteppingClock(), pid=7
    )


def test_says_each_stage_of_life(manager: Manager) -> None:
    notify = notifier(manager)
    notify.status("loading 3 jobs")
    notify.ready("3 jobs")
    notify.reloading()
    notify.extend_timeout(1.5)
    notify.stopping("draining")
    notify.close()
    assert manager.heard() == [
        "STATUS=loading 3 jobs",
        "READY=1\nSTATUS=3 jobs",
        "RELOADING=1\nMONOTONIC_USEC=12500000",
        "EXTEND_TIMEOUT_USEC=1500000",
        "STOPPING=1\nSTATUS=draining",
    ]


def test_a_line_break_in_a_status_cannot_forge_another_field(manager: Manager) -> None:
    notify = notifier(manager)
    notify.status("job a\nREADY=1")
    notify.close()
    assert manager.heard() == ["STATUS=job a READY=1"]


async def test_beats_at_half_the_watchdog_time_while_healthy(manager: Manager) -> None:
    clock = SteppingClock()
    notify = Notifier(manager.address, clock=clock, watchdog=30)
    answers = iter(["", "the spool thread is dead", "the spool thread is dead", ""])
    with pytest.raises(asyncio.CancelledError):
        await notify.watch(lambda: next(answers))
    notify.close()
    assert clock.slept == [15, 15, 15, 15]
    assert manager.heard() == ["WATCHDOG=1", "WATCHDOG=1"]


@pytest.mark.parametrize(
    ("environ", "period"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_obeys_only_a_watchdog_that_is_meant_for_this_process(
    environ: dict[str, str], period: float | None
) -> None:
    notify = Notifier.from_environment(environ, clock=SteppingClock(), pid=7)
    assert notify.watchdog == period


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative"])
async def test_without_a_socket_that_it_knows_it_does_nothing(address: str) -> None:
    notify = Notifier(address, clock=SteppingClock(), watchdog=30)
    notify.ready("up")
    await notify.watch(lambda: "")
    notify.close()
    notify.ready("after close")


def test_a_manager_that_is_gone_stops_nothing_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notify = Notifier(str(tmp_path / "nobody"), clock=SteppingClock())
    notify.status("one")
    notify.status("two")
    notify.close()
    assert [record.getMessage() for record in caplog.records] == ["the service manager does not listen"]
