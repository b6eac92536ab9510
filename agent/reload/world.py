"""What reload needs of the rest: a world to change, and a memory."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from agent.config.model import Job, Plan
from agent.errors import Problem
from agent.reload.change import Change
from agent.spool.values import ConfigRow


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRejected:
    """A job that cannot be prepared; the others can."""

    job: str
    problem: Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """All that a swap needs. `parts` is the world's own: opened connections, routes, whatever it takes."""

    plan: Plan
    draining: Mapping[str, Job] = field(default_factory=dict)
    """Jobs that are gone from the folder and still have messages in the spool."""
    rejected: tuple[JobRejected, ...] = ()
    """Not empty: the world has let go of all it opened, and is asked again without these."""
    parts: object = None


class World(Protocol):
    """What runs by the plan. The daemon is one."""

    async def prepare(self, plan: Plan, draining: Mapping[str, Job], change: Change) -> Prepared:
        """Everything that can fail, beside what runs. May raise AgentError: then nothing changes."""

    def swap(self, prepared: Prepared) -> None:
        """From the old plan to the new one. Cannot fail and waits for nothing."""


class Memory(Protocol):
    """Where the last good texts survive a restart; the spool is one."""

    def config_rows(self) -> Awaitable[list[ConfigRow]]:
        """All of them."""

    def keep_config(self, row: ConfigRow) -> Awaitable[None]:
        """Remember, durably."""

    def drop_config(self, path: str) -> Awaitable[None]:
        """Forget."""

    def lanes(self) -> Awaitable[list[tuple[str, int]]]:
        """(job, lane) that have messages."""
