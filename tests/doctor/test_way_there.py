"""DNS, TCP, TLS and HTTP against real sockets, real certificates, real handshakes."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import json
import socket
import ssl
import threading
import warnings

import pytest

from agent.config.model import Tls
from agent.doctor.dial import resolve
from agent.doctor.findings import Resolved, Unresolved
from tests.doctor.conftest import HASTY, Doctor
from tests.support.certificates import Authority
from tests.support.scripted import RawServer

OK = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


def dated(clock, ahead=0.0):
    date = email.utils.formatdate(clock.now() + ahead, usegmt=True)
    return f"HTTP/1.1 404 Not Found\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode()


def marks(verdicts):
    return [verdict.mark for verdict in verdicts.values()]


# ---------------------------------------------------------------------------------- all is well


async def test_a_healthy_server_passes_every_step_and_is_sent_no_body_and_no_credentials(doctor, authority):
    async with RawServer(dated(doctor.clock), tls=authority.server("good", days=18)) as server:
        failed, verdicts = await doctor.visit(server.url + "/trips?key=v", tls=Tls(ca=authority.path))
    assert (failed, marks(verdicts)) == ("", ["good"] * 4)
    assert verdicts["tls"].says.startswith("TLSv1.3, TLS_AES_256_GCM_SHA384; the certificate ends on 20")
    assert verdicts["tls"].says.endswith(", 18 days left")
    assert verdicts["tls"].details[0].startswith("good, signed by ca; ")
    assert verdicts["tls"].details[1] == "  for 127.0.0.1"
    assert verdicts["http"].says == "404 without credentials; the clocks agree"
    (sent,) = [each for each in server.received if each]
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"HEAD / HTTP/1.1\r\n")
    assert b"authorization" not in head.lower()
    assert body == b""
    assert doctor.screen.begun == [f"{name} {server.url}" for name in ("dns", "tcp", "tls", "http")]


async def test_plain_http_to_this_machine_is_fine(doctor):
    async with RawServer(dated(doctor.clock)) as server:
        failed, verdicts = await doctor.visit(server.url)
    assert (failed, marks(verdicts)) == ("", ["good"] * 4)
    assert verdicts["tls"].says == "plain http, to this machine itself"


async def test_the_whole_chain_is_shown(doctor, authority, tmp_path):
    certificate, key = authority.issue("leaf")
    (tmp_path / "chain.pem").write_bytes(certificate.read_bytes() + authority.path.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "chain.pem", key)
    async with RawServer(OK, tls=context) as server:
        _, verdicts = await doctor.visit(server.url, tls=Tls(ca=authority.path))
    told = verdicts["tls"].details
    assert told[0].startswith("leaf, signed by ca; ")
    assert told[2].startswith("ca, self-signed; ")
    assert [each["subject"] for each in verdicts["tls"].data["chain"]] == ["leaf", "ca"]


async def test_a_certificate_that_ends_soon_is_a_warning(doctor, authority):
    async with RawServer(OK, tls=authority.server("short", days=5)) as server:
        failed, verdicts = await doctor.visit(server.url, tls=Tls(ca=authority.path))
    assert (failed, verdicts["tls"].mark) == ("", "warning")
    assert verdicts["tls"].says.endswith(", 5 days left")
    assert verdicts["tls"].hint.startswith("the platform must renew it")


async def test_verification_that_is_off_is_a_warning(doctor, authority):
    async with RawServer(OK, tls=authority.server("any")) as server:
        failed, verdicts = await doctor.visit(server.url, tls=Tls(verify=False))
    assert (failed, verdicts["tls"].mark) == ("", "warning")
    assert "verification is off: anybody could be at the other end" in verdicts["tls"].says
    assert verdicts["tls"].data["verified"] is False


# ---------------------------------------------------------------------------------- names


def no_name(code):
    def answer(host, port):
        raise socket.gaierror(code, "as the library says it")

    return answer


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (socket.EAI_NONAME, "no such name", "there is no such name"),
        (socket.EAI_NODATA, "no address", "has no address"),
        (socket.EAI_AGAIN, "no answer", "SERVFAIL"),
        (socket.EAI_FAIL, "refused", "refused to answer"),
        (socket.EAI_MEMORY, "other", "cannot be resolved"),
    ],
)
async def test_each_way_in_which_a_name_has_no_address_is_told_apart(code, kind, words):
    failed, verdicts = await Doctor(no_name(code)).visit("https://api.example.com/x")
    assert (failed, marks(verdicts)) == ("dns", ["failed", "skipped", "skipped", "skipped"])
    assert verdicts["dns"].data == {"fault": kind}
    assert words in verdicts["dns"].says
    assert verdicts["dns"].hint
    assert verdicts["http"].says == "since dns failed"


async def test_a_name_that_cannot_exist_is_not_found_by_this_machine_either(doctor):
    failed, verdicts = await doctor.visit("https://nowhere.invalid/x")
    assert failed == "dns"
    assert verdicts["dns"].says.startswith("nowhere.invalid: ")
    assert verdicts["dns"].data["fault"] in {"no such name", "no answer"}  # the latter without any network


async def test_a_name_server_that_never_answers_is_a_timeout_and_holds_nobody():
    dead = threading.Event()

    def never(host, port):
        dead.wait()
        return []

    try:
        failed, verdicts = await Doctor(never).visit("https://api.example.com/x", deadlines=HASTY)
    finally:
        dead.set()
    assert failed == "dns"
    assert verdicts["dns"].data == {"fault": "timeout"}
    assert "port 53" in verdicts["dns"].hint


async def test_a_host_that_is_no_name_is_told():
    def system(host, port):
        return [str(found) for found in socket.getaddrinfo(host, port)]

    found = await resolve("a" * 64 + ".example", 443, resolver=system, deadline=30)
    assert found == Unresolved(kind="not a name")


async def test_a_resolver_that_finds_nothing_is_told():
    found = await resolve("api.example.com", 443, resolver=lambda host, port: [], deadline=30)
    assert found == Unresolved(kind="no address")


async def test_an_address_needs_no_name_server():
    found = await resolve("::1", 443, resolver=no_name(socket.EAI_FAIL), deadline=30)
    assert found == Resolved(addresses=("::1",), literal=True)


# ---------------------------------------------------------------------------------- addresses


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


async def test_a_port_where_nobody_listens_is_refused(doctor):
    port = free_port()
    failed, verdicts = await doctor.visit(f"https://127.0.0.1:{port}/x")
    assert (failed, marks(verdicts)) == ("tcp", ["good", "failed", "skipped", "skipped"])
    assert verdicts["tcp"].says == f"127.0.0.1:{port}: refused: nobody listens there"
    assert verdicts["tcp"].data["addresses"][0]["fault"] == "refused"


@contextlib.contextmanager
def full_listener():
    """Listens, never accepts, and its queue is full: the kernel drops whoever comes, as a firewall does."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.settimeout(0)
            one.connect_ex(server.getsockname())
        yield server.getsockname()[1]


