"""What a workload gives: figures by competitor, and what to say about them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measurement of one competitor."""

    rate: float
    """Records or requests a second."""
    peak_mb: float | None = None
    stall_ms: float | None = None


@dataclass(kw_only=True)
class Race:
    """Competitors side by side: in each round each of them runs once, one after the other."""

    title: str
    unit: str
    base: str
    """The competitor to whom the ratios are."""
    note: str = ""
    goal: str = ""
    figures: dict[str, list[Figure]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Competitors that could not be measured, and why."""

    def add(self, name, figure):
        self.figures.setdefault(name, []).append(figure)

    def median(self, name):
        return statistics.median(one.rate for one in self.figures[name])

    def ratios(self, name):
        """To the base of the same round; a competitor that ran less often, to the first rounds."""
        base = self.figures.get(self.base, [])
        pairs = zip(self.figures[name], base, strict=False)
        return [one.rate / other.rate for one, other in pairs]


@dataclass(kw_only=True)
class Facts:
    """Figures that race with nobody: what, measured, goal."""

    title: str
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    note: str = ""
