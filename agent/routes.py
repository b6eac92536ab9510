"""The ways that a plan's jobs go: each job's route, through a connection that is open.

What did not change keeps its route, so that a reload costs what it changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.config.model import Connection, HttpSource, Job, Plan
from agent.connections import OpenConnection
from agent.deliver import RouteEntry
from agent.errors import ConfigError, Problem
from agent.reload import JobRejected
from agent.request import resolve


@dataclass(frozen=True, kw_only=True, slots=True)
class Ways:
    """From the connections that there are to the routes of all jobs."""

    plan: Plan
    current: Mapping[str, OpenConnection]
    """What runs now."""
    opened: Mapping[str, OpenConnection]
    """What takes its place, or is new."""
    unusable: Mapping[str, Problem]
    """Connections that cannot be opened as they are written now."""
    before: Mapping[str, RouteEntry]
    """The routes that were made last."""

    def routes(self, draining: Mapping[str, Job]) -> tuple[dict[str, RouteEntry], list[JobRejected]]:
        """Job → its route, of those that have one; why the others have none."""
        routes: dict[str, RouteEntry] = {}
        rejected: list[JobRejected] = []
        for job in [*self.plan.jobs.values(), *draining.values()]:
            if (problem := self._unready(job)) is None:
                try:
                    routes[job.name] = self._route(job)
                    continue
                except ConfigError as error:
                    problem = error.problems[0]
            rejected.append(JobRejected(job=job.name, problem=problem))
        return routes, rejected

    def _unready(self, job: Job) -> Problem | None:
        """Why one of its connections is not there."""
        if not self.unusable:
            return None
        # what is gone is only delivered
        needed = _needed(job) if job.name in self.plan.jobs else (job.target.connection,)
        return next(
            (self.unusable[each] for each in needed if each in self.unusable and each not in self.current),
            None,
        )

    def _route(self, job: Job) -> RouteEntry:
        name = job.target.connection
        # Where it cannot be opened, all of the one before goes on: no body and no token takes a way
        # that is half the old and half the new one.
        connection = self.current[name].connection if name in self.unusable else self.plan.connections[name]
        through = self.opened.get(name) or self.current[name]
        before = self.before.get(job.name)
        if before is not None and _is_of(before, job, connection, through):
            return before
        return resolve(job, connection), job.delivery, through


def _is_of(entry: RouteEntry, job: Job, connection: Connection, through: OpenConnection) -> bool:
    """Whether it was made of these very objects."""
    route, delivery, opened = entry
    return (
        opened is through
        and delivery is job.delivery
        and route.target is job.target
        and route.connection is connection
    )


def _needed(job: Job) -> tuple[str, ...]:
    """The connections that a job goes through."""
    source = (job.source.connection,) if isinstance(job.source, HttpSource) else ()
    return (job.target.connection, *source)
