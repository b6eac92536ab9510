from __future__ import annotations

import pytest

from agent.logs import blotter


@pytest.fixture(autouse=True)
def nothing_learned_by_others():
    """What one test's secrets were must not be blotted out of what the next one reads."""
    yield
    blotter.forget()
