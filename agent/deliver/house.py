"""What all lanes share, and the way that a job's messages go out now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.clock import Clock
from agent.config.model import Delivery
from agent.connections import OpenConnection
from agent.deliver.fits import Fits
from agent.deliver.tally import Tally
from agent.pacing import Door, Random
from agent.request import Route
from agent.spool import PauseRow, Spool
from agent.target import Terms


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Way:
    """How a job's messages go out now. A reload puts another one in its place."""

    route: Route
    delivery: Delivery
    connection: OpenConnection
    terms: Terms
    door: Door
    """The way to its origin behind the connection's gate."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class House:
    """What all lanes share."""

    spool: Spool
    clock: Clock
    random: Random
    tally: Tally
    fits: Fits
    way_of: Callable[[str], Way | None]
    """None: there is none, or the job is paused."""
    held: Callable[[str], PauseRow | None]
    """Why the job is paused; None: it is not."""
    news: Callable[[], None]
    """Called when a lane begins to wait."""
    settled: Callable[[], None]
    """Called when a message of a source file has left the spool: the file may be done with. Cheap."""