async def test_an_address_that_drops_everything_is_told_from_one_that_refuses(doctor):
    with full_listener() as port:
        failed, verdicts = await doctor.visit(f"https://127.0.0.1:{port}/x", deadlines=HASTY)
    assert failed == "tcp"
    assert verdicts["tcp"].says == f"127.0.0.1:{port}: no answer (within 0.3 s)"
    assert "firewall" in verdicts["tcp"].hint


async def test_one_of_two_addresses_that_does_not_answer_is_a_warning():
    doctor = Doctor(lambda host, port: ["::1", "127.0.0.1"])
    async with RawServer(OK) as server:
        failed, verdicts = await doctor.visit(f"http://localhost:{server.port}/x")
    told = verdicts["tcp"]
    assert failed == ""
    assert told.says.startswith(f"127.0.0.1:{server.port} answered in ")
    (line,) = told.details
    assert line.startswith(f"[::1]:{server.port}: ")
    # A machine without IPv6 is none the worse for it; one that has it waits for the address in vain.
    without = told.data["addresses"][0]["fault"] == "no family"
    assert told.mark == ("good" if without else "warning")


# ---------------------------------------------------------------------------------- certificates


async def bad(doctor, context, authority, **more):
    """A visit that must end at TLS, and that must not have sent a byte of ours to a verified server."""
    async with RawServer(dated(doctor.clock, more.pop("ahead", 0)), tls=context) as server:
        failed, verdicts = await doctor.visit(server.url, tls=more.get("tls") or Tls(ca=authority.path))
    assert (failed, marks(verdicts)) == ("tls", ["good", "good", "failed", "skipped"])
    assert all(b"HEAD / " in each for each in server.received if each)
    return verdicts["tls"]


