"""`tls:` and `proxy:` of a connection: what they become, and what they must not be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.config import SecretStore
from agent.config.model import Proxy, SecretRef, Tls, Where
from agent.config.secrets import check_secrets

WHERE = Where(file="x", line=1, column=1, path="")
JOB = """\
job: x
schedule: {every: 30s}
source: {type: csv, path: data/*.csv}
body: {format: json, per: record}
"""


def connection_of(config, text):
    config.put("connections/c.yaml", f"connection: c\ntype: http\nurl: https://api.example.com\n{text}")
    loaded = config.load()
    assert not loaded.errors, loaded.errors
    return loaded.plan.connections["c"]


def test_tls_and_proxy_become_what_was_written(config):
    made = connection_of(config, 'tls: {minimum: "1.3", host: api.example.com, ca: ca.pem}\nproxy: env\n')
    assert made.tls == Tls(ca=config.path.resolve() / "ca.pem", minimum="1.3", host="api.example.com")
    assert made.proxy == Proxy()
    assert connection_of(config, "").proxy is None
    assert connection_of(config, "proxy: http://p.example.com:3128/\n").proxy == Proxy(
        url="http://p.example.com:3128"
    )
    account = "proxy: {url: http://p.example.com, username: acme, password: {secret: p}}\n"
    assert connection_of(config, account).proxy == Proxy(
        url="http://p.example.com",
        username="acme",
        password=SecretRef(kind="secret", name="p", where=WHERE),
    )


@pytest.mark.parametrize(
    "host", ["api.example.com", "api", "10.0.0.1", "2001:db8::1", "a_b.example.com", "xn--bcher-kva.example"]
)
def test_a_host_is_a_name_or_an_address(config, host):
    assert connection_of(config, f'tls: {{host: "{host}"}}\n').tls.host == host


@pytest.mark.parametrize(
    "host", ["*.example.com", "api.example.com:443", "https://api.example.com", "a b", "a/b", "bücher.example", ".", "a..b", "user@host", "10.0.0.1:443"],
)  # fmt: skip
def test_what_is_no_host_name_is_told(config, host):
    config.put("connections/c.yaml", f'connection: c\ntype: http\ntls: {{host: "{host}"}}\n')
    (problem,) = config.load().errors
    assert problem.path == "tls.host"


@pytest.mark.parametrize(("proxy", "refused"), [("http://p.example.com:3128", True), ("env", False)])
def test_plain_http_with_a_sign_in_goes_through_no_proxy(config, proxy, refused):
    """`env` leaves this machine out, and to others plain http is refused anyway (AUTH-49)."""
    sign_in = "auth: {type: bearer, token: {secret: t}}\n"
    config.put(
        "connections/c.yaml",
        f"connection: c\ntype: http\n{sign_in}endpoints: {{a: 'http://127.0.0.1:1/a'}}\nproxy: '{proxy}'\n",
    )
    assert bool(config.load().errors) is refused
    config.put(
        "connections/c.yaml", f"connection: c\ntype: http\nurl: 'http://a.example.com'\nproxy: '{proxy}'\n"
    )
    assert not config.load().errors


def test_a_job_cannot_send_a_sign_in_over_plain_http_through_the_proxy(config):
    config.put(
        "connections/stg.yaml",
        "connection: stg\ntype: http\nauth: {type: bearer, token: {secret: t}}\n"
        "endpoints: {planning: 'https://localhost/x'}\nproxy: http://p.example.com:3128\n",
    )
    config.put("jobs/x.yaml", JOB + "target: {connection: stg, url: 'http://localhost/x'}\n")
    (problem,) = config.load().errors
    assert "through a proxy" in problem.message


AUTHS = [
    "{type: basic, username: u, password: {secret: a}}",
    "{type: bearer, token: {secret: a}}",
    "{type: header, name: X-Api-Key, value: {secret: a}}",
    "{type: password, url: 'https://a.example.com', username: u, password: {secret: a}}",
]


@pytest.mark.parametrize("auth", AUTHS)
def test_sec_09_nobody_signs_in_where_the_certificate_is_not_checked(config, auth):
    config.put(
        "connections/c.yaml",
        f"connection: c\ntype: http\nurl: https://api.example.com\nauth: {auth}\ntls: {{verify: false}}\n",
    )
    (problem,) = config.load().errors
    assert problem.message == "the certificate must be checked where somebody signs in"


def test_sec_09_there_is_no_switch_for_all(config):
    config.put("agent.yaml", "tls: {verify: false}\n")
    config.put("jobs/x.yaml", JOB + "target: {connection: stg, endpoint: planning}\ntls: {verify: false}\n")
    config.connection()
    assert [problem.message for problem in config.load().errors] == ["there is no such key here"] * 2


def test_the_connections_in_the_docs_can_be_loaded(config):
    text = (Path(__file__).parents[2] / "docs/TLS.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        connection_of(config, block)


def test_a_secret_of_the_proxy_that_is_missing_is_told_with_the_others(config):
    connection_of(
        config, "proxy: {url: http://p.example.com, username: {secret: u}, password: {secret: p}}\n"
    )
    found = check_secrets(config.load().plan, SecretStore(config.path, {}))
    assert [problem.path for problem in found] == ["proxy.username", "proxy.password"]
