"""Processes that tests start."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def unmeasured() -> dict[str, str]:
    """The environment without coverage, which costs half a second a process and what it does once more.

    For one whose end is SIGKILL, whose coverage is lost anyway, and for what other tests measure better.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def run_to_its_end(*command: str, timeout: float = 50) -> subprocess.CompletedProcess[str]:
    """A process in the project's folder, unmeasured, however it ends: what it said, and its exit code."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env=unmeasured(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
