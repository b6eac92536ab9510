from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.spool import Spool
from tests.support.collecting import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    spool = Spool.open(tmp_path / "state", max_bytes=1_000_000_000, clock=SystemClock())
    temp = tmp_path / "tmp"
    temp.mkdir()
    yield Place(spool, temp)
    spool.close()


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder
