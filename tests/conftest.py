from __future__ import annotations

from pathlib import Path

import pytest

from agent.logs import blotter

LONG = ("faults", "systemd", "databases", "e2e", "conformance", "cli")
"""Rooms with tests that take seconds: real daemons and servers."""


def pytest_collection_modifyitems(items):
    """Long ones first, else in the order of chance: no worker ends with one while the others are done."""
    tests = Path(__file__).parent
    rank = {tests / room: number for number, room in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.parent, len(LONG)))


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
