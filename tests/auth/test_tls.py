from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from agent.auth.exchange import AuthApi, Denied, Failed
from agent.config.model import Tls
from agent.errors import ConfigError
from agent.target import open_client
from agent.tls import ssl_context
from tests.support.certificates import BAD_SERVERS, Authority, secret_bytes
from tests.support.clock import FakeClock
from tests.support.on_the_way import Wire
from tests.support.scripted import RawServer

FORM = {"username": "fleet", "password": "correct horse battery"}
NO = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def exchange(url, tls):
    async with open_client(ssl_context(tls), host=tls.host) as client:
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


@pytest.mark.parametrize("kind", BAD_SERVERS)
async def test_auth_48_on_the_wire_no_byte_of_the_credentials_leaves(authority, tmp_path, kind):
    theirs, reason = BAD_SERVERS[kind](authority, tmp_path)
    async with RawServer(NO, tls=theirs) as server, Wire(server.port) as wire:
        answer = await exchange(f"https://127.0.0.1:{wire.port}", Tls(ca=authority.path))
        assert isinstance(answer, Failed)  # not `Lost`: nothing can have been heard
        assert reason in answer.text
        assert b"".join(server.received) == b""
        raw = b"".join(wire.sent)
        assert raw.startswith(b"\x16\x03")
        assert secret_bytes(raw) == 0


async def test_auth_48_the_wire_shows_what_a_good_server_is_sent(authority):
    async with RawServer(NO, tls=authority.server("good")) as server, Wire(server.port) as wire:
        answer = await exchange(f"https://127.0.0.1:{wire.port}", Tls(ca=authority.path))
        assert isinstance(answer, Denied)
        assert secret_bytes(wire.sent[0]) > len(FORM["password"])


async def test_auth_48_an_authority_by_another_name_is_believed_only_with_that_name(authority):
    theirs = authority.server("server", hosts=["auth.example.test"])
    async with RawServer(NO, tls=theirs) as server:
        refused = await exchange(server.url, Tls(ca=authority.path))
        assert "IP address mismatch" in refused.text
        assert b"".join(server.received) == b""
        named = Tls(ca=authority.path, host="auth.example.test")
        assert isinstance(await exchange(server.url, named), Denied)


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


def test_a_path_that_no_file_can_have_is_a_config_error_too():
    for tls in (Tls(ca=Path("a\0b")), Tls(certificate=Path("a\0b"), key=Path("c"))):
        with pytest.raises(ConfigError):
            ssl_context(tls)
