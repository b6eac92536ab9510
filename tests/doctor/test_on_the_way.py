"""Proxies, and certificates of a name that is not the URL's."""

from __future__ import annotations

import ssl
from base64 import b64encode

import pytest

from agent.clock import SystemClock
from agent.config.model import AgentSettings, Connection, Proxy, SecretRef, Tls
from agent.doctor import Examination, Wish
from tests.doctor.conftest import HASTY, PATIENT, Doctor, Watching
from tests.doctor.test_way_there import dated, openssl_server
from tests.support.auth_world import WHERE
from tests.support.on_the_way import HttpProxy
from tests.support.scripted import RawServer

HOST = "api.example.test"


@pytest.fixture
async def server(doctor, authority):
    context = authority.server("api", hosts=(HOST,), days=30)
    async with RawServer(dated(doctor.clock), tls=context) as one:
        yield one


async def test_the_whole_examination_goes_by_the_proxy_and_by_the_name_of_the_certificate(
    tmp_path, authority, server
):
    async with HttpProxy({"by-the-proxy.invalid": server.port}) as proxy:
        connection = Connection(
            name="p",
            endpoints={"x": "https://by-the-proxy.invalid/x"},
            tls=Tls(ca=authority.path, host=HOST),
            proxy=Proxy(url=proxy.url),
            where=WHERE,
        )
        settings = AgentSettings(state=tmp_path / "state")
        wish = Wish(connection=connection, settings=settings, config=tmp_path, daemon=False)
        report = await Examination(wish, Watching(), SystemClock(), deadlines=PATIENT).run()
    steps = {step.name: step.verdict for step in report.steps}
    assert [steps[name].mark for name in ("dns", "tcp", "proxy", "tls")] == ["good"] * 4
    assert steps["dns"].says == f"the proxy 127.0.0.1:{proxy.port}: 127.0.0.1 is an address"


async def test_through_a_proxy_its_own_name_and_address_are_looked_at_and_a_tunnel_is_a_step(
    doctor, authority, server
):
    async with HttpProxy({HOST: server.port}) as proxy:
        failed, verdicts = await doctor.visit(
            f"https://{HOST}:8443/x", tls=Tls(ca=authority.path), proxy=Proxy(url=proxy.url)
        )
    assert failed == ""
    assert list(verdicts) == ["dns", "tcp", "proxy", "tls", "http"]
    assert verdicts["dns"].says == f"the proxy 127.0.0.1:{proxy.port}: 127.0.0.1 is an address"
    assert verdicts["tcp"].says.startswith(
        f"the proxy 127.0.0.1:{proxy.port}: 127.0.0.1:{proxy.port} answered"
    )
    assert verdicts["proxy"].says == f"the proxy 127.0.0.1:{proxy.port} opened a tunnel"
    assert verdicts["tls"].details[1] == f"  for {HOST}"
    assert {head.split()[0:2] == ["CONNECT", f"{HOST}:8443"] for head in proxy.heads} == {True}


async def test_a_proxy_that_wants_credentials_gets_those_of_the_connection_and_nobody_sees_them(
    doctor, authority, server, tmp_path
):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/pw").write_text("open-sesame-4711")
    (tmp_path / "secrets/pw").chmod(0o600)
    coded = b64encode(b"fleet:open-sesame-4711").decode()
    password = SecretRef(kind="secret", name="pw", where=WHERE)
    tls = Tls(ca=authority.path)
    async with HttpProxy({HOST: server.port}, credentials=f"Basic {coded}") as proxy:
        right = Proxy(url=proxy.url, username="fleet", password=password)
        failed, verdicts = await doctor.visit(f"https://{HOST}/x", tls=tls, proxy=right, config=tmp_path)
        assert failed == ""
        refused, told = await Doctor().visit(f"https://{HOST}/x", tls=tls, proxy=Proxy(url=proxy.url))
    assert coded not in repr(verdicts)
    assert "open-sesame" not in repr(verdicts)
    assert (refused, told["tls"].mark) == ("proxy", "skipped")
    assert told["proxy"].says.endswith("refused the tunnel: 407 Proxy Authentication Required")
    assert "`proxy:`" in told["proxy"].hint


