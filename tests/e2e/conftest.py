from __future__ import annotations

from itertools import count

import pytest

from tests.support.stage import Stage
from tests.support.world import SandboxProcess, World

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def platform(tmp_path_factory):
    """One sandbox for all tests; each begins with its counts at zero and without faults."""
    sandbox = SandboxProcess(tmp_path_factory.mktemp("platform"))
    yield sandbox
    sandbox.close()


@pytest.fixture
def sandbox(platform):
    platform.no_faults()
    platform.reset()
    yield platform
    platform.no_faults()


@pytest.fixture
def world(tmp_path, sandbox):
    """A world whose daemon the test starts itself."""
    one = World(tmp_path / "world", sandbox.url)
    (one.config / "connections/platform.yaml").unlink()
    yield one
    one.close()


@pytest.fixture
def scene(world, sandbox):
    """A scene in a world of its own, not yet started."""
    return Stage(world, sandbox, f"scene{next(_NUMBERS)}")


@pytest.fixture(scope="module")
def living(tmp_path_factory, platform):
    """One daemon that lives through all tests of a module and takes each scene by a reload.

    Scenes leave their config behind: to take it away would make the next reload wait, in case somebody is
    in the middle of saving a file.
    """
    one = World(tmp_path_factory.mktemp("living") / "world", platform.url)
    (one.config / "connections/platform.yaml").unlink()
    one.start()
    yield one
    one.stop()


@pytest.fixture
def stage(living, sandbox):
    """A scene in the daemon that lives already."""
    return Stage(living, sandbox, f"stage{next(_NUMBERS)}")
