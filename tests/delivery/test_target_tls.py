"""What proves a target, what proves us to it, and what is not sent before that."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import time
from datetime import timedelta

import pytest

from agent.auth.exchange import AuthApi, Failed
from agent.auth.fixed import NoSession
from agent.config.model import Tls
from agent.connections import open_connection
from agent.errors import ConfigError
from agent.outcome import Delivered, Retry
from agent.request import build, resolve
from agent.target import Terms, attempt
from agent.tls_files import LOOK, SETTLE
from tests.support.certificates import BAD_SERVERS, Authority, WantsCertificate, old, secret_bytes
from tests.support.clock import FakeClock
from tests.support.delivery import a_connection, a_draft, a_job, half, sent
from tests.support.on_the_way import Wire
from tests.support.scripted import Answer, ScriptedServer

TOKEN = "token-of-the-fleet-0123456789"
V = ssl.TLSVersion


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture(autouse=True)
async def quiet():
    """The servers' side of a refusal is not news."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)


async def connected(url, tls, clock=None, **more):
    connection = a_connection(url, tls=tls, **more)
    return await open_connection(
        connection, lambda _: NoSession("platform"), clock=clock or FakeClock(), random=half
    )


async def send(opened, text='{"a": 1}'):
    request = build(
        resolve(a_job(), opened.connection),
        a_draft(text),
        key="key-1",
        signature={"Authorization": f"Bearer {TOKEN}"},
    )
    terms = Terms(success=frozenset({204}), total=20, connect=20)
    return await attempt(opened.client, request, terms=terms, generation=1, now=lambda: 0.0)


async def one(url, tls, **more):
    opened = await connected(url, tls, **more)
    try:
        return await send(opened)
    finally:
        await opened.close(0)


# ---------------------------------------------------------------------- a target that does not prove itself


@pytest.mark.parametrize("kind", BAD_SERVERS)
async def test_del_39_a_target_that_does_not_prove_itself_gets_no_byte(authority, tmp_path, kind):
    theirs, reason = BAD_SERVERS[kind](authority, tmp_path)
    async with ScriptedServer(tls=theirs) as server, Wire(server.port) as wire:
        outcome = await one(f"https://127.0.0.1:{wire.port}", Tls(ca=authority.path))
        assert isinstance(outcome, Retry)
        assert reason in outcome.answer.reason
        assert server.requests == []
        raw = b"".join(wire.sent)
        assert raw.startswith(b"\x16\x03")  # a hello, so that the wire was the right one
        assert secret_bytes(raw) == 0
        assert TOKEN.encode() not in raw


async def test_del_39_tls_1_2_is_too_old_where_1_3_is_wanted(authority):
    theirs = old(authority.server("server"), V.TLSv1_2)
    async with ScriptedServer(tls=theirs) as server, Wire(server.port) as wire:
        server.script("/in", Answer(204))
        url = f"https://127.0.0.1:{wire.port}"
        assert isinstance(await one(url, Tls(ca=authority.path, minimum="1.3")), Retry)
        assert secret_bytes(wire.sent[0]) == 0
        assert isinstance(await one(url, Tls(ca=authority.path)), Delivered)


@pytest.mark.parametrize("version", [V.TLSv1, V.TLSv1_1, V.TLSv1_2])
async def test_the_old_servers_do_talk_to_a_client_that_takes_anything(authority, version):
    careless = old(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), version)
    careless.check_hostname = False
    careless.verify_mode = ssl.CERT_NONE
    async with ScriptedServer(tls=old(authority.server("server"), version)) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=careless)
        assert writer.get_extra_info("ssl_object").version() == version.name.replace("_", ".")
        writer.transport.abort()


async def test_the_wire_shows_what_is_sent_to_a_good_target(authority):
    async with ScriptedServer(tls=authority.server("server")) as server, Wire(server.port) as wire:
        server.script("/in", Answer(204))
        assert isinstance(await one(f"https://127.0.0.1:{wire.port}", Tls(ca=authority.path)), Delivered)
        assert secret_bytes(wire.sent[0]) > len(TOKEN)


