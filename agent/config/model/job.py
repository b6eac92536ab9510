"""Jobs: schedule, target, delivery, and all of one job file."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypeAlias

from agent.config.model.body import Batch, Body, Expr
from agent.config.model.job_test import JobTest
from agent.config.model.place import Where
from agent.config.model.source import Source
from agent.limit import NO_LIMIT, Limit
from agent.message import STRICT, Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """When a job runs. Exactly one of `every`, `cron`, `at`, or `watch` alone or beside one."""

    every: timedelta | None = None
    cron: str | None = None
    at: tuple[str, ...] = ()
    """RFC 3339 date-times (once each) or `HH:MM[:SS]` (each day)."""
    watch: bool = False
    """Also on file events of the source's folders."""
    timezone: str = "UTC"
    jitter: timedelta = timedelta(0)
    missed: Literal["latest", "all", "none"] = "latest"
    overlap: Literal["skip", "queue"] = "skip"
    dst: Literal["once", "skip", "twice"] = "once"
    where: Where = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """Text with `{expression}` in it, filled per record."""

    parts: tuple[str | Expr, ...]
    where: Where = field(compare=False)

    @property
    def fixed(self) -> str | None:
        """The text itself when there is no expression in it, else None."""
        if any(isinstance(part, Expr) for part in self.parts):
            return None
        return "".join(part for part in self.parts if isinstance(part, str))


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """Something in a result, and the values of it that count."""

    at: str
    """JSON pointer."""
    values: frozenset[str]
    """As JSON text; a text without its quotes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """How a success says what became of each record."""

    items: str
    """JSON pointer to the list of results; "": the answer itself."""
    match: Literal["position", "index", "key"] = "position"
    key: str = ""
    """JSON pointer in a result: to what names its record."""
    record: str = ""
    """JSON pointer in the record as it was sent (`match: key`)."""
    listed: Literal["all", "errors"] = "all"
    error: str = ""
    """JSON pointer in a result to the words of a refusal."""
    ok: Told | None = None
    retry: Told | None = None
    unreadable: Literal["wait", "delivered"] = "wait"
    where: Where = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where the requests go. Exactly one of `endpoint`, `url`; `path` may stand beside `endpoint`."""

    connection: str
    endpoint: str | None = None
    url: str | None = None
    path: Template | None = None
    method: str = "POST"
    headers: tuple[tuple[str, Template], ...] = ()
    timeout: timedelta = timedelta(seconds=30)
    """For the whole attempt."""
    connect_timeout: timedelta = timedelta(seconds=5)
    success: frozenset[int] = frozenset(range(200, 300))
    reply: Reply | None = None
    """None: a success is one for all records."""
    where: Where = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Strict:
    """`order: strict`: one request after the other."""

    @property
    def layout(self) -> Layout:
        """One lane."""
        return STRICT


@dataclass(frozen=True, kw_only=True, slots=True)
class ByKey:
    """`order: {by: =…, lanes: N}`: what has the same key stays in order; the lanes go side by side."""

    expr: Expr
    """The key. Records without one (NULL) have the key of the empty text."""
    lanes: int = 16

    @property
    def layout(self) -> Layout:
        """Another one as soon as a key may come into another lane."""
        return Layout(name=f"md5 of {self.expr.sql} modulo {self.lanes}", lanes=self.lanes)


SPREAD = 64
"""Lanes of `order: none`: more than a connection usually has in flight (`limits.concurrency`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unordered:
    """`order: none`: as fast as the connection lets, in any order."""

    @property
    def layout(self) -> Layout:
        """As many lanes as are of use."""
        return Layout(name="none", lanes=SPREAD)


Order: TypeAlias = "Strict | ByKey | Unordered"


@dataclass(frozen=True, kw_only=True, slots=True)
class Expire:
    """A message this old is of no use any more: it becomes a dead letter instead of being sent."""

    after: timedelta
    of: Expr | None = None
    """The time of a record; None: when its message was spooled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """How messages leave the spool."""

    order: Order = Strict()
    expire: Expire | None = None
    """None: nothing is too old."""
    on_refusal: Literal["dead_letter", "stop"] = "dead_letter"
    """`stop`: what is refused keeps its place, and its lane waits."""
    latest_by: Expr | None = None
    """Of the messages that wait, only the newest of each of its values is sent; None: all are."""
    on_misdirected: Literal["wait", "dead_letter"] = "wait"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One job file."""

    name: str
    schedules: tuple[Schedule, ...]
    source: Source
    body: Body
    batch: Batch = field(default_factory=Batch)
    target: Target
    delivery: Delivery = Delivery()
    receipt_keys: tuple[Expr, ...] = ()
    """What `push-agent find` finds its records by."""
    spool: Limit = NO_LIMIT
    """How much of it may wait."""
    tests: tuple[JobTest, ...] = ()
    file: str = field(compare=False)
    """The path of its file, as the user would write it."""
    sha256: str = field(compare=False)
    """Of the file's bytes, and of its schema's where it names one: a job is changed when this is."""
    where: Where = field(compare=False)

    @property
    def timezone(self) -> str:
        """In which its times without a zone are read, and its days begin."""
        return self.schedules[0].timezone if self.schedules else "UTC"
