"""What somebody asks for when a job or a connection is to pause, and what is said about it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from agent.config.model import HttpSource, Job, Plan, SqlSource
from agent.errors import AgentError, UsageError
from agent.message import JsonValue
from agent.phrases import rfc3339
from agent.spool import PauseRow

Kind: TypeAlias = Literal["job", "connection"]
Part: TypeAlias = Literal["collecting", "delivering"]

PARTS: tuple[Part, ...] = ("collecting", "delivering")
TOLD = 20
"""Names that are told at once; of more only their number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What somebody asks for."""

    jobs: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    everything: bool = False
    """All jobs; when it is about resuming, all that is paused."""
    parts: tuple[Part, ...] = PARTS
    reason: str = ""
    seconds: float | None = None
    """How long; None: until it is resumed."""


def read_over(job: Job) -> str | None:
    """The connection that its source is read over; None for files and programs."""
    return job.source.connection if isinstance(job.source, HttpSource | SqlSource) else None


def named(
    wish: Wish, plan: Plan, draining: Mapping[str, Job], also: Iterable[PauseRow] = ()
) -> list[tuple[Kind, str]]:
    """What is meant; `also` are paused, and so known. Raises UsageError for an unknown name."""
    also = list(also)
    jobs = {*plan.jobs, *draining, *(row.name for row in also if row.kind == "job")}
    connections = {*plan.connections, *plan.databases}
    connections |= {row.name for row in also if row.kind == "connection"}
    for name in wish.jobs:
        if name not in jobs:
            raise _unknown("job", name, jobs, also_a="connection" if name in connections else "")
    for name in wish.connections:
        if name not in connections:
            raise _unknown("connection", name, connections, also_a="job" if name in jobs else "")
    wanted = (*wish.jobs, *(sorted(plan.jobs) if wish.everything else ()))
    found: list[tuple[Kind, str]] = [("job", name) for name in dict.fromkeys(wanted)]
    return found + [("connection", name) for name in dict.fromkeys(wish.connections)]


def jobs_meant(wish: Wish, plan: Plan, draining: Mapping[str, Job]) -> tuple[str, ...]:
    """The jobs that are named, that deliver over connections that are named, or all. Raises UsageError."""
    meant = named(wish, plan, draining)
    jobs = [name for kind, name in meant if kind == "job"]
    over = {name for kind, name in meant if kind == "connection"}
    everyone = {**draining, **plan.jobs}
    jobs += [name for name, job in everyone.items() if wish.everything or job.target.connection in over]
    return tuple(dict.fromkeys(jobs))


def as_json(row: PauseRow) -> dict[str, JsonValue]:
    """As `status` shows it."""
    return {
        "kind": row.kind,
        "name": row.name,
        "part": row.part,
        "reason": row.reason,
        "since_at": rfc3339(row.since),
        "until_at": None if row.until is None else rfc3339(row.until),
    }


def _unknown(kind: Kind, name: str, known: Collection[str], *, also_a: str) -> UsageError:
    """There is no such name; perhaps another one was meant, or the other kind (`also_a`)."""
    if also_a:
        words = f"--connection {name}" if also_a == "connection" else name
        return UsageError(f"there is no {kind} {name!r}", hint=f"there is a {also_a} of that name: {words}")
    near = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f"did you mean {near[0]}?" if near else f"the {kind}s there are: {_some(known)}"
    return UsageError(f"there is no {kind} {name!r}", hint=hint)


def _some(known: Collection[str]) -> str:
    names = sorted(known)[:TOLD]
    return ", ".join(names) + (", …" if len(known) > len(names) else "") if names else "none"


def wish_of(arguments: Mapping[str, JsonValue]) -> Wish:
    """Raises AgentError when it is none."""
    parts = tuple(part for part in PARTS if part in _texts(arguments.get("parts"), PARTS))
    reason, seconds = arguments.get("reason"), arguments.get("seconds")
    if not parts or not isinstance(reason or "", str) or not isinstance(seconds or 0.0, int | float):
        raise AgentError("pause wants parts (collecting, delivering), a reason and seconds")
    return Wish(
        jobs=_texts(arguments.get("jobs"), ()),
        connections=_texts(arguments.get("connections"), ()),
        everything=arguments.get("everything") is True,
        parts=parts,
        reason=reason if isinstance(reason, str) else "",
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
    )


def _texts(value: JsonValue, default: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else default
