"""Where a connection leads: the origins of its sign-in and its endpoints. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from agent.config.model import Connection
from agent.config.urls import origin

_USUAL = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """One origin, and what the connection has there."""

    scheme: str
    host: str
    port: int
    signs_in: bool
    """Whether the Auth API is there."""
    endpoints: tuple[tuple[str, str], ...]
    """Name → URL of each endpoint there; the base has the name `url`."""

    @property
    def origin(self) -> str:
        """`https://api.example.com`, with the port where it is an unusual one."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """As it stands in a URL and in a `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _USUAL.get(self.scheme) else f"{host}:{self.port}"


def places_of(connection: Connection) -> tuple[Place, ...]:
    """Each origin once: the Auth API's first, then those of the endpoints as they are written."""
    found: dict[tuple[str, str, int], tuple[bool, list[tuple[str, str]]]] = {}
    auth_url = getattr(connection.auth, "url", None)
    if isinstance(auth_url, str) and (to := origin(auth_url)) is not None:
        found[to] = (True, [])
    named = [("url", connection.base), *connection.endpoints.items()]
    for name, url in named:
        if url is None or (to := origin(url)) is None:
            continue
        found.setdefault(to, (False, []))[1].append((name, url))
    return tuple(
        Place(scheme=scheme, host=_ascii(host), port=port, signs_in=signs_in, endpoints=tuple(endpoints))
        for (scheme, host, port), (signs_in, endpoints) in found.items()
    )


def _ascii(host: str) -> str:
    """As it travels (RFC 5890); what cannot travel stays as it is, for the step that says so."""
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return host


def shown(url: str) -> str:
    """A URL without its query, which may hold what only the platform should see."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
