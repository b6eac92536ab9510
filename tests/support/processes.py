"""Processes that tests start."""

from __future__ import annotations

import os


def unmeasured() -> dict[str, str]:
    """The environment without coverage, which costs half a second a process and what it does once more.

    For one whose end is SIGKILL, whose coverage is lost anyway, and for what other tests measure better.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
