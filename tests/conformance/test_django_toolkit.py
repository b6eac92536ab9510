"""django-oauth-toolkit: rotation and reuse protection on, tokens hashed at rest, an SQLite database."""

from __future__ import annotations

import pytest

from tests.conformance.suite import Conformance
from tests.conformance.suite_daemon import WithTheDaemon


@pytest.fixture
def server(django_toolkit):
    return django_toolkit


class TestDjangoOAuthToolkit(Conformance, WithTheDaemon):
    """All of them."""
