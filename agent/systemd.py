"""sd_notify(3): how the service manager learns that we are ready, reloading, alive or stopping.

Without `$NOTIFY_SOCKET` (a terminal, a container) every call does nothing. A manager that does not
listen is no reason to stop delivering: nothing here raises.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping

from agent.clock import Clock
from agent.logs import get_log

log = get_log("systemd")

# A watchdog message at half its time: one lost or late message is no restart (sd_watchdog_enabled(3)).
_BEATS_PER_PERIOD = 2
_MICROSECONDS = 1_000_000


class Notifier:
    """Speaks to the service manager over one datagram socket."""

    def __init__(self, address: str, *, clock: Clock, watchdog: float | None = None) -> None:
        """`address`: a path, `@name` (abstract) or "" for nobody; `watchdog`: its period in seconds."""
        self._clock = clock
        self._watchdog = watchdog
        self._address = _sockaddr(address)
        self._silent = False
        self._socket: socket.socket | None = None
        if self._address:
            # Not blocking: a manager whose queue is full must not hold the event loop.
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], *, clock: Clock, pid: int | None = None
    ) -> Notifier:
        """As systemd set it up: `$NOTIFY_SOCKET`, `$WATCHDOG_USEC`, `$WATCHDOG_PID`."""
        period = _watchdog_period(environ, os.getpid() if pid is None else pid)
        return cls(environ.get("NOTIFY_SOCKET", ""), clock=clock, watchdog=period)

    @property
    def watchdog(self) -> float | None:
        """Seconds after which the manager restarts a silent service; None: it does not watch."""
        return self._watchdog

    def ready(self, status: str = "") -> None:
        """Start or reload is done."""
        self._send("READY=1", *_status(status))

    def reloading(self, status: str = "") -> None:
        """A reload begins; `ready()` ends it. The time lets the manager tell two reloads apart."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={self._microseconds()}", *_status(status))

    def stopping(self, status: str = "") -> None:
        """The stop has begun."""
        self._send("STOPPING=1", *_status(status))

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(*_status(text))

    def extend_timeout(self, seconds: float) -> None:
        """Start or stop goes on for at most so much longer (a migration, a long drain)."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * _MICROSECONDS)}")

    async def watch(self, unhealthy: Callable[[], str]) -> None:
        """Beat for ever while `unhealthy()` says nothing; its words are logged once each time.

        Returns at once where nobody watches.
        """
        if self._watchdog is None or self._socket is None:
            return
        said = ""
        while True:
            problem = unhealthy()
            if not problem:
                self._send("WATCHDOG=1")
            if problem and problem != said:
                log.error("not healthy: the watchdog is not fed", reason=problem)
            if said and not problem:
                log.info("healthy again")
            said = problem
            await self._clock.sleep(self._watchdog / _BEATS_PER_PERIOD)

    def close(self) -> None:
        """Close the socket; later calls do nothing."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _microseconds(self) -> int:
        return int(self._clock.monotonic() * _MICROSECONDS)

    def _send(self, *lines: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
        except OSError as error:
            if not self._silent:
                log.warning("the service manager does not listen", reason=str(error))
            self._silent = True
        else:
            self._silent = False


def _sockaddr(address: str) -> bytes:
    """A path as it is, `@name` in the abstract namespace, anything else (vsock) as nobody."""
    if address.startswith("@"):
        return b"\0" + os.fsencode(address[1:])
    return os.fsencode(address) if address.startswith("/") else b""


def _watchdog_period(environ: Mapping[str, str], pid: int) -> float | None:
    """Seconds, None when the watchdog is off or meant for another process of the service."""
    try:
        period = int(environ.get("WATCHDOG_USEC", "0"))
        meant_for = int(environ.get("WATCHDOG_PID", str(pid)))
    except ValueError:
        return None
    return period / _MICROSECONDS if period > 0 and meant_for == pid else None


def _status(text: str) -> tuple[str, ...]:
    # A line break would end the field and start another one, such as READY=1.
    return (f"STATUS={' '.join(text.split())}",) if text else ()
