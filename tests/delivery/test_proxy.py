"""Proxies: used where the connection says so and nowhere else, and never told what is not theirs."""

from __future__ import annotations

import asyncio
from base64 import b64encode

import pytest

from agent.auth.exchange import AuthApi, Denied, Failed
from agent.auth.fixed import REREAD, NoSession
from agent.config.model import Proxy, SecretRef, Tls
from agent.connections import open_connection
from agent.errors import ConfigError
from agent.logs import blotter
from agent.outcome import Delivered, Retry
from agent.request import build, resolve
from agent.target import Terms, attempt
from tests.support.auth_world import FileSecrets
from tests.support.certificates import BAD_SERVERS, Authority
from tests.support.clock import FakeClock
from tests.support.delivery import WHERE, a_connection, a_draft, a_job, half, sent
from tests.support.on_the_way import HttpProxy
from tests.support.scripted import Answer, ScriptedServer

NAME = "api.example.test"
TOKEN = "token-of-the-fleet-0123456789"
PASSWORD = "password-of-the-proxy-0123"
CREDENTIALS = f"Basic {b64encode(f'fleet:{PASSWORD}'.encode()).decode()}"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
FORM = {"username": "fleet", "password": "correct horse battery"}


@pytest.fixture(autouse=True)
async def clean(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the servers' side of a refusal


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
async def target(authority):
    """Called api.example.test by its certificate; no name server knows it."""
    async with ScriptedServer(tls=authority.server("server", hosts=[NAME])) as server:
        server.script("/in", Answer(204))
        server.script("/auth", Answer(401))
        server.named = f"https://{NAME}:{server.port}"
        yield server


@pytest.fixture
async def ways(authority, tmp_path):
    opening = []

    class Ways:
        clock = FakeClock()

        async def open(self, url, proxy, **more):
            one = await open_connection(
                a_connection(url, tls=Tls(ca=authority.path), proxy=proxy, **more),
                lambda _: NoSession("platform"),
                clock=self.clock,
                random=half,
                secrets=FileSecrets(tmp_path),
            )
            opening.append(one)
            return one

        def secret(self, name, value):
            (tmp_path / name).write_text(value)
            return SecretRef(kind="secret", name=name, where=WHERE)

        def forget(self, name):
            (tmp_path / name).unlink()

    yield Ways()
    for one in opening:
        await one.close(0)


async def send(opened, text='{"a": 1}', connect=20):
    signature = {"Authorization": f"Bearer {TOKEN}"}
    request = build(resolve(a_job(), opened.connection), a_draft(text), key="key-1", signature=signature)
    terms = Terms(success=frozenset({204}), total=40, connect=connect)
    return await attempt(opened.client, request, terms=terms, generation=1, now=lambda: 0.0)


async def test_an_https_target_is_reached_through_a_tunnel_that_shows_the_proxy_only_its_name(target, ways):
    async with HttpProxy({NAME: target.port}) as proxy:
        opened = await ways.open(target.named, Proxy(url=proxy.url))
        for _ in range(2):
            assert isinstance(await send(opened), Delivered)
        (head,) = proxy.heads  # one tunnel, kept
        assert head.startswith(f"CONNECT {NAME}:{target.port} HTTP/1.1\r\n")
        assert TOKEN not in head
        assert "authorization" not in head.lower()
        assert "push-agent/" in head
        assert TOKEN.encode() not in proxy.seen
        assert "Proxy-Authorization" not in target.requests[0].headers
        assert sent(target.requests) == ['{"a": 1}'] * 2


async def test_the_auth_api_of_the_connection_goes_through_it_too(target, ways):
    async with HttpProxy({NAME: target.port}) as proxy:
        opened = await ways.open(target.named, Proxy(url=proxy.url))
        answer = await AuthApi(opened.client, ways.clock).post(f"{target.named}/auth", FORM)
        assert answer == Denied(status=401, text="401 Unauthorized")
        assert target.requests[0].form == FORM
        assert b"correct+horse" not in proxy.seen
        assert len(proxy.heads) == 1


async def test_credentials_go_to_the_proxy_alone_and_are_read_again_when_they_change(target, ways):
    async with HttpProxy({NAME: target.port}, credentials=CREDENTIALS) as proxy:
        account = {"username": "fleet", "password": ways.secret("proxy", "another-password")}
        opened = await ways.open(target.named, Proxy(url=proxy.url, **account))
        refused = await send(opened)
        name = proxy.url.removeprefix("http://")
        assert refused.answer.reason == (
            f"the proxy {name} wants other credentials: 407 Proxy Authentication Required"
        )
        ways.secret("proxy", PASSWORD)
        await ways.clock.advance(REREAD)
        assert isinstance(await send(opened), Delivered)
        assert "Proxy-Authorization" not in target.requests[0].headers
        assert target.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"
        ways.forget("proxy")  # while its file is replaced
        await ways.clock.advance(REREAD)
        assert isinstance(await send(opened), Delivered)


async def test_credentials_that_cannot_be_read_are_told_and_nothing_is_sent(target, ways):
    async with HttpProxy({NAME: target.port}) as proxy:
        ref = SecretRef(kind="secret", name="nowhere", where=WHERE)
        opened = await ways.open(target.named, Proxy(url=proxy.url, username="fleet", password=ref))
        outcome = await send(opened)
        assert isinstance(outcome, Retry)
        assert outcome.answer.reason.startswith("no credentials for the proxy: secret nowhere")
        assert proxy.heads == []
        ways.secret("nowhere", PASSWORD)
        assert isinstance(await send(opened), Delivered)


async def test_a_plain_http_request_without_a_sign_in_is_handed_over_as_it_is(ways):
    async with ScriptedServer() as server, HttpProxy({NAME: server.port}, credentials=CREDENTIALS) as proxy:
        server.script("/in", Answer(204))
        url = f"http://{NAME}:{server.port}"
        account = {"username": "fleet", "password": ways.secret("proxy", PASSWORD)}
        opened = await ways.open(url, Proxy(url=proxy.url, **account))
        assert isinstance(await send(opened), Delivered)
        assert proxy.heads[0].startswith(f"POST {url}/in HTTP/1.1\r\n")


# ---------------------------------------------------------------------- when it fails


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", "wants other credentials: 407 Proxy Auth"),
        (b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n", "refused: 502 Bad Gateway"),
        (
            b"HTTP/1.1 302 Go\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
            "refused: 302 Found",
        ),
        (b"HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n", "refused: 799"),
        (b"220 mail.example.com ESMTP\r\n\r\n", "does not answer in HTTP"),
        (b"", "broke the connection off"),
    ],
)
async def test_del_44_a_proxy_that_refuses_is_a_transient_failure_that_names_it(target, ways, said, reason):
    async with HttpProxy(answer=said) as proxy:
        opened = await ways.open(target.named, Proxy(url=proxy.url))
        outcome = await send(opened)
        assert isinstance(outcome, Retry)
        assert outcome.answer.status is None
        assert outcome.answer.reason.startswith(f"the proxy {proxy.url.removeprefix('http://')} {reason}")
        answer = await AuthApi(opened.client, ways.clock).post(f"{target.named}/auth", FORM)
        assert isinstance(answer, Failed)  # not `Lost`: the Auth API heard nothing
        assert answer.text == outcome.answer.reason
        assert TOKEN.encode() not in proxy.seen
    assert target.requests == []


