"""What the collector has done since it started, counted and said: once when it fails, once when it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.collect.result import RunResult
from agent.collect.wanted import Wanted
from agent.config.model import Job
from agent.logs import get_log
from agent.spool import Spool

log = get_log("collect")


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectSnapshot:
    """What the collector does, and has done since it started."""

    collecting: Mapping[str, str] = field(default_factory=dict)
    """Job → what its run does now."""
    quarantined: Mapping[str, str] = field(default_factory=dict)
    """Job → why it is not started any more."""
    runs: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(job, state) → runs."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Job → occurrences that did not run."""


class Tally:
    """Of all jobs. Used in the event loop."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._failing: dict[str, str] = {}
        self.runs: Counter[tuple[str, str]] = Counter()
        self.skipped: Counter[str] = Counter()

    def note(self, job: Job, result: RunResult) -> None:
        """Count it; say a failure once until it changes, and its end."""
        if result.state != "skipped":
            self.runs[job.name, result.state] += 1
        if result.state == "failed":
            if self._failing.get(job.name) != result.reason:
                log.warning("a run failed", job=job.name, reason=result.reason)
            self._failing[job.name] = result.reason
        elif result.state == "done" and result.messages and self._failing.pop(job.name, None) is not None:
            log.info("runs succeed again", job=job.name)

    def skip(self, wanted: Wanted, reason: str) -> None:
        """An occurrence that does not run, and why."""
        self.skipped[wanted.job] += 1
        log.debug("a run is skipped", job=wanted.job, reason=reason)
        self._spool.skip(wanted.job, wanted.due, wanted.trigger, reason)
