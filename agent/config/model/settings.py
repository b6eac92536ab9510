"""The daemon's own settings (`agent.yaml`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from agent.state_path import DEFAULT_STATE


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentSettings:
    """The daemon's own settings (`agent.yaml`); every one has a default."""

    state: Path = DEFAULT_STATE
    database: str = "sqlite"
    listen: tuple[str, int] | None = ("127.0.0.1", 9310)
    """Host and port of the health, metrics and status pages; None for none."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = "auto"
    spool_max_bytes: int = 10_000_000_000
    spool_max_messages: int | None = None
    """None: as many as fit."""
    receipts_keep: timedelta = timedelta(days=7)
    receipts_max_bytes: int | None = None
    """None: they may take what they need, and a quarter of a spool that is full."""
    collect_memory: int = 256_000_000
    """Bytes that DuckDB may use for one run."""
    collect_threads: int = 2
    collect_concurrency: int = 2
    """Runs at the same moment."""
    commands_allow: tuple[str, ...] = ()
    """The programs that sources of type command may run, with their whole paths."""
