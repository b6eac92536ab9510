"""What a run came to, and how it speaks with whoever started it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

from agent.config.model import Job

# Seconds until a job that runs on file events only looks again at what it could not collect.
_TRY_AGAIN = 60.0

RunEnd: TypeAlias = "Literal['done', 'failed', 'stopped', 'skipped']"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """What a run came to."""

    state: RunEnd
    reason: str = ""
    records: int = 0
    messages: int = 0
    look_again_at: float | None = None
    """Wall clock; when a file that was still being written may be complete. None: there is none."""
    settled: bool = False
    """Whether it left files that can be moved away at once (duplicates, bad ones, empty ones)."""
    first_run: int = 0
    last_run: int = 0
    """Their rows in the spool, when there were any: one run, or one after the other."""


def merged(results: Sequence[RunResult]) -> RunResult:
    """What runs one after the other came to; the last one says how they ended."""
    return replace(
        results[-1],
        records=sum(each.records for each in results),
        messages=sum(each.messages for each in results),
        settled=any(each.settled for each in results),
        first_run=next((each.first_run for each in results if each.first_run), 0),
    )


class Hands(Protocol):
    """How a run speaks with whoever started it. Called in the worker thread."""

    def say(self, text: str) -> None:
        """What the run is doing now, for people."""

    def pause(self, seconds: float) -> bool:
        """Wait; True at once when the agent stops."""


def try_again(job: Job, now: float) -> list[float]:
    """When to try again what failed for now: no event of a file tells that its trouble is over."""
    return [now + _TRY_AGAIN] if any(schedule.watch for schedule in job.schedules) else []