async def test_del_39_a_lane_waits_slowly_with_its_reason_and_goes_on_when_it_is_repaired(
    world, authority, tmp_path
):
    """The alarm is the lane's wait: status and metrics show it."""
    bad, good = Authority(tmp_path, "other").server("bad"), authority.server("good")
    async with ScriptedServer(tls=bad) as server:
        port = server.port
        await world.spooled("a")
        world.clock.auto = False
        await world.start(url=server.url, tls=Tls(ca=authority.path))
        wait = await world.waits("network", attempts=1)
        assert wait.reason.startswith("TLS: the certificate is not accepted")
    async with ScriptedServer(tls=good, port=port) as server:
        server.script("/in", Answer(204))
        settled = asyncio.create_task(world.settled())
        while not settled.done():
            await world.clock.advance(10)
            await asyncio.sleep(0.002)
        await settled
        assert sent(server.requests) == ["a"]


async def test_minimum_1_3_talks_to_a_target_that_can(authority):
    async with ScriptedServer(tls=authority.server("server")) as server:
        server.script("/in", Answer(204))
        assert isinstance(await one(server.url, Tls(ca=authority.path, minimum="1.3")), Delivered)


# ---------------------------------------------------------------------- another name than the URL's


async def test_host_is_the_name_that_is_asked_for_and_that_must_be_proved(authority):
    asked = []
    theirs = authority.server("server", hosts=["api.example.test"])
    theirs.sni_callback = lambda _, name, __: asked.append(name)
    async with ScriptedServer(tls=theirs) as server:
        server.script("/in", Answer(204))
        ours = Tls(ca=authority.path)
        refused = await one(server.url, ours)
        assert "IP address mismatch" in refused.answer.reason
        named = Tls(ca=authority.path, host="api.example.test")
        assert isinstance(await one(server.url, named), Delivered)
        other = Tls(ca=authority.path, host="other.example.test")
        assert "Hostname mismatch" in (await one(server.url, other)).answer.reason
        assert asked == [None, "api.example.test", "other.example.test"]
        assert server.requests[0].headers["Host"] == f"127.0.0.1:{server.port}"
        assert len(server.requests) == 1


# ---------------------------------------------------------------------- files that are renewed


def who(certificate):
    return dict(pair[0] for pair in certificate["subject"])["commonName"] if certificate else None


class Guarded(ScriptedServer):
    """Wants a certificate of the authority, and remembers whose each request came with."""

    def __init__(self, authority, **more):
        context = authority.server("server")
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.path)
        super().__init__(tls=context, **more)
        self.people = []
        self.sockets = set()

    async def _serve(self, request):
        self.people.append(who(request.transport.get_extra_info("peercert")))
        self.sockets.add(request.transport.get_extra_info("peername"))
        return await super()._serve(request)


@pytest.fixture
def pair(authority, tmp_path):
    """Certificate and key in their place; `pair.put(name)` renews them."""

    class Pair:
        certificate, key = tmp_path / "live.pem", tmp_path / "live.key"
        tls = Tls(ca=authority.path, certificate=certificate, key=key)

        def put(self, name, *, certificate=True, key=True, **more):
            made = authority.issue(name, **more)
            if certificate:
                shutil.copy(made[0], self.certificate)
            if key:
                shutil.copy(made[1], self.key)

    one = Pair()
    one.put("old")
    return one


async def look(opened, clock):
    """One look at the files, as the connection's own task makes it, with the time that it takes."""
    looking = asyncio.create_task(opened._tls.look())
    while not looking.done():
        await clock.advance(SETTLE)
        await asyncio.sleep(0.001)
    await looking


async def quietly(opened):
    """Without its own task: the test looks."""
    if opened._following is not None:
        opened._following.cancel()
    return opened


async def test_a_renewed_certificate_is_used_for_new_connections_and_old_ones_end_by_themselves(
    authority, pair, caplog
):
    clock = FakeClock()
    caplog.set_level("INFO")
    async with Guarded(authority) as server:
        hold = asyncio.Event()
        server.script("/in", [Answer(204), Answer(204, hold=hold), Answer(204)])
        opened = await quietly(await connected(server.url, pair.tls, clock))
        assert isinstance(await send(opened), Delivered)
        under_way = asyncio.create_task(send(opened))  # on the kept connection
        await server.until(2)
        pair.put("new")
        await look(opened, clock)
        assert isinstance(await send(opened), Delivered)
        hold.set()
        assert isinstance(await under_way, Delivered)  # it ends as it began
        assert isinstance(await send(opened), Delivered)
        assert server.people == ["old", "old", "new", "new"]
        assert len(server.sockets) == 2
        assert "the changed TLS files are in use" in caplog.text
        await opened.close(0)


