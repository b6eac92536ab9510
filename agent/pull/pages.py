"""The pages of an HTTP API, one after the other: each as a file, and what follows from it. Blocks."""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from agent.config.model import Connection, CsvSource, HttpSource, NdjsonSource, NextPage
from agent.errors import SourceError
from agent.message import Cursor, JsonValue
from agent.pull import address, walk
from agent.pull.fetch import Ask
from agent.pull.landing import Landing
from agent.pull.tools import Tools
from agent.pull.walk import Span, Spot
from agent.sources.pointed import value_at
from agent.target import Got

_UNCHANGED = 304
_OTHERS = {
    "an HTML page": re.compile(rb"<!doctype html|<html|<!--", re.IGNORECASE),
    "XML": re.compile(rb"<\?xml"),
    "JSON": re.compile(rb"""\[\s*[\["{\]]|\{\s*["}]"""),
}
"""What answers begin with that are of another kind."""
_PARKED = 100
"""Walks of other windows that are remembered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A window whose walk came to its end in a run that may not have been called done."""

    since: str
    until: str
    """RFC 3339, as in a `Spot`."""
    run: int

    @property
    def window(self) -> tuple[datetime, datetime]:
        """As moments."""
        return datetime.fromisoformat(self.since), datetime.fromisoformat(self.until)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a job's API was left: its cursor."""

    spot: Spot | None = None
    """The page that was not yet there; None: the last walk came to its end."""
    parked: tuple[Spot, ...] = ()
    """Where walks of other windows were cut off: each goes on when its window is asked for again."""
    kept: str = ""
    """With `keep`: where the next walk begins."""
    finished: tuple[Finished, ...] = ()
    """Windows that were walked to the end: one whose run was killed then is asked for again."""
    etag: str = ""
    modified: str = ""
    of: str = ""
    """The URL, as a mark, that the two belong to."""

    @classmethod
    def load(cls, cursor: Cursor | None, source: HttpSource) -> Place:
        """From what is stored; of another question nothing counts."""
        if not cursor or cursor.get("source") != walk.mark_of(source):
            return cls()
        texts = {key: str(cursor.get(key) or "") for key in ("kept", "etag", "modified", "of")}
        parked = cursor.get("parked")
        found = [Spot.load(one) for one in parked] if isinstance(parked, list) else []
        return cls(
            spot=Spot.load(cursor.get("next")),
            parked=tuple(one for one in found if one is not None),
            finished=tuple(_finished(cursor.get("finished"))),
            **texts,
        )

    def dump(self, source: HttpSource) -> Cursor:
        """To be stored."""
        found: dict[str, JsonValue] = {"source": walk.mark_of(source)}
        if self.spot is not None:
            found["next"] = self.spot.dump()
        if self.parked:
            found["parked"] = [spot.dump() for spot in self.parked]
        if self.finished:
            found["finished"] = [[one.since, one.until, one.run] for one in self.finished]
        pairs = {"kept": self.kept, "etag": self.etag, "modified": self.modified, "of": self.of}
        return {**found, **{key: value for key, value in pairs.items() if value}}

    def turned_to(self, window: Span) -> Place:
        """With the walk of this window, where one was cut off; those of others stay parked.

        Windows that are missed may have grown when they are asked for again: they begin where they began.
        """
        if window is None:
            return self
        known = [spot for spot in (*self.parked, self.spot) if spot is not None]
        same = [spot for spot in known if spot.window is not None and spot.window[0] == window[0]]
        others = tuple(spot for spot in known if spot not in same[-1:])
        return replace(self, spot=same[-1] if same else None, parked=others[-_PARKED:])


