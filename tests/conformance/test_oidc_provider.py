"""oidc-provider on Node: a consumed refresh token that comes again revokes the grant and all that it gave."""

from __future__ import annotations

import pytest

from tests.conformance.suite import Conformance


@pytest.fixture
def server(oidc_provider):
    return oidc_provider


class TestOidcProvider(Conformance):
    """All of `suite.py`."""
