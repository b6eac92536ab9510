"""How a snapshot is put together: what the spool holds, and what the daemon knows beside it.

Reader (read-only, also without a daemon) ──┐
Live (only in the daemon) ──────────────────┴──▶ Snapshot
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from agent import __version__
from agent.config.model import Job, Schedule
from agent.connection_status import connection_status, stored_connection
from agent.message import lane_number
from agent.spool import BackfillRow, JobOverview, LaneWait, Reader, RunRow
from agent.standing import by_name, filled, left_lying, paused_job, paused_of
from agent.status import (
    JobStatus,
    LaneStatus,
    RunStatus,
    Snapshot,
    SpoolStatus,
    explain,
)
from agent.status_parts import BackfillStatus, ConfigStatus, LimitStatus
from agent.unmoved import UnmovedFile

if TYPE_CHECKING:
    from agent.connections import OpenConnection

_FAILURE_SHOWN = 86_400.0  # seconds; the run after a bad file is a good one, and must not hide what was wrong
_UNMOVED_SHOWN = 5
DATABASES = ("state.db", "state.db-wal")


@dataclass(frozen=True, kw_only=True, slots=True)
class Live:
    """What only the daemon knows."""

    started_at: float
    config: ConfigStatus
    jobs: Mapping[str, Job]
    next_due: Callable[[str], float | None]
    connections: Mapping[str, OpenConnection]
    collecting: Mapping[str, str] = field(default_factory=dict)
    quarantined: Mapping[str, str] = field(default_factory=dict)
    waits: tuple[LaneWait, ...] = ()
    unmoved: Callable[[str], tuple[UnmovedFile, ...]] = lambda _: ()
    """The files of a job that cannot be moved now."""
    used_bytes: int = 0
    max_bytes: int = 0
    max_messages: int | None = None
    recovered: bool = False


def survey(state: Path, now: float, live: Live | None = None) -> Snapshot:
    """Blocking, and for a thread. Raises StateError when the state cannot be read."""
    with Reader.open(state) as reader:
        overviews = {one.job: one for one in reader.overview()}
        rows = {row.connection: row for row in reader.sessions()}
        marks = {mark.job: mark.done for mark in reader.window_marks()}
        backfills = reader.backfills()
        paused = by_name(reader.pauses())
        fits = reader.fits()
        unmoved = left_lying(reader.settled_files()) if live is None else {}
    messages = sum(one.waiting + one.held for one in overviews.values())
    names = sorted(
        {
            *overviews,
            *unmoved,
            *(live.jobs if live else ()),
            *(name for kind, name in paused if kind == "job"),
        }
    )
    if live is None:
        connections = tuple(
            replace(stored_connection(row, now), paused=paused_of(paused, "connection", row.connection))
            for row in rows.values()
        )
        spool = SpoolStatus(bytes=sum(_size(state / name) for name in DATABASES))
    else:
        connections = tuple(
            replace(connection_status(one), paused=paused_of(paused, "connection", name))
            for name, one in live.connections.items()
        )
        spool = _spool(live)
    return Snapshot(
        version=__version__,
        taken_at=now,
        state=str(state),
        started_at=live.started_at if live else None,
        config=live.config if live else ConfigStatus(),
        spool=replace(spool, messages=messages, used_ratio=filled(spool, messages)),
        jobs=tuple(
            replace(
                _job(name, overviews.get(name), now, live, unmoved.get(name, ())),
                windows_done_at=marks.get(name),
                body_limit_bytes=fits[name].size if name in fits else None,
                backfills=tuple(_backfill(row) for row in backfills if row.job == name),
                paused=paused_job(name, paused, live.jobs.get(name) if live else None),
            )
            for name in names
        ),
        connections=connections,
    )


def _spool(live: Live) -> SpoolStatus:
    return SpoolStatus(
        bytes=live.used_bytes,
        max_bytes=live.max_bytes,
        max_messages=live.max_messages,
        recovered=live.recovered,
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _job(
    name: str,
    stored: JobOverview | None,
    now: float,
    live: Live | None,
    lying: tuple[UnmovedFile, ...],
) -> JobStatus:
    job = live.jobs.get(name) if live else None
    unmoved = live.unmoved(name) if live else lying
    base = JobStatus(
        name=name,
        file=job.file if job else "",
        schedule=" or ".join(describe(schedule) for schedule in job.schedules) if job else "",
        next_due_at=live.next_due(name) if live and job else None,
        collecting=live.collecting.get(name, "") if live else "",
        unmoved_files=len(unmoved),
        unmoved=unmoved[:_UNMOVED_SHOWN],
        quarantined=live.quarantined.get(name, "") if live else "",
    )
    if job is not None and job.spool:
        messages, size = (
            (stored.waiting + stored.held, stored.waiting_bytes + stored.held_bytes) if stored else (0, 0)
        )
        base = replace(base, spool_limit=LimitStatus.of(job.spool, messages, size))
    if stored is None:
        return base
    waits = [wait for wait in live.waits if wait.job == name] if live else stored.waits
    receipt, failed = stored.last_receipt, stored.last_failed
    recent = failed is not None and now - (failed.ended_at or failed.due) < _FAILURE_SHOWN
    return replace(
        base,
        last_run=_run(stored.last_run) if stored.last_run else None,
        last_failed_run=_run(failed) if failed is not None and recent else None,
        waiting_messages=stored.waiting,
        waiting_records=stored.waiting_records,
        waiting_bytes=stored.waiting_bytes,
        held_messages=stored.held,
        oldest_waiting_seconds=None if stored.oldest_at is None else max(0.0, now - stored.oldest_at),
        lanes=tuple(lane_status(wait) for wait in waits),
        delivered_messages=stored.delivered,
        delivered_records=stored.delivered_records,
        last_delivered_at=receipt.delivered_at if receipt else None,
        dead=stored.dead,
        oldest_dead_seconds=None if stored.oldest_dead_at is None else max(0.0, now - stored.oldest_dead_at),
        expired=stored.expired,
        superseded=stored.superseded,
    )


def _run(row: RunRow) -> RunStatus:
    return RunStatus(
        run=row.id,
        due_at=row.due,
        state=row.state,
        reason=row.reason,
        trigger=row.trigger,
        records=row.records,
        messages=row.messages,
        ended_at=row.ended_at,
        since_at=row.since,
        until_at=row.until,
        backfill=row.backfill,
    )


def _backfill(row: BackfillRow) -> BackfillStatus:
    return BackfillStatus(
        id=row.id,
        since_at=row.since,
        until_at=row.until,
        step=row.step,
        state=row.state,
        reason=row.reason,
        done_at=row.done,
        windows=row.windows,
        records=row.records,
        messages=row.messages,
    )


def lane_status(wait: LaneWait) -> LaneStatus:
    """Why a lane waits, with the sentence for it."""
    lane = LaneStatus(
        lane=lane_number(wait.lane),
        kind=wait.kind,
        reason=wait.reason,
        since_at=wait.since,
        until_at=wait.until,
        attempts=wait.attempts,
    )
    return replace(lane, why=explain(lane))


def describe(schedule: Schedule) -> str:
    """In the user's words: `every 30s`, `cron "0 5 * * 1-5" (Europe/Amsterdam)`, `watch`."""
    words = []
    if schedule.every is not None:
        words.append(f"every {_duration(schedule.every)}")
    if schedule.cron is not None:
        words.append(f'cron "{schedule.cron}" ({schedule.timezone})')
    if schedule.at:
        words.append(f"at {', '.join(schedule.at)} ({schedule.timezone})")
    if schedule.watch:
        words.append("watch")
    return " + ".join(words)


def _duration(span: timedelta) -> str:
    seconds = span.total_seconds()
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:g}s"