def _finished(value: JsonValue) -> Iterator[Finished]:
    for one in value if isinstance(value, list) else ():
        match one:
            case [str(since), str(until), int(run)]:
                yield Finished(since=since, until=until, run=run)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page that is there."""

    name: str
    """For people."""
    landing: Landing
    behind: Callable[[int], Place]
    """Where the source stands once so many records of it are spooled. Raises SourceError."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pages:
    """One API, asked through one connection."""

    source: HttpSource
    tools: Tools
    temp: Path
    """A folder of its own; a page lies there until the next one comes."""
    cancelled: Callable[[], bool]
    run: int = 0
    aside: Callable[[], AbstractContextManager[None]] = nullcontext
    """Entered while an answer is waited for."""

    @contextmanager
    def page(self, place: Place, spot: Spot) -> Iterator[Page | None]:
        """Get it; None: nothing has changed since `place`. Raises SourceError."""
        source = self.source
        if spot.page > source.max_pages:
            hint = "if there are so many, raise `paging.max_pages`; the run goes on where it was"
            raise SourceError(f"more than {source.max_pages} pages", hint=hint)
        connection = self._connection()
        base = address.base_of(source, connection)
        url = address.url_of(source, base, spot)
        if address.is_away(url, base, connection):
            said = (
                f"page {spot.page} lies at another origin than the connection, where its sign-in must not go"
            )
            raise SourceError(said, hint="the next run begins anew")
        of = hashlib.sha256(url.encode()).hexdigest()[:16]
        name = f"page {spot.page}" if source.paging is not None else "answer"
        landing = Landing(path=self.temp / name, max_bytes=source.max_bytes)
        ask = Ask(
            name=name,
            connection=source.connection,
            url=url,
            headers=address.headers_of(source, _form(source), self._conditions(place, spot, of)),
            timeout=source.timeout.total_seconds(),
        )
        try:
            with self.aside(), landing.open():
                got = self.tools.fetch(ask, landing.take, self.cancelled)
            if got.status == _UNCHANGED:
                yield None
                return
            _look_at(landing.path, name, _form(source))
            following = self._following(landing, got, url, connection, name)
            yield Page(
                name=name,
                landing=landing,
                behind=lambda rows: self._behind(place, spot, got, of, following, rows),
            )
        finally:
            landing.path.unlink(missing_ok=True)

    def at_home(self, place: Place) -> Place:
        """Without URLs of another origin than the connection, where that signs in: it was changed since."""
        if not isinstance(self.source.paging, NextPage):
            return place
        connection = self._connection()
        base = address.base_of(self.source, connection)

        def away(url: str) -> bool:
            return bool(url) and address.is_away(url, base, connection)

        parked = tuple(spot for spot in place.parked if not away(spot.at))
        spot = None if place.spot is not None and away(place.spot.at) else place.spot
        return replace(place, spot=spot, parked=parked, kept="" if away(place.kept) else place.kept)

    def _connection(self) -> Connection:
        connection = self.tools.connection(self.source.connection)
        if connection is None:
            raise SourceError(f"there is no connection {self.source.connection} now")
        return connection

    def _conditions(self, place: Place, spot: Spot, of: str) -> dict[str, str]:
        # a window is asked for again only where it is wanted again, all of it
        if self.source.paging is not None or spot.since or place.of != of:
            return {}
        pairs = {"If-None-Match": place.etag, "If-Modified-Since": place.modified}
        return {name: value for name, value in pairs.items() if value}

    def _following(self, landing: Landing, got: Got, url: str, connection: Connection, name: str) -> str:
        source = self.source
        try:
            pointer = walk.pointer_of(source)
            picked = value_at(landing.path, pointer, name) if pointer and landing.size else None
            following = walk.following_of(source, got.links, picked)
            if following and isinstance(source.paging, NextPage):
                following = address.next_url(url, following, connection)
        except SourceError as error:
            message = error.message if name in error.message else f"{name}: {error.message}"
            raise SourceError(message, hint=error.hint) from error
        return following

    def _behind(  # noqa: PLR0917 - all that is known of a page
        self, place: Place, spot: Spot, got: Got, of: str, following: str, rows: int
    ) -> Place:
        source = self.source
        then = walk.after(source, spot, following, rows)
        if then is not None:
            return replace(place, spot=then)
        finished = place.finished
        if spot.since:
            finished = (*finished, Finished(since=spot.since, until=spot.until, run=self.run))
        alone = source.paging is None
        return replace(
            place,
            spot=None,
            kept=walk.kept_after(source, spot, following),
            finished=finished,
            etag=got.etag if alone else "",
            modified=got.modified if alone else "",
            of=of if alone and (got.etag or got.modified) else "",
        )


def _look_at(path: Path, name: str, form: str) -> None:
    """Refuse what is another kind of text: any is a CSV, and its lines would become records."""
    with path.open("rb") as file:
        begin = file.read(1000).removeprefix(codecs.BOM_UTF8).lstrip()
    kind = next((kind for kind, start in _OTHERS.items() if start.match(begin)), None)
    if kind is None or (kind == "JSON" and form != "csv"):
        return
    hint = "a page to sign in, or of an error? check `source`, and the sign-in of its connection"
    raise SourceError(f"{name}: is {kind} and no {form.upper()}", hint=hint)


def spots(source: HttpSource, place: Place, window: Span) -> Iterator[Spot]:
    """Where walks begin now: at the page that an earlier run did not get, then at what it was not about."""
    left = place.spot
    if left is not None:
        yield left
    rest = window
    if window is not None:
        behind = [one.window for one in place.finished] if left is None else [left.window]
        for other in behind:
            if other is not None and other[0] == window[0]:
                rest = (other[1], window[1])
    elif left is not None:
        return
    if rest is None or rest[0] < rest[1]:
        yield walk.begin(source, place.kept, rest)


def _form(source: HttpSource) -> str:
    if isinstance(source.reading, CsvSource):
        return "csv"
    return "ndjson" if isinstance(source.reading, NdjsonSource) else "json"
