"""A second file system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def another_file_system(place: Path) -> Path:
    """A folder that is not on the file system of `place`; skips, or fails in CI, where there is none."""
    for folder in (Path("/dev/shm"), Path("/var/tmp"), ROOT / ".pytest_cache"):
        if os.access(folder, os.W_OK) and folder.stat().st_dev != place.stat().st_dev:
            return folder
    assert os.environ.get("CI") != "true", "CI has two file systems"
    pytest.skip("there is no second file system here")
