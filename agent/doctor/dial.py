"""DNS and TCP: the name to its addresses, and a connection to each of them. All bounded, nothing blocks."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from agent.clock import Clock
from agent.doctor.findings import Dialled, NoAddress, Resolved, Try, Unresolved

Resolver: TypeAlias = "Callable[[str, int], list[str]]"
"""Host and port → addresses, blocking. Raises OSError (gaierror) and UnicodeError, as getaddrinfo does."""

MOST_ADDRESSES = 8
"""More tell nothing new."""

_DNS_KINDS: Final[Mapping[int | None, NoAddress]] = {
    socket.EAI_NONAME: "no such name",
    getattr(socket, "EAI_NODATA", None): "no address",
    getattr(socket, "EAI_ADDRFAMILY", None): "no address",
    socket.EAI_AGAIN: "no answer",
    socket.EAI_FAIL: "refused",
}
_CONNECT_FAULTS: Final = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.EPERM: "denied",
    errno.EACCES: "denied",
    errno.EHOSTUNREACH: "no route",
    errno.ENETUNREACH: "no family",
    errno.EAFNOSUPPORT: "no family",
    errno.EADDRNOTAVAIL: "no family",
    errno.ECONNRESET: "reset",
}


def system_resolver(host: str, port: int) -> list[str]:
    """What this machine says: hosts file, name servers, in its order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


async def resolve(host: str, port: int, *, resolver: Resolver, deadline: float) -> Resolved | Unresolved:
    """All addresses of a host, within `deadline` seconds."""
    if _is_address(host):
        return Resolved(addresses=(host,), literal=True)
    try:
        async with asyncio.timeout(deadline):
            addresses = await _in_thread(resolver, host, port)
    except TimeoutError:
        return Unresolved(kind="timeout", detail=f"{deadline:g} s")
    except socket.gaierror as error:
        return Unresolved(kind=_DNS_KINDS.get(error.errno, "other"), detail=error.strerror or "")
    except UnicodeError:
        return Unresolved(kind="not a name")
    except OSError as error:
        return Unresolved(kind="other", detail=error.strerror or type(error).__name__)
    return (
        Resolved(addresses=tuple(addresses[:MOST_ADDRESSES])) if addresses else Unresolved(kind="no address")
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _in_thread(resolver: Resolver, host: str, port: int) -> list[str]:
    """In a thread that the process does not wait for at its end: a dead name server holds it for minutes."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def settle(value: list[str] | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(value or [])

    def work() -> None:
        value, fault = None, None
        try:
            value = resolver(host, port)
        except Exception as error:  # noqa: BLE001 - it belongs to who waits
            fault = error
        try:
            loop.call_soon_threadsafe(settle, value, fault)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    threading.Thread(target=work, name=f"resolve {host}", daemon=True).start()
    return await answer


async def dial(addresses: tuple[str, ...], port: int, *, clock: Clock, deadline: float) -> Dialled:
    """Call all addresses at once, each within `deadline` seconds; the connections are closed again."""
    tries = [_try(address, port, clock, deadline) for address in addresses]
    return Dialled(tries=tuple(await asyncio.gather(*tries)))


async def _try(address: str, port: int, clock: Clock, deadline: float) -> Try:
    begun = clock.monotonic()
    fault, detail = "", ""
    try:
        (await connect(address, port, deadline=deadline)).close()
    except TimeoutError:
        fault, detail = "timeout", f"within {deadline:g} s"
    except OSError as error:
        fault = fault_of(error)
        detail = (error.strerror or str(error)) if fault == "other" else ""
    return Try(address=address, seconds=clock.monotonic() - begun, fault=fault, detail=detail)


def fault_of(error: OSError) -> str:
    """A word of `words.CONNECT`."""
    return _CONNECT_FAULTS.get(error.errno or 0, "other")


async def connect(address: str, port: int, *, deadline: float) -> socket.socket:
    """A connected socket. Raises TimeoutError, OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    ours = socket.socket(family, socket.SOCK_STREAM)
    ours.setblocking(False)  # noqa: FBT003 - the standard library's own
    try:
        async with asyncio.timeout(deadline):
            await asyncio.get_running_loop().sock_connect(ours, (address, port))
    except BaseException:
        ours.close()
        raise
    return ours
