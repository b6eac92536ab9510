"""What a dry run asks for itself: pages and a program's output, read only. No cursor moves.

A connection whose token is renewed is left to the daemon: a login for a look would be one more place where
its token could be lost.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from agent.config.model import (
    BasicAuth,
    BearerAuth,
    CommandSource,
    Connection,
    HeaderAuth,
    HttpSource,
    Job,
    NoAuth,
    uses_window,
)
from agent.errors import SourceError, UsageError
from agent.preview import Document
from agent.sources.files import SourceFile, stamp_of
from agent.window import Window

if TYPE_CHECKING:
    from collections.abc import Collection

    from agent.config import SecretStore
    from agent.connections import OpenConnection
    from agent.message import Cursor
    from agent.pull.landing import Landing
    from agent.pull.tools import Tools
    from agent.pull.walk import Span
    from agent.render import Context

_LAST_HOUR = timedelta(hours=1)


def documents(
    job: Job,
    connections: Mapping[str, Connection],
    ctx: Context,
    *,
    config: Path,
    allowed: Collection[str],
    cursor: Cursor | None,
) -> Generator[Document, None, None]:
    """The documents of a source that is asked for them, each as it comes. Raises SourceError, UsageError."""
    if isinstance(job.source, CommandSource):
        yield from _output(job.source, ctx, allowed)
    elif isinstance(job.source, HttpSource):
        with _open(connections[job.source.connection], config, ctx) as tools:
            yield from _pages(job, job.source, tools, ctx, cursor)


def _output(source: CommandSource, ctx: Context, allowed: Collection[str]) -> Iterator[Document]:
    from agent.pull.landing import Landing  # noqa: PLC0415 - beside its use
    from agent.pull.output import print_out  # noqa: PLC0415

    name = source.command[0].rpartition("/")[2]
    landing = Landing(path=ctx.temp / f"output of {name}", max_bytes=source.max_bytes)
    print_out(source, landing, allowed, ctx.cancelled)
    if landing.size:
        yield _document(landing)


def _pages(
    job: Job, source: HttpSource, tools: Tools, ctx: Context, cursor: Cursor | None
) -> Iterator[Document]:
    from agent.pull.pages import Pages, Place, spots  # noqa: PLC0415

    pages = Pages(source=source, tools=tools, temp=ctx.temp, cancelled=ctx.cancelled)
    place, window = pages.at_home(Place.load(cursor, source)), _window(job, ctx)
    # not its ETag: what is there now is to be shown
    place = Place(spot=place.spot, parked=place.parked, kept=place.kept).turned_to(window)
    for first in spots(source, place, window):
        spot = first
        while True:
            with pages.page(place, spot) as page:
                assert page is not None
                document = _document(page.landing)
                if page.landing.size:
                    yield document
                place = page.behind(document.rows)
            if place.spot is None:
                break
            spot = place.spot


def _window(job: Job, ctx: Context) -> Span:
    """That of the context; else one that ends now and is as long as the job's interval."""
    from agent.pull.walk import span_of  # noqa: PLC0415

    window = ctx.window
    if window is None and uses_window(job.source):
        now = datetime.fromtimestamp(ctx.clock.now(), UTC)
        window = Window(since=now - (job.schedules[0].every or _LAST_HOUR), until=now)
    return span_of(window, job.timezone)


def _document(landing: Landing) -> Document:
    stamp = stamp_of(landing.path)
    assert stamp is not None
    return Document(file=SourceFile(path=landing.path, stamp=stamp))


@contextmanager
def _open(connection: Connection, config: Path, ctx: Context) -> Iterator[Tools]:
    """An open connection in a loop of its own thread; it goes with the `with`."""
    from agent.config import SecretStore  # noqa: PLC0415
    from agent.pull.fetch import LoopFetch  # noqa: PLC0415 - aiohttp
    from agent.pull.tools import Tools  # noqa: PLC0415

    if not isinstance(connection.auth, NoAuth | BasicAuth | BearerAuth | HeaderAuth):
        raise UsageError(
            f"a dry run does not sign in to {connection.name}: its token is the daemon's to renew",
            hint="save an answer of the API in a file and show it with --sample FILE",
        )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="dry-run", daemon=True)
    thread.start()
    try:
        opening = asyncio.run_coroutine_threadsafe(
            _opened(connection, SecretStore(config.absolute()), ctx), loop
        )
        opened = opening.result()
        try:
            fetch = LoopFetch(loop, lambda _: opened, ctx.clock)
            yield Tools(fetch=fetch, connection=lambda _: connection, allowed=tuple)
        finally:
            asyncio.run_coroutine_threadsafe(opened.close(grace=0), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _opened(connection: Connection, secrets: SecretStore, ctx: Context) -> OpenConnection:
    from agent.auth import Session, open_session  # noqa: PLC0415
    from agent.connections import open_connection  # noqa: PLC0415
    from agent.target import Client  # noqa: PLC0415

    def sign_in(client: Client) -> Session:
        # a fixed sign-in keeps nothing: neither store nor vault is ever asked
        return open_session(connection, secrets, _Nothing(), _Nothing(), ctx.clock, client)  # type: ignore[arg-type]

    return await open_connection(connection, sign_in, clock=ctx.clock, random=random.random, secrets=secrets)


class _Nothing:
    """In the place of what must not be used."""

    def __getattr__(self, name: str) -> object:
        raise SourceError(f"a dry run keeps nothing ({name})")