@contextlib.asynccontextmanager
async def openssl_server(context):
    """A server with OpenSSL on the socket itself, as most are: unlike asyncio's, it says why it hangs up."""

    def serve():
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), plain:
                plain.settimeout(20)
                with context.wrap_socket(plain, server_side=True) as secure:
                    secure.recv(65_536)
                    secure.sendall(OK)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            await asyncio.to_thread(thread.join)


async def test_an_expired_certificate(doctor, authority):
    told = await bad(doctor, authority.server("old", days=-1), authority)
    assert told.data["fault"] == "expired"
    assert told.says.startswith("the server's certificate has expired: that of old ended on 20")
    assert told.hint.startswith("the platform must renew it")
    assert ", over" in told.details[0]


async def test_a_certificate_that_is_not_valid_yet(doctor, authority):
    told = await bad(doctor, authority.server("early", days=95), authority)
    assert told.data["fault"] == "not yet valid"
    assert "that of early begins on 20" in told.says


@pytest.mark.parametrize(("days", "ahead"), [(95, 6 * 86_400), (-1, -3 * 86_400)])
async def test_auth_18_a_clock_that_is_wrong_is_told_from_a_certificate_that_is(
    doctor, authority, days, ahead
):
    told = await bad(doctor, authority.server("fine", days=days), authority, ahead=ahead)
    assert told.hint.startswith("your clock may be wrong: the server's is ")
    assert f"{abs(ahead) // 86_400} days {'ahead' if ahead > 0 else 'behind'}" in told.hint


async def test_a_self_signed_certificate(doctor, authority, tmp_path):
    told = await bad(doctor, Authority(tmp_path, "lonely").itself(), authority)
    assert told.data["fault"] == "self-signed"
    assert "`tls.ca`" in told.hint
    assert told.details[0].startswith("lonely, self-signed; ")


async def test_an_issuer_that_nobody_knows(doctor, authority, tmp_path):
    told = await bad(doctor, Authority(tmp_path, "other").server("stranger"), authority)
    assert told.data["fault"] == "unknown issuer"
    assert "`tls.ca`" in told.hint
    assert told.details[0].startswith("stranger, signed by other; ")


async def test_an_authority_of_a_company_that_is_sent_along_but_not_known(doctor, authority, tmp_path):
    other = Authority(tmp_path, "company")
    certificate, key = other.issue("site")
    (tmp_path / "chain.pem").write_bytes(certificate.read_bytes() + other.path.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "chain.pem", key)
    told = await bad(doctor, context, authority)
    assert told.data["fault"] == "self-signed authority"


async def test_a_certificate_of_another_name(doctor, authority):
    told = await bad(doctor, authority.server("elsewhere", address="127.0.0.9"), authority)
    assert told.data["fault"] == "wrong name"
    assert told.says == "the server's certificate belongs to another name: 127.0.0.9, not 127.0.0.1"


async def test_a_server_that_speaks_old_tls_only(doctor, authority):
    context = authority.server("old")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with openssl_server(context) as url:
        failed, verdicts = await doctor.visit(url, tls=Tls(ca=authority.path))
    assert (failed, verdicts["tls"].data["fault"]) == ("tls", "too old")
    assert "TLS 1.2 or newer" in verdicts["tls"].hint


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_that_wants_a_certificate_of_ours(doctor, authority, version):
    context = authority.server("strict", days=18)
    context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.path)
    async with openssl_server(context) as url:
        failed, verdicts = await doctor.visit(url, tls=Tls(ca=authority.path))
        certificate, key = authority.issue("us")
        ours = Tls(ca=authority.path, certificate=certificate, key=key)
        assert (await Doctor().visit(url, tls=ours))[0] == ""
    assert failed in {"tls", "http"}  # TLS 1.3 says it after the handshake
    assert "`tls.certificate`" in verdicts[failed].hint
    assert "certificate of ours" in verdicts[failed].says


