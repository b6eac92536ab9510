"""What follows from a load, before anything is prepared. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from agent.config.load import Loaded
from agent.config.model import Connection, Job, Plan
from agent.errors import Problem
from agent.reload.change import later


def settings_trouble(loaded: Loaded) -> tuple[Problem, ...]:
    """What is wrong with agent.yaml, when there is no text of it to go by."""
    names = {"agent.yaml", "agent.yml"}
    if any(name in loaded.accepted or name in loaded.kept for name in names):
        return ()
    return tuple(each for each in loaded.errors if Path(each.file).name in names)


def with_lent(plan: Plan, drain: Mapping[str, Job], lent: Mapping[str, Connection]) -> Plan:
    """The connections that only draining jobs still need stay in the plan."""
    needed = {job.target.connection for job in [*drain.values(), *plan.jobs.values()]}
    missing = {name: lent[name] for name in sorted(needed - set(plan.connections)) if name in lent}
    return replace(plan, connections={**plan.connections, **missing}) if missing else plan


def later_settings(old: Plan, loaded: Loaded) -> tuple[str, ...]:
    """Settings that take effect after a restart."""
    return () if settings_trouble(loaded) else later(old, loaded.plan)