async def test_del_44_a_proxy_that_is_down_and_comes_back_loses_nothing(still, target, authority):
    async with HttpProxy() as gone:
        port = gone.port
    await still.spooled("a", "b")
    await still.start(
        url=target.named, tls=Tls(ca=authority.path), proxy=Proxy(url=f"http://127.0.0.1:{port}")
    )
    wait = await still.waits("network", attempts=1)
    assert wait.reason.startswith(f"the proxy 127.0.0.1:{port} cannot be reached: ")
    back = HttpProxy({NAME: target.port})
    back.port = port
    async with back:
        settled = asyncio.create_task(still.settled())
        while not settled.done():
            await still.clock.advance(10)
            await asyncio.sleep(0.002)
        await settled
    assert sent(target.requests) == ["a", "b"]


async def test_del_44_a_proxy_without_an_address(target, ways):
    opened = await ways.open(target.named, Proxy(url="http://proxy.invalid.test.:3128"))

    async def unknown(*_):
        raise OSError(None, "no such name")

    opened.client.connector._resolver._inner.resolve = unknown
    outcome = await send(opened)
    assert outcome.answer.reason == "the name of the proxy proxy.invalid.test.:3128 cannot be resolved"


async def test_del_44_a_proxy_that_says_nothing_ends_at_the_time_to_connect(target, ways):
    class Silent(HttpProxy):
        async def talk(self, reader, writer):
            await reader.read()

    async with Silent() as proxy:
        opened = await ways.open(target.named, Proxy(url=proxy.url))
        outcome = await send(opened, connect=0.2)
        assert isinstance(outcome, Retry)
        assert outcome.answer.reason == (
            f"no connection through the proxy {proxy.url.removeprefix('http://')} in time"
        )