async def test_a_certificate_of_ours_that_the_server_does_not_know(doctor, authority, tmp_path):
    context = authority.server("strict", days=18)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.path)
    certificate, key = Authority(tmp_path, "other").issue("us")
    async with openssl_server(context) as url:
        tls = Tls(ca=authority.path, certificate=certificate, key=key)
        failed, verdicts = await doctor.visit(url, tls=tls)
    assert verdicts[failed].data["fault"] == "certificate refused"


async def test_a_port_that_speaks_no_tls(doctor):
    async with RawServer(b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        failed, verdicts = await doctor.visit(server.url.replace("http:", "https:"), deadlines=HASTY)
    assert failed == "tls"
    assert verdicts["tls"].data["fault"] in {"no tls", "timeout", "closed"}


async def test_somebody_who_takes_the_connection_and_says_nothing(doctor):
    async with RawServer(None) as server:
        failed, verdicts = await doctor.visit(server.url.replace("http:", "https:"), deadlines=HASTY)
    assert failed == "tls"
    assert verdicts["tls"].data["fault"] == "timeout"


async def test_a_file_of_tls_that_is_missing_is_told_before_anything_is_sent(doctor, tmp_path):
    async with RawServer(OK) as server:
        failed, verdicts = await doctor.visit(server.url, tls=Tls(ca=tmp_path / "nowhere.pem"))
        assert [each for each in server.received if each] == []
    assert failed == "tls"
    assert verdicts["tls"].says.endswith("nowhere.pem: No such file or directory")


# ---------------------------------------------------------------------------------- answers and clocks


@pytest.mark.parametrize(
    ("ahead", "mark", "words"),
    [
        (10, "good", "the clocks agree"),
        (-120, "warning", "the server's clock is 2 min behind of ours"),
        (600, "failed", "the server's clock is 10 min ahead of ours"),
    ],
)
async def test_the_clocks_are_compared_and_a_wrong_one_stops_nothing(doctor, ahead, mark, words):
    async with RawServer(dated(doctor.clock, ahead)) as server:
        failed, verdicts = await doctor.visit(server.url)
    assert (failed, verdicts["http"].mark) == ("", mark)
    assert words in verdicts["http"].says
    assert ("timedatectl" in verdicts["http"].hint) == (mark != "good")
    assert abs(verdicts["http"].data["clock_difference"] - ahead) <= 1.0


@pytest.mark.parametrize("date", [b"", b"Date: yesterday\r\n", b"Date: Fri, 99 Nov 99999 00:00:00 GMT\r\n"])
async def test_an_answer_without_a_usable_date_is_fine(doctor, date):
    async with RawServer(b"HTTP/1.1 200 OK\r\n" + date + b"\r\n") as server:
        failed, verdicts = await doctor.visit(server.url)
    assert failed == ""
    assert verdicts["http"].says == "200 without credentials; no Date, so the clocks cannot be compared"


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"", "closed"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "not http"),
        (b"half an answer", "not http"),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", "not http"),
        (b"x" * 100_000 + b"\r\n\r\n", "not http"),
    ],
)
async def test_what_is_no_http_answer_is_told(doctor, answer, fault):
    async with RawServer(answer) as server:
        failed, verdicts = await doctor.visit(server.url)
    assert (verdicts["http"].mark, verdicts["http"].data) == ("failed", {"fault": fault})
    assert failed == ("" if fault == "closed" else "http")  # a server may dislike HEAD / and be well


async def test_a_server_that_takes_the_question_and_says_nothing(doctor):
    async with RawServer(None) as server:
        failed, verdicts = await doctor.visit(server.url, deadlines=HASTY)
    assert (failed, verdicts["http"].mark, verdicts["http"].data) == ("", "failed", {"fault": "timeout"})


async def test_a_server_with_a_fault_is_a_warning(doctor):
    async with RawServer(b"HTTP/1.1 503 Service Unavailable\r\n\r\n") as server:
        failed, verdicts = await doctor.visit(server.url)
    assert (failed, verdicts["http"].mark) == ("", "warning")


async def test_all_that_is_found_can_be_written_as_json(doctor, authority):
    async with RawServer(OK, tls=authority.server("good")) as server:
        _, verdicts = await doctor.visit(server.url, tls=Tls(ca=authority.path))
    assert json.loads(json.dumps({name: dict(verdict.data) for name, verdict in verdicts.items()}))
