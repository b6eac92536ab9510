"""A dry-run names the header that a sign-in would add, and nothing of what it would say."""

from __future__ import annotations

import pytest

from agent.preview import masked_signature
from tests.support.config_on_disk import ConfigFolder

URL = "url: https://a.example.com/t"


@pytest.mark.parametrize(
    ("auth", "headers"),
    [
        ("{type: none}", {}),
        ("{type: bearer, token: {secret: t}}", {"Authorization": "Bearer ********"}),
        ("{type: header, name: X-Key, value: {secret: t}}", {"X-Key": "********"}),
        (f"{{type: client_credentials, {URL}, client: {{id: c}}}}", {"Authorization": "Bearer ********"}),
        (
            f"{{type: refresh_token, {URL}, refresh_token: {{secret: r}}, header: {{name: X-T, prefix: ''}}}}",
            {"X-T": "********"},
        ),
        ("{type: token_command, command: [/bin/t], header: {prefix: Token}}", {"Authorization": "Token ********"}),
    ],
)  # fmt: skip
def test_the_header_of_each_sign_in_is_shown_masked(tmp_path, auth, headers):
    config = ConfigFolder(tmp_path)
    config.put("connections/c.yaml", f"connection: c\ntype: http\nauth: {auth}\n")
    loaded = config.load()
    assert not loaded.problems
    assert masked_signature(loaded.plan.connections["c"]) == headers
