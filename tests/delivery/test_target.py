from __future__ import annotations

import asyncio
import gzip
import os
import socket
import ssl
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from agent.config.model import Expr, Tls
from agent.message import Answer as Kept
from agent.outcome import Delivered, Misdirected, Refused, Retry, Unauthorized
from agent.request import build, resolve
from agent.target import Terms, attempt, open_client, outcome_of, outcome_of_error
from agent.tls import ssl_context
from tests.support.delivery import WHERE, a_connection, a_draft, a_job, template
from tests.support.scripted import DROP, DROP_UNREAD, Answer, RawServer, ScriptedServer
from tests.support.world import ROOT

SUCCESS = frozenset(range(200, 300))


@pytest.fixture
async def client():
    async with open_client(ssl_context(Tls())) as client:
        yield client


@pytest.fixture
async def send(client, server):
    """Make one attempt of a message."""

    async def send(
        text="{}", *, url=None, total=10.0, connect=5.0, success=SUCCESS, gzip=True, draft=None, **target
    ):
        connection = a_connection(url or server.url, accepts_gzip=gzip)
        request = build(
            resolve(a_job(**target), connection),
            draft or a_draft(text),
            key="key-1",
            signature={"Authorization": "Bearer secret-token"},
        )
        terms = Terms(success=success, total=total, connect=connect)
        return await attempt(client, request, terms=terms, generation=7, now=lambda: 0.0)

    return send


# ---------------------------------------------------------------------- the table of status codes


def expected(status):
    if 200 <= status <= 299:
        return Delivered
    if status == 401:
        return Unauthorized
    if status in {403, 404, 405} or 300 <= status <= 399:
        return Misdirected
    if status in {407, 408, 425, 429} or status >= 500 or status < 200:
        return Retry
    return Refused


@pytest.mark.parametrize("status", range(100, 600))
def test_del_26_27_28_30_every_status_has_its_outcome(status):
    answer = Kept(status=status, reason="")
    outcome = outcome_of(answer, status=status, success=SUCCESS, generation=7, after=3.0)
    assert type(outcome) is expected(status)


def test_del_31_a_2xx_that_the_job_does_not_call_a_success_is_not_one():
    answer = Kept(status=202, reason="")
    assert isinstance(outcome_of(answer, status=202, success=frozenset({200, 204})), Misdirected)


def test_a_status_that_the_job_calls_a_success_is_one():
    assert isinstance(
        outcome_of(Kept(status=409, reason=""), status=409, success=frozenset({409})), Delivered
    )


@pytest.mark.parametrize("status", [0, 600, 999])
def test_a_status_beyond_http_is_tried_again(status):
    assert isinstance(outcome_of(Kept(status=status, reason=""), status=status, success=SUCCESS), Retry)


# ---------------------------------------------------------------------- the table of errors

MISDIRECTED = {
    "InvalidURL",
    "InvalidUrlClientError",
    "RedirectClientError",
    "NonHttpUrlClientError",
    "InvalidUrlRedirectClientError",
    "NonHttpUrlRedirectClientError",
    "TooManyRedirects",
}


def subclasses(kind):
    return {kind} | {each for sub in kind.__subclasses__() for each in subclasses(sub)}


def all_errors():
    roots = (aiohttp.ClientError, OSError, ssl.SSLError, TimeoutError, asyncio.TimeoutError)
    modules = ("aiohttp", "builtins", "ssl", "socket")
    found = set().union(*map(subclasses, roots))
    return sorted((each for each in found if each.__module__.partition(".")[0] in modules), key=str)


def an_error(kind):
    """One of its kind, made without the arguments that each of them wants."""
    key = ConnectionKey(
        "t.test", 443, is_ssl=True, ssl=None, proxy=None, proxy_auth=None, proxy_headers_hash=None
    )
    error = kind.__new__(kind)
    Exception.__init__(error)
    for name, value in {
        "_conn_key": key,
        "_os_error": OSError(),
        "_certificate_error": ssl.SSLCertVerificationError(),
        "verify_message": "self-signed",
    }.items():
        with suppress(AttributeError):
            setattr(error, name, value)
    return error


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_every_client_error_has_its_outcome(kind):
    outcome = outcome_of_error(an_error(kind))
    assert type(outcome) is (Misdirected if kind.__name__ in MISDIRECTED else Retry)
    assert outcome.answer.status is None
    assert outcome.answer.reason