async def test_half_of_a_renewed_pair_changes_nothing_and_is_said_once(authority, pair, caplog):
    clock = FakeClock()
    async with Guarded(authority) as server:
        server.script("/in", Answer(204))
        opened = await quietly(await connected(server.url, pair.tls, clock))
        pair.put("new", key=False)
        for _ in range(3):
            await look(opened, clock)
        trouble = opened.state().tls.trouble
        assert trouble == (
            f"{pair.certificate}: no PEM certificate with a matching, unencrypted key; the files of before stay in use"
        )
        assert caplog.text.count("the changed TLS files cannot be used") == 1
        assert isinstance(await send(opened), Delivered)
        made = authority.issue("newer")
        shutil.copy(made[0], pair.certificate)
        shutil.copy(made[1], pair.key)
        await look(opened, clock)
        assert opened.state().tls.trouble == ""
        await opened.client.connector.close()  # the kept connection of before
        await opened.close(0)
        again = await connected(server.url, pair.tls, clock)
        assert isinstance(await send(again), Delivered)
        assert server.people == ["old", "newer"]
        await again.close(0)


@pytest.mark.parametrize("wrong", [b"", b"-----BEGIN CERTIFICATE-----\nMIIB", b"\xff\x00", None])
async def test_a_broken_file_keeps_what_is_in_use_until_it_is_good_again(authority, pair, wrong):
    clock = FakeClock()
    before = pair.certificate.read_bytes()
    opened = await quietly(await connected("https://127.0.0.1:9", pair.tls, clock))
    if wrong is None:
        pair.certificate.unlink()
    else:
        pair.certificate.write_bytes(wrong)
    await look(opened, clock)
    assert opened.state().tls.trouble.endswith("stay in use")
    pair.certificate.write_bytes(before)
    await look(opened, clock)
    assert opened.state().tls.trouble == ""
    await opened.close(0)


async def test_files_that_change_while_one_looks_are_left_to_the_next_look(authority, pair):
    clock = FakeClock()
    opened = await quietly(await connected("https://127.0.0.1:9", pair.tls, clock))
    used = opened._tls._loaded
    pair.put("new")
    looking = asyncio.create_task(opened._tls.look())
    while not clock.sleeping:  # noqa: ASYNC110 - the clock has no event for it: between its two looks
        await asyncio.sleep(0.001)
    pair.put("newer", key=False)
    while not looking.done():
        await clock.advance(SETTLE)
        await asyncio.sleep(0.001)
    assert opened._tls._loaded is used
    assert opened.state().tls.trouble == ""
    await opened.close(0)


async def test_del_40_a_new_authority_is_believed_without_a_restart_and_the_old_one_no_more(
    authority, tmp_path
):
    clock = FakeClock()
    other = Authority(tmp_path, "other")
    ca = tmp_path / "trusted.pem"
    shutil.copy(authority.path, ca)
    opened = await quietly(await connected("https://127.0.0.1:1", Tls(ca=ca), clock))
    async with (
        ScriptedServer(tls=authority.server("a")) as first,
        ScriptedServer(tls=other.server("b")) as second,
    ):
        for server in (first, second):
            server.script("/in", Answer(204))

        async def to(server):
            here = await connected(server.url, Tls(ca=ca), clock)
            try:
                request = build(resolve(a_job(), here.connection), a_draft("x"), key="k", signature={})
                terms = Terms(success=frozenset({204}), total=20, connect=20)
                return await attempt(opened.client, request, terms=terms, generation=1, now=lambda: 0.0)
            finally:
                await here.close(0)

        assert isinstance(await to(first), Delivered)
        assert isinstance(await to(second), Retry)
        shutil.copy(other.path, ca)
        await look(opened, clock)
        assert isinstance(await to(second), Delivered)
        refused = await to(first)  # although a connection to it is still kept
        assert "certificate is not accepted" in refused.answer.reason
        assert len(first.requests) == 1
    await opened.close(0)


async def test_the_connection_follows_its_files_by_itself_and_nothing_is_lost_or_repeated(
    authority, pair, still
):
    async with Guarded(authority) as server:
        server.script("/in", Answer(204))
        await still.start(url=server.url, tls=pair.tls)
        numbers = [str(number) for number in range(30)]
        for number in numbers:
            await still.spooled(number)
            if number == "10":
                pair.put("new")
            if number == "15":
                while "new" not in server.people[-1:]:
                    await still.spooled("extra")
                    await still.settled()
                    await still.clock.advance(LOOK)
        await still.settled()
        assert [text for text in sent(server.requests) if text != "extra"] == numbers
        assert server.people == sorted(server.people, reverse=True)  # old, then new, and never back
        keys = [request.headers["Idempotency-Key"] for request in server.requests]
        assert len(keys) == len(set(keys))


