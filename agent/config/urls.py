"""Checks of URLs that a pattern cannot make. Pure. Messages never repeat a URL: it may hold a password."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit

from agent.config.model import Proxy

_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """What a sign-in is sent to (RFC 6454)."""

    scheme: str
    host: str
    port: int


class Trouble(NamedTuple):
    """What is wrong with a URL."""

    message: str
    hint: str = ""


def trouble(url: str) -> Trouble | None:  # noqa: PLR0911 - one for each mistake
    """What makes a URL unusable as a target; None when nothing does."""
    if any(not char.isprintable() or char in ' "<>\\^`' for char in url):
        return Trouble(
            "the URL holds a space or another character that cannot be in it", "write %20 for a space"
        )
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return Trouble("the URL's host or port is wrong", "for example https://api.example.com:8443/v1")
    if parts.username is not None or parts.password is not None:
        return Trouble("a URL must not hold a user name or password", "use `auth:` with secret references")
    if not host:
        return Trouble("the URL has no host", "for example https://api.example.com/v1")
    if parts.fragment or url.endswith("#"):
        return Trouble("a URL to send to has no # part", "delete it")
    if "{" in url or "}" in url:
        return Trouble("{…} is not filled in here", "use `path: /devices/{id}` of the job's target")
    return None


def origin(url: str) -> Origin | None:
    """Scheme, host and port; None for what is no URL."""
    try:
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        return Origin(scheme, (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(scheme, 0))
    except ValueError:
        return None


def is_open(url: str) -> bool:
    """Whether what is sent there can be read on the way: plain http, and not to this machine."""
    to = origin(url)
    return to is not None and to.scheme == "http" and not is_loopback(to.host)


def is_read_by(proxy: Proxy, url: str) -> bool:
    """Whether what is sent there can be read by the proxy: a plain http request goes to it as it is."""
    to = origin(url)
    # What goes to this machine never goes through a proxy of the environment.
    return to is not None and to.scheme == "http" and (proxy.url is not None or not is_loopback(to.host))


READ_BY_PROXY = "a sign-in must not travel over plain http through a proxy, which could read it"


def is_loopback(host: str) -> bool:
    """Whether a name or address can only mean this machine."""
    host = host.lower().rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
