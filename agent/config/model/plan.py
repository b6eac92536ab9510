"""All that is valid in a config folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.config.model.connection import Connection
from agent.config.model.database import Database
from agent.config.model.job import Job
from agent.config.model.settings import AgentSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All that is valid in a config folder, at one moment."""

    settings: AgentSettings = field(default_factory=AgentSettings)
    connections: Mapping[str, Connection] = field(default_factory=dict)
    databases: Mapping[str, Database] = field(default_factory=dict)
    """Connections of `type: database`; no name is in both."""
    jobs: Mapping[str, Job] = field(default_factory=dict)