async def test_a_connection_without_files_follows_nothing(server):
    opened = await connected(server.url, Tls())
    assert opened._following is None
    await opened.close(0)


@pytest.mark.parametrize(
    ("days", "word"),
    [(13, "ends soon"), (-1, "has ended"), (15, None)],
)
async def test_the_end_of_the_certificate_is_said_once_and_shown(authority, pair, caplog, days, word):
    pair.put("mine", days=days)
    clock = FakeClock(now=time.time())
    opened = await quietly(await connected("https://127.0.0.1:9", pair.tls, clock))
    for _ in range(3):
        await look(opened, clock)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == (1 if word else 0)
    assert not word or word in said[0]
    left = opened.state().tls.certificate_ends - clock.now()
    assert abs(left - timedelta(days=days).total_seconds()) < 3600
    await opened.close(0)


async def test_a_certificate_that_comes_to_its_end_is_said_twice_and_a_new_one_ends_it(
    authority, pair, caplog
):
    caplog.set_level("WARNING")
    pair.put("mine", days=20)
    clock = FakeClock(now=time.time())
    opened = await quietly(await connected("https://127.0.0.1:9", pair.tls, clock))
    for days in (0, 7, 1, 15):
        clock.tick(days * 86_400)
        await look(opened, clock)
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    pair.put("fresh", days=60)
    await look(opened, clock)
    await look(opened, clock)
    assert len(caplog.records) == 2
    assert opened.state().tls.certificate_ends > clock.now()
    await opened.close(0)


REFUSED = [
    (V.TLSv1_3, "expired", "certificate expired"),
    (V.TLSv1_3, "stranger", "unknown ca"),
    (V.TLSv1_3, "none", "certificate required"),
    (V.TLSv1_2, "expired", "certificate expired"),
    (V.TLSv1_2, "stranger", "unknown ca"),
]


@pytest.mark.parametrize(("version", "shown", "words"), REFUSED)
async def test_a_certificate_that_is_refused_is_told_in_words_and_no_answer_is_taken_for_lost(
    authority, tmp_path, version, shown, words
):
    """In TLS 1.3 the refusal comes when the request has left; a refresh token was not used up by it."""
    issuer = Authority(tmp_path, "other") if shown == "stranger" else authority
    certificate, key = issuer.issue("client", days=-1 if shown == "expired" else 5)
    ours = Tls(ca=authority.path, certificate=certificate, key=key)
    with WantsCertificate(authority, version) as server:
        opened = await connected(server.url, Tls(ca=authority.path) if shown == "none" else ours)
        outcome = await send(opened)
        assert isinstance(outcome, Retry)
        assert outcome.answer.reason == f"TLS: the target does not accept our certificate ({words})"
        form = {"refresh_token": "refresh-1-rrrrrrrrrrrr"}
        answer = await AuthApi(opened.client, FakeClock()).post(f"{server.url}/auth/refresh", form)
        assert answer == Failed(text=f"TLS: the Auth API does not accept our certificate ({words})")
        await opened.close(0)


# ---------------------------------------------------------------------- not checked at all


async def test_sec_09_a_connection_that_checks_nothing_says_so_in_log_and_state(authority, caplog):
    async with ScriptedServer(tls=authority.server("server", days=-1)) as server:
        server.script("/in", Answer(204))
        opened = await connected(server.url, Tls(verify=False))
        opened.announce()
        assert isinstance(await send(opened), Delivered)
        assert opened.state().tls.verified is False
        assert "is not checked" in caplog.text
        await opened.close(0)


async def test_sec_09_the_environment_turns_no_check_off(authority, monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
    async with ScriptedServer(tls=authority.server("server")) as server:
        assert isinstance(await one(server.url, Tls()), Retry)
        assert server.requests == []


async def test_a_file_that_is_bad_from_the_start_is_an_error_of_the_config(pair):
    pair.key.write_text("nothing")
    with pytest.raises(ConfigError, match="matching, unencrypted key"):
        await connected("https://127.0.0.1:9", pair.tls)
