"""What a run is given to ask for documents with."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from agent.config.model import Connection
from agent.pull.fetch import Fetch


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """Used in the run's thread."""

    fetch: Fetch
    connection: Callable[[str], Connection | None]
    """By its name, as it is now."""
    allowed: Callable[[], Collection[str]]
    """Programs that may run."""
