"""What a reload changes. Pure.

1 changed, 11 unchanged, 1 rejected (gps.yaml:14)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import PurePath

from agent.config.model import AgentSettings, Job, Plan
from agent.errors import Problem

# Taken over by a running daemon; all others are read once, at its start.
LIVE_SETTINGS = frozenset({"log_level", "log_format", "spool_max_messages"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """From one plan to the next. The names are those of jobs unless they say otherwise."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    """Connections that were added, changed or removed."""
    settings: tuple[str, ...] = ()
    """Settings of agent.yaml that take effect now."""
    restart: tuple[str, ...] = ()
    """Settings of agent.yaml that take effect after a restart."""
    rejected: tuple[Problem, ...] = ()
    """Errors; the files they are in do not run as they are written."""
    kept: tuple[str, ...] = ()
    """Files that run on their last good text."""

    @property
    def is_empty(self) -> bool:
        """Whether what runs stays what it was."""
        return not (self.added or self.changed or self.removed or self.connections or self.settings)

    def __str__(self) -> str:
        words = [
            f"{len(names)} {word}"
            for word, names in (("added", self.added), ("changed", self.changed), ("removed", self.removed))
            if names
        ]
        words.append(f"{len(self.unchanged)} unchanged")
        if self.connections:
            plural = "s" if len(self.connections) > 1 else ""
            words.append(f"{len(self.connections)} connection{plural} changed")
        places = _places(self.rejected)
        if places:
            words.append(f"{len(places)} rejected ({', '.join(places)})")
        if self.restart:
            words.append(f"after a restart: {', '.join(self.restart)}")
        return ", ".join(words)


def diff(old: Plan, new: Plan, *, problems: Sequence[Problem] = (), kept: Sequence[str] = ()) -> Change:
    """What is different in `new`. A job is changed when the bytes of its file are."""
    both = [name for name in new.jobs if name in old.jobs]
    changed = {name for name in both if not _is_same(old.jobs[name], new.jobs[name])}
    before, after = ({**plan.connections, **plan.databases} for plan in (old, new))
    moved = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    settings = _different(old.settings, new.settings)
    return Change(
        added=tuple(name for name in new.jobs if name not in old.jobs),
        changed=tuple(name for name in both if name in changed),
        removed=tuple(name for name in old.jobs if name not in new.jobs),
        unchanged=tuple(name for name in both if name not in changed),
        connections=tuple(moved),
        settings=tuple(name for name in settings if name in LIVE_SETTINGS),
        restart=later(old, new),
        rejected=tuple(problem for problem in problems if problem.severity == "error"),
        kept=tuple(kept),
    )


def later(old: Plan, new: Plan) -> tuple[str, ...]:
    """Settings that take effect after a restart."""
    return tuple(name for name in _different(old.settings, new.settings) if name not in LIVE_SETTINGS)


def settle_into(old: Plan, new: Plan) -> Plan:
    """`new`, with what did not change as the very objects that run, and settings as they can be now."""
    jobs = {
        name: old.jobs[name] if name in old.jobs and _is_same(old.jobs[name], job) else job
        for name, job in new.jobs.items()
    }
    connections = {
        name: old.connections[name] if old.connections.get(name) == connection else connection
        for name, connection in new.connections.items()
    }
    settings = replace(new.settings, **{name: getattr(old.settings, name) for name in later(old, new)})
    return Plan(settings=settings, connections=connections, databases=new.databases, jobs=jobs)


def _is_same(one: Job, other: Job) -> bool:
    return one is other or one.sha256 == other.sha256


def _different(old: AgentSettings, new: AgentSettings) -> list[str]:
    return [each.name for each in fields(old) if getattr(old, each.name) != getattr(new, each.name)]


def _places(problems: Sequence[Problem]) -> list[str]:
    """`gps.yaml:14`: the first line of each file that is wrong."""
    first: dict[str, int] = {}
    for problem in problems:
        first.setdefault(problem.file, problem.line)
    return [f"{PurePath(file).name}:{line}" if line else PurePath(file).name for file, line in first.items()]
