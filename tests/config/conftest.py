from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.config_on_disk import ConfigFolder


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigFolder:
    """An empty config folder; it is the current folder, so that messages name `jobs/x.yaml`."""
    monkeypatch.chdir(tmp_path)
    return ConfigFolder(Path())
