from __future__ import annotations

import pytest

from agent.logs import blotter


@pytest.fixture(autouse=True)
def nothing_learned_by_others():
    """What one test's secrets were must not be blotted out of what the next one reads."""
    yield
    blotter.forget()


@pytest.fixture(scope="session", autouse=True)
def new_states_are_copies():
    """In this process; daemons and commands of their own make theirs by the migrations."""
    from agent.spool import opening  # noqa: PLC0415 - whoever runs one small room need not wait for it
    from tests.support.copies import Copies  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "upgrade", Copies().upgrade)
        yield


@pytest.fixture
def made_by_migrations(monkeypatch):
    """For tests of how a state comes to be."""
    from agent.spool import migrations, opening  # noqa: PLC0415

    monkeypatch.setattr(opening, "upgrade", migrations.upgrade)
