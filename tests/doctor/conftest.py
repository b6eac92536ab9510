from __future__ import annotations

import time
from pathlib import Path

import pytest

from agent.config.model import Connection, Tls
from agent.doctor.notebook import Notebook
from agent.doctor.places import places_of
from agent.doctor.proxies import via_of
from agent.doctor.visit import Deadlines, Means, Visit
from agent.errors import ConfigError
from agent.tls import ssl_context
from tests.support.auth_world import WHERE
from tests.support.certificates import Authority
from tests.support.clock import FakeClock

PATIENT = Deadlines(dns=30, connect=30, tls=30, http=30)
HASTY = Deadlines(dns=0.3, connect=0.3, tls=0.3, http=0.3)
"""For what never happens anyway."""


class Watching:
    """A screen that remembers what it was told."""

    def __init__(self):
        self.begun = []
        self.steps = []

    def begin(self, title):
        self.begun.append(title)

    def done(self, step):
        self.steps.append(step)


class Doctor:
    """Visits one URL; by name, what each step came to."""

    def __init__(self, resolver=None):
        self.clock = FakeClock(now=time.time())
        self.screen = Watching()
        self.more = {"resolver": resolver} if resolver else {}

    async def visit(self, url, *, tls=None, deadlines=PATIENT, proxy=None, config=Path("/nowhere")):
        connection = Connection(name="p", endpoints={"x": url}, tls=tls or Tls(), proxy=proxy, where=WHERE)
        try:
            context = ssl_context(connection.tls)
        except ConfigError as error:
            context = error
        means = Means(
            clock=self.clock,
            context=context,
            host=connection.tls.host,
            via=via_of(connection, config, self.clock),
            deadlines=deadlines,
            **self.more,
        )
        (place,) = places_of(connection)
        failed = await Visit(place, Notebook(self.screen, self.clock), means).pay()
        verdicts = {step.name: step.verdict for step in self.screen.steps}
        assert [name for name in verdicts if name != "proxy"] == ["dns", "tcp", "tls", "http"]
        return failed, verdicts


@pytest.fixture
def doctor():
    return Doctor()


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)