def test_every_error_of_aiohttp_has_a_reason_of_its_own():
    bare = {"ClientError", "ClientConnectionError", "ClientOSError", "ServerConnectionError"}
    bare |= {"WSMessageTypeError", "UploadAbortedError"}  # of requests that are never made here
    vague = {
        kind.__name__
        for kind in all_errors()
        if kind.__module__.startswith("aiohttp")
        and outcome_of_error(an_error(kind)).answer.reason == "network error"
    }
    assert vague <= bare


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "connection refused"),
        (ConnectionResetError(104, "reset"), "connection reset"),
        (OSError(113, "No route to host"), "no route to host"),
        (socket.gaierror(-2, "Name or service not known"), "the host name cannot be resolved"),
    ],
)
def test_a_reason_names_the_cause(cause, reason):
    key = ConnectionKey(
        "t.test", 443, is_ssl=True, ssl=None, proxy=None, proxy_auth=None, proxy_headers_hash=None
    )
    assert outcome_of_error(aiohttp.ClientConnectorError(key, cause)).answer.reason == reason


def test_an_error_of_our_own_is_not_taken_for_one_of_the_network():
    assert outcome_of_error(KeyError("bug")) is None


# ---------------------------------------------------------------------- what is sent


async def test_the_body_leaves_as_it_lies_in_the_spool_when_the_target_takes_gzip(send, server):
    server.script("/in", Answer(204))
    draft = a_draft("x" * 1000)
    assert isinstance(await send(draft=draft), Delivered)
    (request,) = server.requests
    assert request.body == draft.body
    assert request.headers["Content-Encoding"] == "gzip"
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers["Idempotency-Key"] == "key-1"
    assert request.headers["Authorization"] == "Bearer secret-token"


@pytest.mark.parametrize("size", [0, 1000, 3_000_000])
async def test_the_body_is_plain_when_the_target_does_not_take_gzip(send, server, size):
    server.script("/in", Answer(200))
    text = "".join(chr(97 + (i * i) % 23) for i in range(size))
    assert isinstance(await send(text, gzip=False), Delivered)
    (request,) = server.requests
    assert request.body == text.encode()
    assert "Content-Encoding" not in request.headers
    assert int(request.headers["Content-Length"]) == size


async def test_a_body_that_is_damaged_in_the_spool_is_refused_with_its_reason(send, server):
    draft = replace(a_draft("x"), body=b"no gzip at all")
    outcome = await send(draft=draft, gzip=False)
    assert isinstance(outcome, Refused)
    assert "damaged" in outcome.answer.reason
    assert server.requests == []


async def test_the_path_is_not_encoded_twice(send, server):
    path = template("/", Expr(sql="id", where=WHERE))
    await send(draft=a_draft("{}", path="/a%2Fb%25"), path=path)
    assert server.requests[0].path == "/in/a%2Fb%25"


async def test_auth_47_the_environment_has_no_say(send, server, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login evil password evil\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.script("/in", Answer(204))
    assert isinstance(await send(), Delivered)
    assert server.requests[0].headers["Authorization"] == "Bearer secret-token"


async def test_no_cookie_comes_back(send, server):
    server.script("/in", Answer(200, headers={"Set-Cookie": "session=1"}))
    await send()
    outcome = await send()
    assert "Cookie" not in server.requests[1].headers
    assert "Set-Cookie" not in outcome.answer.headers


# ---------------------------------------------------------------------- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_del_30_auth_46_a_redirect_is_never_followed(send, server, status):
    async with ScriptedServer() as other:
        server.script("/in", Answer(status, headers={"Location": f"{other.url}/in?token=x"}))
        outcome = await send()
        assert isinstance(outcome, Misdirected)
        assert f"to {other.url}/in (redirects are never followed)" in outcome.answer.reason
        assert other.requests == []
        assert len(server.requests) == 1


# ---------------------------------------------------------------------- answers


async def test_an_answer_is_kept_in_a_form_that_can_be_shown(send, server):
    body = b"line 1\r\nred \x1b[31m \xff \x00 end"
    server.script("/in", Answer(422, body, headers={"X-Trace": "7", "Set-Cookie": "s=1"}))
    outcome = await send()
    assert isinstance(outcome, Refused)
    assert outcome.answer.reason.startswith("422 Unprocessable")
    assert outcome.answer.body == "line 1\nred \\x1b[31m \\xff \\x00 end"
    assert outcome.answer.headers["X-Trace"] == "7"
    assert "Set-Cookie" not in outcome.answer.headers


async def test_del_38_no_more_than_64_kib_of_an_answer_are_read_and_nothing_is_unpacked(send, server):
    bomb = gzip.compress(b"0" * 100_000_000, 9)
    server.script("/in", [Answer(200, bomb, headers={"Content-Encoding": "gzip"}), Answer(204)])
    outcome = await send()
    assert isinstance(outcome, Delivered)
    assert len(outcome.answer.body) <= 4 * 4096
    assert isinstance(await send(), Delivered)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", Delivered),
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", Delivered),
        (b"HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n", Delivered),
        (b"HTTP/1.1 599 Odd\r\nContent-Length: 0\r\n\r\n", Retry),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Delivered),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            Delivered,
        ),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", Retry),
        (b"HTTP/1.1 100 Continue\r\n\r\n", Retry),
        (b"SSH-2.0-OpenSSH_9.6\r\n", Retry),
        (b"HTTP/1.1 abc\r\n\r\n", Retry),
        (b"HTTP/1.1 99999 OK\r\n\r\n", Retry),
        (b"\x16\x03\x01\x00\x00", Retry),
        (b"", Retry),
    ],
)
async def test_del_32_whatever_a_server_says_becomes_an_outcome(send, raw, kind):
    async with RawServer(raw) as server:
        assert isinstance(await send(url=server.url, total=3.0), kind)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", Retry),
        (b"HTTP/1.1 400 Bad\r\nContent-Length: 50\r\n\r\nshort", Refused),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nlonger", Retry),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Retry),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\njunk\r\n", Retry),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 5_000_000, Retry),
        (b"HTTP/1.1 200 OK\r\n" + b"X-N: a\r\n" * 100_000, Retry),
    ],
)
async def test_del_37_broken_framing_is_an_error_in_bounded_memory(send, raw, kind):
    async with RawServer(raw) as server:
        assert isinstance(await send(url=server.url, total=5.0), kind)


