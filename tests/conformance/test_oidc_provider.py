"""oidc-provider on Node: a consumed refresh token that comes again revokes the grant and all that it gave."""

from __future__ import annotations

import pytest

from tests.conformance.suite import Conformance
from tests.conformance.suite_daemon import WithTheDaemon


@pytest.fixture
def server(oidc_provider):
    return oidc_provider


class TestOidcProvider(Conformance, WithTheDaemon):
    """All of them."""
