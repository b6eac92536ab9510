"""All jobs that share one timing, and what is next for them.

Ten thousand jobs of `every: 30s` are one group with one timer. Jitter, the rule for missed
occurrences and the like are each job's own.

    ──────●────────●────────●───────────●────▶ wall clock
        last     (dealt with up to here) next
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.config.model import Schedule
from agent.occurrences import Rule
from agent.schedule.missed import ADJUSTMENT, Missed, Verdict, judge


@dataclass(slots=True, eq=False)
class Group:
    """The state of one timing. All moments are seconds since 1970."""

    rule: Rule
    last: float
    """Every occurrence up to here has been dealt with."""
    next: float | None
    members: dict[str, Schedule] = field(default_factory=dict)
    """Job → its own schedule."""
    stepped: float = 0.0
    """By how much the clock was set forward since `last`."""

    @classmethod
    def of(cls, rule: Rule, now: float) -> Group:
        """A group that starts now."""
        return cls(rule=rule, last=now, next=rule.after(now))

    def upcoming(self) -> float | None:
        """When it wants to be looked at."""
        return self.next

    def take(self, now: float) -> dict[str, Verdict]:
        """What each job has to do about the occurrences up to `now`; empty when nothing is due."""
        due = self.next
        if due is None or due > now:
            return {}
        following = self.rule.after(due)
        start, stepped = self.last, self.stepped
        self.last, self.stepped = now, 0.0
        if (following is None or following > now) and not stepped and now - due <= _PROMPT:
            self.next = following
            prompt = Verdict(run=[due])
            return dict.fromkeys(self.members, prompt)
        self.next = self.rule.after(now)
        return {job: self._judge(schedule, start, now, stepped) for job, schedule in self.members.items()}

    def _judge(self, schedule: Schedule, start: float, now: float, stepped: float) -> Verdict:
        if not stepped:
            return judge(self.rule, start, now, schedule.missed, "the machine slept or was busy")
        # Nobody asked for a burst of runs by setting the clock: at most the latest one.
        rule: Missed = "none" if stepped > ADJUSTMENT or schedule.missed == "none" else "latest"
        return judge(self.rule, start, now, rule, f"the clock was set forward by {stepped:.0f} s")

    def step(self, seconds: float, now: float) -> None:
        """The wall clock was set by `seconds`: plan anew, without a burst and without a freeze."""
        if self.rule.kind == "every" or seconds < -ADJUSTMENT:
            self.last, self.next, self.stepped = now, self.rule.after(now), 0.0
        elif seconds > 0:
            self.stepped += seconds
        # Set back a little: what has run does not run again, and `next` stands as it is.


# Later than this, the rule for missed occurrences is asked: seconds.
_PROMPT = 10.0


def resume_from(rule: Rule, remembered: float, now: float) -> float:
    """Up to where occurrences were dealt with, as a restart finds it; a clock may have been set back."""
    if remembered <= now:
        return remembered
    if rule.kind == "every" or remembered - now > ADJUSTMENT:
        return now
    return remembered