async def test_del_33_a_slow_answer_ends_at_the_deadline(send, server):
    server.script("/in", Answer(200, b"x" * 1000, trickle=0.05))
    outcome = await send(total=0.3)
    assert isinstance(outcome, Retry)
    assert outcome.answer.reason == "timeout: no complete answer"


async def test_del_36_no_answer_ends_at_the_deadline(send):
    async with RawServer(None) as server:
        outcome = await send(url=server.url, total=0.2)
    assert isinstance(outcome, Retry)
    assert outcome.answer.reason.startswith("timeout")


async def test_del_43_a_connection_that_cannot_be_made_ends_at_the_connect_timeout(send):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fill = [socket.socket() for _ in range(3)]
    for one in fill:
        one.settimeout(0)
        one.connect_ex(listener.getsockname())
    outcome = await send(url=f"http://127.0.0.1:{listener.getsockname()[1]}", total=30.0, connect=0.2)
    assert isinstance(outcome, Retry)
    assert outcome.answer.reason == "timeout while connecting"
    for one in (*fill, listener):
        one.close()


class Names(aiohttp.abc.AbstractResolver):
    """A resolver of which the test says what it answers: addresses, an error, or nothing at all (None)."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0

    async def resolve(self, host, port=0, family=socket.AF_INET):
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, OSError):
            raise answer
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in answer
        ]

    async def close(self):
        pass


async def through(names, url, *, connect=5.0):
    async with open_client(ssl_context(Tls()), resolver=names) as client:
        request = build(resolve(a_job(), a_connection(url)), a_draft("{}"), key="key-1", signature={})
        terms = Terms(success=SUCCESS, total=20.0, connect=connect)
        return [await attempt(client, request, terms=terms, generation=1, now=lambda: 0.0) for _ in range(2)]


async def test_del_41_a_name_that_is_unknown_is_asked_for_again(server):
    server.script("/in", Answer(200))
    names = Names(socket.gaierror(socket.EAI_NONAME, "Name or service not known"), ["127.0.0.1"])
    first, second = await through(names, f"http://platform.example:{server.port}")
    assert isinstance(first, Retry)
    assert first.answer.reason == "the host name cannot be resolved"
    assert isinstance(second, Delivered)


async def test_del_41_names_that_are_never_answered_end_at_the_limit_to_connect(server):
    first, second = await through(Names(None), f"http://platform.example:{server.port}", connect=0.1)
    assert {type(first), type(second)} == {Retry}
    assert first.answer.reason == "timeout while connecting"
    assert server.requests == []


@contextmanager
def black_hole(host, port):
    """Connections to it are never made and never refused: its queue is full."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(3):
            fill = stack.enter_context(socket.socket(family))
            fill.settimeout(0)
            fill.connect_ex((host, port))
        yield


async def test_del_42_an_ipv6_address_that_nobody_answers_does_not_hold_the_ipv4_one(server):
    server.script("/in", Answer(200))
    with suppress(OSError), black_hole("::1", server.port):
        first, _ = await through(
            Names(["::1", "127.0.0.1"]), f"http://platform.example:{server.port}", connect=15.0
        )
        assert isinstance(first, Delivered)
        return
    pytest.skip("this machine has no IPv6")