async def test_del_44_a_407_to_a_plain_request_says_whose_it_is(ways):
    async with HttpProxy(answer=b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n") as proxy:
        opened = await ways.open("http://api.example.test:80", Proxy(url=proxy.url))
        outcome = await send(opened)
        assert isinstance(outcome, Retry)
        assert "of a proxy on the way" in outcome.answer.reason


@pytest.mark.parametrize("kind", [kind for kind in BAD_SERVERS if not kind.startswith("TLS")])
async def test_del_39_auth_48_a_target_behind_a_proxy_must_prove_itself_too(authority, tmp_path, ways, kind):
    """Who owns the proxy owns the way: a certificate for the proxy's host or of its own authority is none."""
    theirs, _ = BAD_SERVERS[kind](authority, tmp_path)
    async with ScriptedServer(tls=theirs) as server, HttpProxy({NAME: server.port}) as proxy:
        opened = await ways.open(f"https://{NAME}:{server.port}", Proxy(url=proxy.url))
        outcome = await send(opened)
        assert isinstance(outcome, Retry)
        assert outcome.answer.reason.startswith("TLS: the certificate is not accepted")
        answer = await AuthApi(opened.client, ways.clock).post(f"https://{NAME}:{server.port}/auth", FORM)
        assert isinstance(answer, Failed)
        assert server.requests == []


async def test_tls_host_counts_behind_a_proxy(target, authority, ways):
    async with HttpProxy({"10.11.12.13": target.port}) as proxy:
        url = f"https://10.11.12.13:{target.port}"
        tls = Tls(ca=authority.path, host=NAME)
        one = await open_connection(
            a_connection(url, tls=tls, proxy=Proxy(url=proxy.url)),
            lambda _: NoSession("platform"),
            clock=ways.clock,
            random=half,
        )
        assert isinstance(await send(one), Delivered)
        await one.close(0)


# ---------------------------------------------------------------------- the environment


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
async def test_env_means_the_proxy_of_the_environment(target, ways, monkeypatch, name):
    async with HttpProxy({NAME: target.port}, credentials=CREDENTIALS) as proxy:
        url = proxy.url.replace("//", f"//fleet:{PASSWORD}@")
        monkeypatch.setenv(name, url)
        opened = await ways.open(target.named, Proxy())
        assert isinstance(await send(opened), Delivered)
        assert len(proxy.heads) == 1
        assert PASSWORD not in blotter.clean(f"any line with {PASSWORD}")


async def test_env_takes_a_proxy_without_a_scheme(target, ways, monkeypatch):
    async with HttpProxy({NAME: target.port}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.removeprefix("http://"))
        assert isinstance(await send(await ways.open(target.named, Proxy())), Delivered)
        assert len(proxy.heads) == 1


@pytest.mark.parametrize(
    ("no_proxy", "url", "goes"),
    [
        ("", f"https://{NAME}", True),
        (NAME, f"https://{NAME}", False),
        ("example.test", f"https://{NAME}", False),
        (".example.test", f"https://{NAME}", False),
        ("other.test, EXAMPLE.TEST", f"https://{NAME}", False),
        ("ample.test", f"https://{NAME}", True),
        (f"{NAME}:443", f"https://{NAME}", False),
        (f"{NAME}:8443", f"https://{NAME}", True),
        ("*", f"https://{NAME}", False),
        ("", f"http://{NAME}", False),  # HTTPS_PROXY is for https
        ("", "https://127.0.0.1:8443", False),
        ("", "https://[::1]:8443", False),
        ("", "https://localhost", False),
        ("", "https://a.localhost.", False),
    ],
)
async def test_env_keeps_the_rules_of_no_proxy_and_leaves_this_machine_out(
    ways, monkeypatch, no_proxy, url, goes
):
    from yarl import URL  # noqa: PLC0415 - the one place that asks like the connector does

    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.test:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    opened = await ways.open(url, Proxy())
    through = await opened.client.connector.proxies.through(URL(url))
    assert (through is not None) is goes
    assert not goes or str(through.url) == "http://proxy.example.test:3128"


@pytest.mark.parametrize("value", ["socks5://u:hunter2hunter2@p:1", "https://p", "http://", "http://p:99999"])
async def test_a_proxy_of_the_environment_that_is_of_no_use_is_an_error_without_its_password(
    ways, monkeypatch, value
):
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(ConfigError) as told:
        await ways.open("https://api.example.test", Proxy())
    assert "is no http:// proxy" in str(told.value)
    assert "hunter2" not in str(told.value)


async def test_auth_47_without_proxy_env_the_environment_has_no_effect_on_https_either(
    authority, ways, monkeypatch, tmp_path
):
    async with HttpProxy() as proxy, ScriptedServer(tls=authority.server("server")) as server:
        server.script("/in", Answer(204))
        for name in VARIABLES[:3]:
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.lower(), proxy.url)
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nowhere"))
        assert isinstance(await send(await ways.open(server.url, None)), Delivered)
        assert proxy.heads == []
        assert not (tmp_path / "keys").exists()


# ---------------------------------------------------------------------- names that mean this machine


@pytest.mark.parametrize("name", ["localhost", "platform.localhost", "LOCALHOST."])
async def test_sec_07_a_name_server_cannot_move_this_machine(ways, name):
    """Plain http with a sign-in is allowed to `localhost`, so nobody else may answer to that name."""
    opened = await ways.open(f"http://{name}:8080", None)

    async def elsewhere(host, port, family):
        where = {"host": "192.0.2.1", "port": port, "family": family, "proto": 0, "flags": 0}
        return [{"hostname": host, **where}]

    opened.client.connector._resolver._inner.resolve = elsewhere
    outcome = await send(opened)
    assert isinstance(outcome, Retry)
    assert outcome.answer.reason.startswith("the host name cannot be resolved")