async def test_credentials_of_a_proxy_that_are_missing_stop_before_anything_is_sent(doctor, tmp_path):
    password = SecretRef(kind="secret", name="pw", where=WHERE)
    async with HttpProxy() as proxy:
        account = Proxy(url=proxy.url, username="fleet", password=password)
        failed, verdicts = await doctor.visit(f"https://{HOST}/x", proxy=account, config=tmp_path)
        assert proxy.heads == []
    assert failed == "dns"
    assert verdicts["dns"].says.startswith("the proxy: no credentials for it: the secret {secret: pw}")


@pytest.mark.parametrize(
    ("answer", "words", "hint"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "refused the tunnel: 403 Forbidden", "does not allow this host"),
        (
            b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
            "refused the tunnel: 502 Bad Gateway",
            "ask who runs the proxy",
        ),
        (b"HELO\r\n\r\n", ": what answers is not HTTP", "check host and port"),
        (b"", ": the connection was closed without an answer", "refuses us"),
    ],
)
async def test_a_proxy_that_opens_no_tunnel(doctor, answer, words, hint):
    async with HttpProxy(answer=answer) as proxy:
        failed, verdicts = await doctor.visit(f"https://{HOST}/x", proxy=Proxy(url=proxy.url))
    assert failed == "proxy"
    assert words in verdicts["proxy"].says
    assert hint in verdicts["proxy"].hint


async def test_a_proxy_that_says_nothing(doctor):
    async with RawServer(None) as proxy:
        failed, verdicts = await doctor.visit(
            f"https://{HOST}/x", proxy=Proxy(url=proxy.url), deadlines=HASTY
        )
    assert failed == "proxy"
    assert verdicts["proxy"].says.endswith(": no answer in time")


async def test_plain_http_through_a_proxy_asks_the_proxy_for_the_whole_url(doctor):
    async with RawServer(dated(doctor.clock)) as server, HttpProxy({HOST: server.port}) as proxy:
        failed, verdicts = await doctor.visit(f"http://{HOST}:8080/x", proxy=Proxy(url=proxy.url))
        assert [head.splitlines()[0] for head in proxy.heads] == [f"HEAD http://{HOST}:8080/ HTTP/1.1"]
    assert list(verdicts) == ["dns", "tcp", "tls", "http"]
    assert (failed, verdicts["tls"].mark, verdicts["http"].mark) == ("", "warning", "good")


async def test_a_proxy_of_the_environment_counts_only_where_the_connection_says_so(
    doctor, authority, server, monkeypatch
):
    async with HttpProxy({HOST: server.port}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        failed, verdicts = await doctor.visit(f"https://{HOST}/x", tls=Tls(ca=authority.path), proxy=Proxy())
        assert (failed, "proxy" in verdicts) == ("", True)
        heads = len(proxy.heads)
        failed, verdicts = await Doctor(lambda host, port: ["127.0.0.1"]).visit(
            f"https://{HOST}:{server.port}/x", tls=Tls(ca=authority.path)
        )
        assert (failed, "proxy" in verdicts, len(proxy.heads)) == ("", False, heads)


async def test_a_certificate_may_carry_the_name_that_the_connection_says(doctor, authority, server):
    failed, verdicts = await doctor.visit(server.url, tls=Tls(ca=authority.path, host=HOST))
    assert (failed, verdicts["tls"].mark) == ("", "good")
    failed, verdicts = await Doctor().visit(server.url, tls=Tls(ca=authority.path, host="other.test"))
    assert failed == "tls"
    assert verdicts["tls"].says == f"the server's certificate belongs to another name: {HOST}, not other.test"


async def test_a_minimum_that_the_server_does_not_reach_is_told(doctor, authority):
    context = authority.server("steady", days=30)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with openssl_server(context) as url:
        failed, verdicts = await doctor.visit(url, tls=Tls(ca=authority.path, minimum="1.3"))
    assert (failed, verdicts["tls"].data["fault"]) == ("tls", "too old")
    assert "`tls.minimum`" in verdicts["tls"].hint
