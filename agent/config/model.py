"""What was written in the config, as frozen values. No I/O, no dict, no secret: only references.

Built by `config.build` from documents that their schema accepted; everything after the config
package works with these types and never with a dict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal, TypeAlias

JsonScalar: TypeAlias = "bool | int | float | str | None"


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    """A place in a file of the config: every value that can be wrong later remembers its own."""

    file: str
    line: int
    column: int
    path: str
    """In the user's words: `body.map.vehicle.entity`."""


# ---------------------------------------------------------------------------------- secrets


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretRef:
    """`{secret: NAME}`, `{env: NAME}` or `{file: PATH}`: where a secret is, never the secret."""

    kind: Literal["secret", "env", "file"]
    name: str
    where: Where = field(compare=False)


# ---------------------------------------------------------------------------------- agent.yaml


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentSettings:
    """The daemon's own settings (`agent.yaml`); every one has a default."""

    state: Path = Path("/var/lib/push-agent")
    database: str = "sqlite"
    listen: tuple[str, int] | None = ("127.0.0.1", 9310)
    """Host and port of the health, metrics and status pages; None for none."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = "auto"
    spool_max_bytes: int = 10_000_000_000
    receipts_keep: timedelta = timedelta(days=7)
    collect_memory: int = 256_000_000
    """Bytes that DuckDB may use for one run."""
    collect_threads: int = 2
    collect_concurrency: int = 2
    """Runs at the same moment."""


# ---------------------------------------------------------------------------------- connections


@dataclass(frozen=True, kw_only=True, slots=True)
class NoAuth:
    """`auth: {type: none}`, and the default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BasicAuth:
    """RFC 7617."""

    username: SecretRef | str
    password: SecretRef


@dataclass(frozen=True, kw_only=True, slots=True)
class BearerAuth:
    """RFC 6750 with a token that never changes by itself."""

    token: SecretRef


@dataclass(frozen=True, kw_only=True, slots=True)
class HeaderAuth:
    """Any header, such as `X-Api-Key`."""

    name: str
    value: SecretRef


@dataclass(frozen=True, kw_only=True, slots=True)
class LoginLimit:
    """At most so many failed logins, then a pause; counted on disk, over restarts."""

    failures: int = 3
    pause: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, kw_only=True, slots=True)
class PasswordAuth:
    """The platform's own dialect: form login and a rotating refresh token."""

    url: str
    """Without a slash at its end."""
    username: SecretRef | str
    password: SecretRef
    login_path: str = "/auth/password"
    refresh_path: str = "/auth/refresh"
    login_again_on: frozenset[int] = frozenset({401})
    """Answers of *refresh* that allow a new login; nothing else ever does."""
    renew_before: timedelta = timedelta(seconds=60)
    login_limit: LoginLimit = LoginLimit()


Auth: TypeAlias = "NoAuth | BasicAuth | BearerAuth | HeaderAuth | PasswordAuth"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """For all jobs of a connection together."""

    rate: float | None = None
    """Requests a second; None for no limit."""
    concurrency: int = 8
    """Requests in flight."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tls:
    """How the target's certificate is checked and which one is shown to it."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    verify: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """A platform: who we are there, its endpoints, its limits."""

    name: str
    auth: Auth = NoAuth()
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """Name → URL."""
    base: str | None = None
    """`url:` of the connection: what `target.path` is joined to; without a slash at its end."""
    limits: Limits = Limits()
    accepts_gzip: bool = False
    tls: Tls = Tls()
    where: Where = field(compare=False)


# ---------------------------------------------------------------------------------- schedule


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


# ---------------------------------------------------------------------------------- sources


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """What all sources that read files have in common."""

    paths: tuple[str, ...]
    """Absolute globs."""
    settle: timedelta = timedelta(seconds=2)
    """Size and mtime unchanged this long before a file is read."""
    order: tuple[Literal["mtime", "name"], ...] = ("mtime", "name")
    done: str | None = None
    """The folder a file is moved to once all of it is delivered; relative to the file's own."""
    failed: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FileSource:
    """`type: file`: each file is one body, byte for byte."""

    files: Files
    once_per: Literal["content", "path"] = "content"
    columns: tuple[str, ...] = ()
    """Names that the first line must hold; empty: not checked."""
    delimiter: str = ","
    """Of the first line, for `columns`."""
    where: Where = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordFiles:
    """What `csv`, `ndjson`, `json` and `parquet` have in common."""

    files: Files
    reread: Literal["changed", "always"] = "changed"
    on_bad_row: Literal["fail", "dead_letter"] = "fail"
    columns: tuple[str, ...] = ()
    """Names that the file must have."""
    types: Mapping[str, str] = field(default_factory=dict)
    """Column → DuckDB type."""
    where: Where = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class CsvSource(RecordFiles):
    """RFC 4180, columns are text unless `types` says otherwise."""

    delimiter: str = ","
    quote: str = '"'
    header: bool = True
    encoding: Literal["utf-8", "utf-16", "latin-1"] = "utf-8"
    sniff: bool = False
    """`types: auto`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NdjsonSource(RecordFiles):
    """One JSON object a line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonSource(RecordFiles):
    """A JSON array of objects, or one object."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParquetSource(RecordFiles):
    """Apache Parquet."""


RecordSource: TypeAlias = "CsvSource | NdjsonSource | JsonSource | ParquetSource"
Source: TypeAlias = "FileSource | RecordSource"


# ---------------------------------------------------------------------------------- bodies


@dataclass(frozen=True, kw_only=True, slots=True)
class Expr:
    """A leaf `=…`: a DuckDB SQL scalar expression over the record's columns."""

    sql: str
    where: Where = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Constant:
    """Any other leaf, as it is (`==x` is already `=x` here)."""

    value: JsonScalar


@dataclass(frozen=True, kw_only=True, slots=True)
class MapObject:
    """A mapping; the order of its keys is the order in the body."""

    items: tuple[tuple[str, MapNode], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MapList:
    """A sequence."""

    items: tuple[MapNode, ...]


MapNode: TypeAlias = "Expr | Constant | MapObject | MapList"


@dataclass(frozen=True, kw_only=True, slots=True)
class RawBody:
    """The file's own bytes."""

    content_type: str = "application/octet-stream"


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonBody:
    """RFC 8259."""

    per: Literal["record", "batch"] = "batch"
    map: MapNode | None = None
    """None: the record as it is."""
    nulls: Literal["keep", "drop"] = "keep"
    content_type: str = "application/json"


Body: TypeAlias = "RawBody | JsonBody"


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """How many records go into one request (`per: batch`)."""

    records: int = 500
    bytes: int = 1_000_000


# ---------------------------------------------------------------------------------- target


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
    where: Where = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """How messages leave the spool."""

    order: Literal["strict"] = "strict"
    on_misdirected: Literal["wait", "dead_letter"] = "wait"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One job file."""

    name: str
    schedules: tuple[Schedule, ...]
    source: Source
    body: Body
    batch: Batch = Batch()
    target: Target
    delivery: Delivery = Delivery()
    file: str = field(compare=False)
    """The path of its file, as the user would write it."""
    sha256: str = field(compare=False)
    """Of the file's bytes: a job is changed when this is."""
    where: Where = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All that is valid in a config folder, at one moment."""

    settings: AgentSettings = AgentSettings()
    connections: Mapping[str, Connection] = field(default_factory=dict)
    jobs: Mapping[str, Job] = field(default_factory=dict)
