from __future__ import annotations

import ssl

import aiohttp
import pytest

from agent.auth.exchange import AuthApi, Denied, Failed
from agent.config.model import Tls
from agent.errors import ConfigError
from agent.tls import ssl_context
from tests.support.auth_world import auth_client
from tests.support.certificates import Authority
from tests.support.clock import FakeClock
from tests.support.scripted import RawServer

FORM = {"username": "fleet", "password": "correct horse battery"}
NO = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def exchange(url, tls):
    connector = aiohttp.TCPConnector(ssl=ssl_context(tls))
    async with auth_client(connector=connector) as client:
        return await AuthApi(client, FakeClock(), deadline=5).post(url + "/auth/password", FORM)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


async def test_an_authority_of_our_own_is_believed(authority):
    async with RawServer(NO, tls=authority.server("good")) as server:
        assert await exchange(server.url, Tls(ca=authority.path)) == Denied(
            status=401, text="401 Unauthorized"
        )
        assert b"password=correct+horse" in server.received[0]


@pytest.mark.parametrize(
    "kind", ["expired", "unknown authority", "wrong name", "system authorities", "replaced"]
)
async def test_auth_48_a_server_that_does_not_prove_itself_gets_no_byte(
    authority, tmp_path, kind, monkeypatch
):
    tls = Tls(ca=authority.path)
    more = {"expired": {"days": -1}, "wrong name": {"address": "127.0.0.2"}}.get(kind, {})
    context = authority.server("server", **more)
    if kind == "unknown authority":
        tls = Tls(ca=Authority(tmp_path, "other").path)
    if kind == "system authorities":
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))  # AUTH-47: the environment has no say
        tls = Tls()
    if kind == "replaced":
        context = Authority(tmp_path, "third").server("third-server")
    async with RawServer(NO, tls=context) as server:
        answer = await exchange(server.url, tls)
        assert isinstance(answer, Failed)
        assert "TLS" in answer.text
        assert b"".join(server.received) == b""


async def test_auth_48_tls_1_1_is_refused(authority):
    context = ssl_context(Tls(ca=authority.path))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


async def test_auth_47_no_keys_are_logged_and_no_proxy_or_netrc_is_used(authority, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login x password y")
    async with RawServer(NO) as proxy, RawServer(NO, tls=authority.server("good")) as server:
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        await exchange(server.url, Tls(ca=authority.path))
        assert proxy.received == []
        assert b"authorization" not in server.received[0].lower()
    assert not (tmp_path / "keys").exists()


async def test_verification_can_be_turned_off_and_a_certificate_shown(authority):
    certificate, key = authority.issue("client")
    context = authority.server("good")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.path)
    async with RawServer(NO, tls=context) as server:
        answer = await exchange(server.url, Tls(verify=False, certificate=certificate, key=key))
        assert isinstance(answer, Denied)


def test_files_that_are_missing_or_wrong_are_told(authority, tmp_path):
    certificate, _ = authority.issue("client")
    _, other = authority.issue("other")
    (tmp_path / "text").write_text("nothing")
    for tls, words in [
        (Tls(ca=tmp_path / "nowhere"), "nowhere: tls: No such file"),
        (Tls(ca=tmp_path / "text"), "text: tls: no PEM file of certificate authorities"),
        (Tls(certificate=certificate, key=other), "client.pem: tls: no PEM certificate with a matching"),
        (Tls(certificate=tmp_path / "nowhere"), "nowhere: tls: No such file"),
    ]:
        with pytest.raises(ConfigError) as told:
            ssl_context(tls)
        assert words in str(told.value)
