"""What is going on, as values: the same for `push-agent status`, the status page and the metrics.

    what the spool holds (also without a daemon) ──┐
                                                   ├──▶ Snapshot ──▶ to_json, text, metrics
    what the daemon knows (next due, in flight) ───┘

Every field whose name ends in `_at` is wall clock time: seconds since 1970 here, RFC 3339 in JSON.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo

from agent.message import JsonValue
from agent.origins import PacingStatus
from agent.phrases import ordinal, rfc3339
from agent.status_parts import BackfillStatus, ConfigStatus, LimitStatus, PauseStatus
from agent.unmoved import UnmovedFile


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStatus:
    """One run of a job."""

    run: int = 0
    due_at: float
    state: str
    """`collecting`, `done`, `failed`, `stopped`, `interrupted`, `skipped`."""
    reason: str = ""
    trigger: str = ""
    records: int = 0
    messages: int = 0
    ended_at: float | None = None
    since_at: float | None = None
    """Of its window [since, until); None for a job without windows."""
    until_at: float | None = None
    backfill: int | None = None
    """Of which it is a part (`push --from --to`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneStatus:
    """A lane that waits, and why."""

    lane: int
    """From 0, below `delivery.order.lanes`."""
    kind: str
    reason: str
    since_at: float
    until_at: float | None = None
    """The next try; None: when something changes."""
    attempts: int = 0
    why: str = ""
    """In one sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobStatus:
    """What a job has done, does, and waits for."""

    name: str
    file: str = ""
    """Of its config; "" when the job is gone and only what it spooled is left."""
    schedule: str = ""
    """In the user's words."""
    next_due_at: float | None = None
    collecting: str = ""
    """What its run is doing now; "" when none is."""
    last_run: RunStatus | None = None
    last_failed_run: RunStatus | None = None
    """The latest run that failed, for a day, also when a good one came after it."""
    waiting_messages: int = 0
    waiting_records: int = 0
    waiting_bytes: int = 0
    held_messages: int = 0
    """Of the waiting ones: invisible until their file is read to its end."""
    oldest_waiting_seconds: float | None = None
    windows_done_at: float | None = None
    """Its windows are pulled up to here; None: it has none, or none was pulled yet."""
    backfills: tuple[BackfillStatus, ...] = ()
    lanes: tuple[LaneStatus, ...] = ()
    """Only those that wait for something else than their turn."""
    delivered_messages: int = 0
    delivered_records: int = 0
    last_delivered_at: float | None = None
    dead: int = 0
    oldest_dead_seconds: float | None = None
    """Since its oldest dead letter died; None: it has none."""
    expired: int = 0
    """Messages that were too old to be sent, ever; as dead letters they count in `dead` too."""
    superseded: int = 0
    """Messages whose place a newer one took (`delivery.latest_by`), ever."""
    unmoved_files: int = 0
    """Files that are dealt with and cannot be moved to `done` or `failed` now; without a daemon: that lie
    there, since nobody moves them."""
    unmoved: tuple[UnmovedFile, ...] = ()
    """The first few of them."""
    spool_limit: LimitStatus | None = None
    """Only while the daemon runs, which knows it; None: the job has none of its own."""
    paused: tuple[PauseStatus, ...] = ()
    """By a person; through its connections only while the daemon runs, which knows them."""
    body_limit_bytes: int | None = None
    """Its target refused larger bodies (413): no larger ones are made for now."""
    quarantined: str = ""
    """Why its runs are not started any more until its file changes; "" when they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionStatus:
    """A connection and its session. Never a token."""

    name: str
    session: str = ""
    """`signed in`, `refreshing`, `not signed in`, `blocked`; "" when it needs none."""
    generation: int = 0
    expires_at: float | None = None
    refreshes: int = 0
    logins: int = 0
    failures: int = 0
    last_error: str = ""
    hint: str = ""
    """What to do about the last error."""
    next_try_at: float | None = None
    renewal_at: float | None = None
    """When the token is renewed by itself."""
    stored: bool = False
    """Whether a pair rests in the state, for the next start."""
    in_flight: int = 0
    paused_until_at: float | None = None
    """The target asked for silence (Retry-After, RateLimit)."""
    failing_since_at: float | None = None
    paused: tuple[PauseStatus, ...] = ()
    """By a person."""
    pacing: PacingStatus = field(default_factory=PacingStatus)
    tls_verified: bool = True
    """False: the target's certificate is not checked (`tls.verify: false`)."""
    certificate_ends_at: float | None = None
    """Of the certificate that we show; None: there is none."""
    tls_trouble: str = ""
    """Why the TLS files as they are now are not in use; "" when they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpoolStatus:
    """The database."""

    bytes: int = 0
    max_bytes: int = 0
    messages: int = 0
    """Of all jobs, held ones too."""
    max_messages: int | None = None
    used_ratio: float = 0.0
    """1.0 and above: it is full, and collecting waits; 0 without a daemon."""
    recovered: bool = False
    """It was damaged, was set aside, and what could be read of it was saved."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """All of it, at one moment."""

    version: str
    taken_at: float
    state: str
    """The state folder."""
    started_at: float | None = None
    """None: no daemon runs; the rest is what it left."""
    config: ConfigStatus = field(default_factory=ConfigStatus)
    spool: SpoolStatus = SpoolStatus()
    jobs: tuple[JobStatus, ...] = ()
    connections: tuple[ConnectionStatus, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """Observations in buckets, not yet summed up; `counts` has one more entry than `bounds` (+Inf)."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """A snapshot and what is counted since the start: all that the metrics page shows."""

    snapshot: Snapshot
    attempts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(job, outcome) → attempts."""
    request_seconds: Mapping[str, Histogram] = field(default_factory=dict)
    """Job → durations of its attempts."""
    splits: Mapping[str, int] = field(default_factory=dict)
    """Job → messages that were taken apart, since they were refused."""
    runs: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(job, state) → runs that ended so."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Job → occurrences that did not run."""
    longest_stall: float = 0.0
    """Seconds the event loop stood still."""


# Kind of wait (as the lane stored it) → how its sentence begins; the reason follows.
_LEADS = {
    "retry": "target answered ",
    "network": "no answer from the target: ",
    "reply": "the answer does not say what became of each record: ",
    "refused": "the target refuses it: ",
    "misdirected": "the target does not take it at this address or from us: ",
    "unauthorized": "the target does not accept a fresh token: ",
    "session": "not signed in: ",
    "error": "a fault of push-agent, the log says more: ",
}


def explain(lane: LaneStatus, *, zone: tzinfo | None = None) -> str:
    """`waiting: target answered 503 Service Unavailable, 4th try at 12:03:10`.

    Times are of the day in `zone` (None: the machine's), with the date when it is another day than
    the one the wait began on.
    """
    reason = lane.reason or "no reason was given"
    lead = _LEADS.get(lane.kind, "")
    if lead.rstrip(": ") in reason:
        lead = ""
    text = f"waiting: {lead}{reason}"
    if lane.until_at is None:
        return f"{text}, since {_clock(lane.since_at, None, zone)}"
    at = _clock(lane.until_at, lane.since_at, zone)
    if lane.kind == "paused":
        return f"{text}, until {at}"
    if lane.attempts:
        return f"{text}, {ordinal(lane.attempts + 1)} try at {at}"
    return f"{text}, next try at {at}"


def to_json(snapshot: Snapshot) -> dict[str, JsonValue]:
    """The shape of `push-agent status --output json` and of `/status`: field names as in the classes."""
    value = _json(dataclasses.asdict(snapshot))
    assert isinstance(value, dict)
    return value


def _json(value: object, key: str = "") -> JsonValue:
    if isinstance(value, dict):
        return {str(name): _json(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if isinstance(value, int | float) and key.endswith("_at"):
        return rfc3339(value)
    assert value is None or isinstance(value, bool | int | float | str)
    return value


def _clock(seconds: float, near: float | None, zone: tzinfo | None) -> str:
    moment = datetime.fromtimestamp(seconds, UTC).astimezone(zone)
    if near is not None and datetime.fromtimestamp(near, UTC).astimezone(zone).date() == moment.date():
        return f"{moment:%H:%M:%S}"
    return f"{moment:%Y-%m-%d %H:%M:%S}"
