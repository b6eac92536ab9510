"""What the log says of reloads: once per change and once per problem, however often the same is found."""

from __future__ import annotations

from agent.errors import Problem
from agent.logs import get_log
from agent.reload.change import Change

log = get_log("reload")


class Telling:
    """Remembers what it has said."""

    def __init__(self) -> None:
        self._problems: frozenset[Problem] = frozenset()
        self._later: tuple[str, ...] = ()
        self._failing = ""

    def reloaded(self, change: Change, reason: str) -> None:
        """What the load changed."""
        problems = frozenset(change.rejected)
        for problem in change.rejected:
            if problem not in self._problems:
                log.warning("rejected", problem=str(problem))
        if change.restart and change.restart != self._later:
            log.warning("takes effect after a restart", settings=", ".join(change.restart))
        if not change.is_empty or problems != self._problems or reason == "start":
            log.info("reloaded", change=str(change), reason=reason)
        self._problems, self._later = problems, change.restart

    def failed(self, reason: str) -> None:
        """Why the last reload failed; "": it did not."""
        if reason and reason != self._failing:
            log.warning("the reload failed, all goes on as it was", reason=reason)
        self._failing = reason
