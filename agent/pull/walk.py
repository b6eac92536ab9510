"""From one page to the next, and where a later run goes on. Pure.

    begin ─▶ Spot ──page spooled──▶ after ─▶ Spot … ─▶ None: the last page was there

A `Spot` is durable: it is the job's cursor, stored in the very transaction that makes its page visible. So a
run that is killed goes on at the page that was not yet there, and no page comes twice.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Self, TypeAlias
from zoneinfo import ZoneInfo

from agent.config.model import CursorPage, HttpSource, NextPage, NumberedPage
from agent.errors import SourceError
from agent.message import JsonValue
from agent.window import Window

Span: TypeAlias = "tuple[datetime, datetime] | None"
"""The window of a walk: since (inclusive) and until (not), as the clocks of the job's zone show them."""
_MARK = 12
"""Hex digits of each page that was met: enough to know it again."""


def span_of(window: Window | None, zone: str) -> Span:
    """That of a run; None: it is about none."""
    return None if window is None else (_shown(window.since, zone), _shown(window.until, zone))


def _shown(moment: datetime, zone: str) -> datetime:
    there = moment.astimezone(ZoneInfo(zone))
    # as it is stored: moments of the hour that comes twice are equal to none of another zone
    return there.replace(tzinfo=timezone(there.utcoffset() or timedelta()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Spot:
    """The page that comes next."""

    page: int = 1
    """In this walk, from 1."""
    at: str = ""
    """Its URL, or its cursor; "": the first one's."""
    number: int = 0
    """Of a numbered page, or its offset."""
    seen: tuple[str, ...] = ()
    """Marks of the pages before it."""
    since: str = ""
    until: str = ""
    """The window of the walk, RFC 3339; "": it has none."""

    @classmethod
    def load(cls, value: JsonValue) -> Self | None:
        """From a cursor; None for what is none."""
        if not isinstance(value, dict):
            return None
        seen = value.get("seen")
        marks = tuple(str(mark) for mark in seen) if isinstance(seen, list) else ()
        page, number = value.get("page"), value.get("number")
        texts = {key: str(value.get(key) or "") for key in ("at", "since", "until")}
        if not isinstance(page, int) or not isinstance(number, int):
            return None
        return cls(page=page, number=number, seen=marks, **texts)

    def dump(self) -> dict[str, JsonValue]:
        """As a part of a cursor."""
        return {**asdict(self), "seen": list(self.seen)}

    @property
    def window(self) -> Span:
        """The interval of its walk."""
        if not self.since or not self.until:
            return None
        return datetime.fromisoformat(self.since), datetime.fromisoformat(self.until)


def mark_of(source: HttpSource) -> str:
    """What a cursor belongs to: with another question it means nothing."""
    asked = (source.connection, source.endpoint, source.url, source.path, source.query, source.paging)
    return hashlib.sha256(repr(asked).encode()).hexdigest()[:16]


def begin(source: HttpSource, kept: str, window: Span) -> Spot:
    """The first page of a walk. `kept`: where the last walk ended, with `keep`."""
    paging = source.paging
    number = paging.start if isinstance(paging, NumberedPage) else 0
    since, until = (moment.isoformat() for moment in window) if window else ("", "")
    keeps = isinstance(paging, NextPage | CursorPage) and paging.keep
    return Spot(at=kept if keeps else "", number=number, since=since, until=until)


def after(source: HttpSource, spot: Spot, following: str, rows: int) -> Spot | None:
    """The page behind `spot`; None when that was the last.

    `following`: what the page says of the next (a whole URL, or a cursor; "": nothing); `rows`: its records.
    Raises SourceError when the API leads in a circle.
    """
    paging = source.paging
    if paging is None:
        return None
    if isinstance(paging, NumberedPage):
        if not rows:
            return None
        step = 1 if paging.by == "page" else paging.size
        return replace(spot, page=spot.page + 1, number=spot.number + step)
    if not following or (paging.keep and (following == spot.at or not rows)):
        return None
    mark = hashlib.sha256(following.encode()).hexdigest()[:_MARK]
    if mark in spot.seen or following == spot.at:
        raise SourceError(
            f"page {spot.page} names a page as the next that was there before",
            hint="the API leads in a circle; nothing of this page is sent",
        )
    return replace(spot, page=spot.page + 1, at=following, seen=(*spot.seen, mark))


def kept_after(source: HttpSource, spot: Spot, following: str) -> str:
    """Where the next run begins, with `keep`; "" without."""
    if isinstance(source.paging, NextPage | CursorPage) and source.paging.keep:
        return following or spot.at
    return ""


def link_of(headers: tuple[str, ...]) -> str:
    """The target of rel=next in headers Link (RFC 8288), as it stands; "" when there is none."""
    for header in headers:
        rest = header
        while "<" in rest:
            target, closed, rest = rest.partition("<")[2].partition(">")
            # up to the next link: a comma before a <
            parameters = rest.partition("<")[0]
            for parameter in parameters.split(";"):
                name, _, value = parameter.strip().rstrip(",").partition("=")
                words = value.strip().strip('"').lower().split()
                if closed and name.strip().lower() == "rel" and "next" in words:
                    return target.strip()
    return ""


def following_of(source: HttpSource, links: tuple[str, ...], picked: object) -> str:
    """What a page says of the next. `picked`: what stands at the pointer. Raises SourceError."""
    paging = source.paging
    if isinstance(paging, NextPage) and not paging.pointer:
        return link_of(links)
    if not isinstance(paging, NextPage | CursorPage) or picked is None or picked is False:
        return ""
    if isinstance(picked, bool) or not isinstance(picked, str | int):
        said = f"what stands at {paging.pointer} is neither a text nor a number"
        raise SourceError(said, hint="check `paging` of the source")
    return str(picked)


def pointer_of(source: HttpSource) -> str:
    """Where in the answer the next page stands; "": not in it."""
    return source.paging.pointer if isinstance(source.paging, NextPage | CursorPage) else ""
