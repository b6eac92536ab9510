"""Jobs whose runs died with the process three times in a row are not started until their text changes.

Without this, one file that kills the process (memory, a fault in a parser) would stop every job for ever.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.config.model import Job, RecordFiles, Source, SqlSource, log_of, uses_window
from agent.logs import get_log
from agent.spool import Spool

log = get_log("collect")

# Runs in a row that died with the process before a job is suspected of killing it.
_STRIKES = 3


def goes_on(source: Source) -> bool:
    """Whether a run begins behind what the last one spooled, however that ended.

    Then a run that got further before it died is not suspected: a machine that is switched off again and
    again must not lock up a job that takes long.
    """
    if isinstance(source, SqlSource):
        return bool(source.cursor) and not uses_window(source) and source.only is None
    return isinstance(source, RecordFiles) and log_of(source) is None


class Quarantine:
    """Remembers which text of which job may run."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._asked: dict[str, str] = {}
        self._reasons: dict[str, tuple[str, str]] = {}

    async def reason(self, job: Job) -> str:
        """Why the job must not start; "" when it may.

        The spool is asked once for each text: a run can only die with this process.
        """
        if self._asked.get(job.name) != job.sha256:
            strikes = await self._spool.interrupted_runs(job.name, job.sha256, goes_on=goes_on(job.source))
            self._asked[job.name] = job.sha256
            self._reasons.pop(job.name, None)
            if strikes >= _STRIKES:
                self._lock_up(job, strikes)
        return self._reasons[job.name][1] if job.name in self._reasons else ""

    def _lock_up(self, job: Job, strikes: int) -> None:
        what = f"quarantined: the agent died in each of its last {strikes} runs"
        self._reasons[job.name] = (job.sha256, f"{what}; change {job.file} to try again")
        log.error("a job is quarantined", job=job.name, interrupted_runs=strikes, file=job.file)

    def keep(self, jobs: Mapping[str, Job]) -> None:
        """Forget jobs that are gone or have another text."""
        self._reasons = {
            name: (sha256, reason)
            for name, (sha256, reason) in self._reasons.items()
            if name in jobs and jobs[name].sha256 == sha256
        }

    def reasons(self) -> dict[str, str]:
        """Job → why it is locked up."""
        return {name: reason for name, (_, reason) in self._reasons.items()}