LITTLE_MEMORY = """
import asyncio, gzip, resource
from dataclasses import replace
from agent.config.model import Tls
from agent.request import build, resolve
from agent.target import Terms, attempt, open_client
from agent.tls import ssl_context
from tests.support.delivery import a_connection, a_draft, a_job

async def main():
    async with open_client(ssl_context(Tls())) as client:
        route = resolve(a_job(), a_connection("http://127.0.0.1:9", accepts_gzip=False))
        pages = int(open("/proc/self/statm").read().split()[0])
        most = pages * resource.getpagesize() + 200_000_000
        body = gzip.compress(bytes(1_000_000), 9)
        big = replace(a_draft("{}"), body=body * 1000, size=10**9)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        for draft in (big, a_draft("{}")):
            request = build(route, draft, key="key-1", signature={})
            terms = Terms(success=frozenset({200}), total=10.0, connect=5.0)
            outcome = await attempt(client, request, terms=terms, generation=1, now=lambda: 0.0)
            print(type(outcome).__name__, outcome.answer.reason)

asyncio.run(main())
"""


def test_res_02_a_body_larger_than_the_memory_waits_and_says_so_and_others_go_on():
    done = subprocess.run(
        [sys.executable, "-c", LITTLE_MEMORY],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=ROOT,
    )
    assert done.stdout.splitlines() == [
        "Retry there is not enough memory to unpack the body",
        "Retry connection refused",
    ], done.stderr


@pytest.mark.parametrize("step", [DROP, DROP_UNREAD, Answer(200, b"0123456789", drop="half")])
async def test_del_34_a_connection_that_breaks_is_ambiguous_and_sent_again(send, server, step):
    server.script("/in", step)
    assert isinstance(await send(), Retry)
    assert len(server.requests) == 1


async def test_connection_refused_is_named(send):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        outcome = await send(url=f"http://127.0.0.1:{free.getsockname()[1]}")
    assert isinstance(outcome, Retry)
    assert outcome.answer.reason == "connection refused"


async def test_auth_33_a_401_before_the_upload_ends_is_seen_as_401(send, server):
    server.script("/in", Answer(401, b"who are you?", early=True))
    draft = replace(a_draft("x"), body=os.urandom(6_000_000))
    outcome = await send(draft=draft)
    assert outcome == Unauthorized(answer=outcome.answer, generation=7)


async def test_auth_30_a_403_is_misdirected_and_a_401_names_its_generation(send, server):
    server.script("/in", [Answer(403), Answer(401)])
    assert isinstance(await send(), Misdirected)
    assert (await send()).generation == 7


async def test_del_21_retry_after_is_read_from_every_header_of_that_name(send):
    raw = b"HTTP/1.1 429 Slow\r\nRetry-After: 3\r\nretry-after: 5\r\nContent-Length: 0\r\n\r\n"
    async with RawServer(raw) as server:
        outcome = await send(url=server.url)
    assert isinstance(outcome, Retry)
    assert outcome.after == 5.0


# ---------------------------------------------------------------------- a connection that was kept alive


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_del_35_a_kept_connection_that_the_peer_closed_is_no_failure(send, server, method):
    server.script("/in", [Answer(200), DROP_UNREAD, Answer(204)])
    assert isinstance(await send(method=method), Delivered)
    outcome = await send(method=method)
    assert isinstance(outcome, Delivered)
    assert outcome.answer.status == 204
    assert [one.headers["Idempotency-Key"] for one in server.requests] == ["key-1"] * 3


async def test_del_35_it_is_sent_again_once_and_not_more(send, server):
    server.script("/in", [Answer(200), DROP])
    await send()
    assert isinstance(await send(), Retry)
    assert len(server.requests) == 3


# ---------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


async def test_del_39_a_self_signed_certificate_gets_no_byte_of_the_request(send, self_signed):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed / "cert.pem", self_signed / "key.pem")
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server's side of the refusal
    async with RawServer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", tls=context) as server:
        outcome = await send(url=server.url)
        assert isinstance(outcome, Retry)
        assert outcome.answer.reason == "TLS: the certificate is not accepted (self-signed certificate)"
        assert not any(server.received)


async def test_del_40_a_certificate_of_the_configured_authority_is_accepted(self_signed):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed / "cert.pem", self_signed / "key.pem")
    async with (
        ScriptedServer(tls=context) as server,
        open_client(ssl_context(Tls(ca=self_signed / "cert.pem"))) as ours,
    ):
        server.script("/in", Answer(204))
        request = build(resolve(a_job(), a_connection(server.url)), a_draft("{}"), key="k", signature={})
        terms = Terms(success=SUCCESS, total=5, connect=5)
        assert isinstance(await attempt(ours, request, terms=terms, generation=0, now=lambda: 0.0), Delivered)


async def test_a_client_that_a_reload_closed_means_try_again(send, client, server):
    await client.close()
    assert isinstance(await send(), Retry)
