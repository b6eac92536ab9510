"""URL and headers of a page. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urljoin, urlsplit

from agent.config.model import Connection, CursorPage, HttpSource, NextPage, NoAuth, NumberedPage
from agent.config.urls import origin, trouble
from agent.errors import SourceError
from agent.pull.walk import Spot
from agent.request import USER_AGENT

_WORD = re.compile(r"\{\{|\}\}|\{([a-z]+)(?::([a-z0-9]+))?\}")
_SAFE = "-._~!$'()*,;:@/?"
"""What may stand in a query value as it is: no &, =, +, # and no %."""
_ACCEPT = {
    "json": "application/json, */*;q=0.1",
    "ndjson": "application/x-ndjson, */*;q=0.1",
    "csv": "text/csv, */*;q=0.1",
}


def base_of(source: HttpSource, connection: Connection) -> str:
    """What the query is put behind. Raises SourceError where the connection has no such place."""
    url = source.url or connection.base
    if source.endpoint is not None:
        url = connection.endpoints.get(source.endpoint)
    if url is None:
        place = source.endpoint or "url"
        raise SourceError(f"the connection {connection.name} has no {place}", hint="see its file")
    if source.path:
        before, _, query = url.partition("?")
        url = before.rstrip("/") + source.path
        if query:
            url += f"{'&' if '?' in source.path else '?'}{query}"
    return url


def url_of(source: HttpSource, base: str, spot: Spot) -> str:
    """The URL of a page. Raises SourceError where the job needs a window and there is none."""
    paging = source.paging
    if isinstance(paging, NextPage) and spot.at:
        return spot.at
    own: list[tuple[str, str]] = []
    filled = False
    for name, text in source.query:
        filled = filled or "{cursor}" in text
        if (value := _filled(text, spot)) is not None:
            own.append((name, value))
    if isinstance(paging, CursorPage) and spot.at and not filled:
        own.append((paging.param, spot.at))
    elif isinstance(paging, NumberedPage):
        own.append((paging.param, str(spot.number)))
        if paging.size_param:
            own.append((paging.size_param, str(paging.size)))
    if not own:
        return base
    query = "&".join(f"{quote(name, safe='-._~[]')}={quote(value, safe=_SAFE)}" for name, value in own)
    return f"{base}{'&' if '?' in base else '?'}{query}"


def _filled(text: str, spot: Spot) -> str | None:
    """None: it names what is not known yet, so the parameter is left out."""
    missing = False

    def put(found: re.Match[str]) -> str:
        nonlocal missing
        if found.group() in {"{{", "}}"}:
            return found.group()[0]
        word, shape = found.group(1), found.group(2)
        if word == "cursor":
            missing = missing or not spot.at
            return spot.at
        window = spot.window
        if window is None:
            said = f"{{{word}}} needs the scheduled interval, and this run has none"
            raise SourceError(said, hint="run it by its schedule, or with --from and --to")
        return _moment(window[0] if word == "since" else window[1], shape)

    value = _WORD.sub(put, text)
    return None if missing else value


def _moment(moment: datetime, shape: str | None) -> str:
    utc = moment.astimezone(UTC)
    if shape == "unix":
        return str(int(utc.timestamp()))
    if shape == "date":
        return moment.strftime("%Y-%m-%d")
    return utc.isoformat().replace("+00:00", "Z")


def next_url(url: str, following: str, connection: Connection) -> str:
    """The whole URL of the next page. Raises SourceError for one that must not be asked."""
    to = urljoin(url, following)
    if wrong := trouble(urlsplit(to)._replace(fragment="").geturl()):
        raise SourceError(f"the URL of the next page cannot be used: {wrong.message}")
    if (urlsplit(to).scheme or "").lower() not in {"http", "https"}:
        raise SourceError("the URL of the next page is neither http nor https")
    if _signs_in(connection) and origin(to) != origin(url):
        host = urlsplit(to).hostname
        raise SourceError(
            f"the next page is said to be at another origin ({host}), where the sign-in must not go",
            hint="make a connection of its own for that host",
        )
    return urlsplit(to)._replace(fragment="").geturl()


def is_away(url: str, base: str, connection: Connection) -> bool:
    """Whether a page lies where the sign-in of the connection must not go."""
    return _signs_in(connection) and origin(url) != origin(base)


def _signs_in(connection: Connection) -> bool:
    return not isinstance(connection.auth, NoAuth) or connection.tls.certificate is not None


def headers_of(source: HttpSource, form: str, conditions: Mapping[str, str]) -> dict[str, str]:
    """The headers of a page, without those of the sign-in. `form`: json, ndjson or csv."""
    own = {name: value for name, value in source.headers if name.lower() != "accept-encoding"}
    ours = {"User-Agent": USER_AGENT, "Accept": _ACCEPT[form], "Accept-Encoding": "gzip"}
    taken = {name.lower() for name in own}
    return {**{name: ours[name] for name in ours if name.lower() not in taken}, **own, **conditions}
