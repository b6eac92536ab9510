"""Figures as markdown."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.result import Race


def machine():
    """The machine, the Python, the date."""
    text = Path("/proc/cpuinfo").read_text()
    model = next(
        (line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")), "?"
    )
    return f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores {model}, Python {platform.python_version()}"


def markdown(results, head):
    """All of it; `head` says how it was measured."""
    return "\n".join([head, "", *(line for one in results for line in _section(one))])


def _section(result):
    yield f"### {result.title}"
    yield ""
    if isinstance(result, Race):
        yield from _race(result)
    else:
        yield "| | measured | goal |"
        yield "|---|---:|---|"
        for row in result.rows:
            yield "| " + " | ".join(row) + " |"
        yield ""
    if result.note:
        yield from (result.note, "")


def _race(race):
    if race.goal:
        yield from (f"Goal: {race.goal}.", "")
    stalls = any(one.stall_ms is not None for each in race.figures.values() for one in each)
    yield f"| | {race.unit} (median) | min … max | ratio to {race.base}, by round | peak MB |" + (
        " longest stall, ms |" if stalls else ""
    )
    yield "|---|---:|---:|---|---:|" + ("---:|" if stalls else "")
    for name, figures in race.figures.items():
        rates = [one.rate for one in figures]
        cells = [
            name,
            f"{race.median(name):,.0f}",
            f"{min(rates):,.0f} … {max(rates):,.0f}",
            ", ".join(f"{ratio:.2f}" for ratio in race.ratios(name)),
            _most(one.peak_mb for one in figures),
        ]
        yield (
            "| " + " | ".join([*cells, *([_most(one.stall_ms for one in figures)] if stalls else [])]) + " |"
        )
    for name, why in race.missing.items():
        yield f"| {name} | not measured: {' '.join(why.split())[:200].replace('|', '/')} |" + " |" * (
            4 if stalls else 3
        )
    yield ""


def _most(values):
    found = [value for value in values if value is not None]
    return f"{max(found):.0f}" if found else ""
