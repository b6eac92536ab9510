from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from agent.config.model import Expr
from agent.errors import ConfigError
from agent.request import Unaddressed, as_curl, build, kept, masked, resolve
from tests.support.delivery import WHERE, a_connection, a_draft, a_job, template

ID = Expr(sql="id", where=WHERE)
SIGNATURE = {"Authorization": "Bearer top-secret"}


def made(*, draft=None, connection=None, **target):
    route = resolve(a_job(**target), connection or a_connection("https://t.test/api"))
    return build(route, draft or a_draft("{}"), key="k-1", signature=SIGNATURE)


def test_a_request_says_what_it_is():
    request = made(connection=a_connection("https://t.test", accepts_gzip=True))
    assert (request.method, request.url, request.gzip) == ("POST", "https://t.test/in", True)
    assert request.headers == {
        "User-Agent": "push-agent/0.1.0",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
        "Idempotency-Key": "k-1",
        "Authorization": "Bearer top-secret",
    }
    assert list(request.headers)[-1] == "Authorization"


def test_a_target_without_gzip_gets_no_content_encoding():
    request = made()
    assert "Content-Encoding" not in request.headers
    assert not request.gzip


def test_the_jobs_own_headers_win_whatever_their_case():
    request = made(headers=(("content-type", template("text/csv")), ("user-agent", template("mine"))))
    assert [value for name, value in request.headers.items() if name.lower() == "user-agent"] == ["mine"]
    assert [name for name in request.headers if name.lower() == "content-type"] == ["Content-Type"]
    assert request.headers["Content-Type"] == "text/csv"


def test_the_session_wins_over_the_job():
    request = made(headers=(("authorization", template("mine")),))
    assert [value for name, value in request.headers.items() if name.lower() == "authorization"] == [
        "Bearer top-secret"
    ]


def test_headers_of_the_record_are_sent_when_the_job_still_has_them():
    draft = a_draft("{}", headers={"X-Id": "7", "X-Gone": "8"})
    request = made(draft=draft, headers=(("X-Id", template(ID)),))
    assert request.headers["X-Id"] == "7"
    assert "X-Gone" not in request.headers


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/devices/a%2Fb", "https://t.test/api/in/devices/a%2Fb"),
        ("devices/7?mode=full", "https://t.test/api/in/devices/7?mode=full"),
        ("", "https://t.test/api/in"),
    ],
)
def test_the_path_of_a_record_is_joined_as_it_stands(path, url):
    assert made(draft=a_draft("{}", path=path), path=template("/devices/", ID)).url == url


def test_a_fixed_path_is_percent_encoded_once():
    assert made(path=template("/a b/c%20d")).url == "https://t.test/api/in/a%20b/c%20d"


def test_the_query_of_an_endpoint_stays_behind_the_path():
    assert (
        made(endpoint=None, url="https://t.test/in?k=v", path=template("/x")).url == "https://t.test/in/x?k=v"
    )


@pytest.mark.parametrize(
    "path", ["/a/../b", "/a/%2e%2E/b", "/..", "./x", "/a b", "/ä", "/a\r\nHost: x", "/a%", "/a#b", "/a\0"]
)
def test_a_record_cannot_leave_its_path(path):
    with pytest.raises(ValueError, match="path of this record"):
        made(draft=a_draft("{}", path=path), path=template("/", ID))


def test_a_message_without_the_path_that_its_job_needs_now_says_so():
    with pytest.raises(Unaddressed):
        made(path=template("/", ID))


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "a\x1bb", "\ud800"])
def test_line_breaks_never_get_into_a_header(value):
    with pytest.raises(ValueError, match="X-Id"):
        made(draft=a_draft("{}", headers={"X-Id": value}), headers=(("X-Id", template(ID)),))


def test_a_bad_content_type_and_a_bad_token_are_not_sent_and_a_token_not_shown():
    with pytest.raises(ValueError, match="Content-Type"):
        made(draft=replace(a_draft("{}"), content_type="a\nb"))
    route = resolve(a_job(), a_connection("https://t.test"))
    with pytest.raises(ValueError, match="Authorization") as error:
        build(route, a_draft("{}"), key="k", signature={"Authorization": "Bearer sec\nret"})
    assert "sec" not in str(error.value)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (
            {"endpoint": "planing"},
            "connection platform has no endpoint 'planing'\n  hint: its endpoints: in, other",
        ),
        ({"endpoint": None}, "no endpoint, no url"),
        ({"url": "ftp://t.test/"}, "not an http or https URL"),
        ({"url": "https:///x"}, "not an http or https URL"),
        ({"url": "https://t.test:99999/"}, "not an http or https URL"),
        ({"url": "https://me:pw@t.test/"}, "a URL holds a user name"),
        ({"headers": (("Content-Length", template("3")),)}, "this header is the agent's own"),
        ({"headers": (("X Y", template("3")),)}, "not a header name"),
        ({"headers": (("X-Y", template("a\nb")),)}, "line break"),
    ],
)
def test_what_is_wrong_with_a_route_is_said_before_anything_is_sent(target, text):
    with pytest.raises(ConfigError) as error:
        resolve(a_job(**target), a_connection("https://t.test"))
    assert text in str(error.value)
    assert str(error.value).startswith("jobs/gps.yaml:7:3: target")


def test_secrets_are_masked_wherever_a_request_is_shown():
    request = made(headers=(("X-Api-Key", template("hush-hush")),))
    assert masked(request.headers)["Authorization"] == "********"
    assert masked({"X-Mine": "v"}, secret=["x-mine"]) == {"X-Mine": "********"}
    for text in (as_curl(request), repr(request), str(kept(request))):
        assert "top-secret" not in text
        assert "hush-hush" not in text
    assert "Authorization" not in kept(request)
    assert kept(request)["Idempotency-Key"] == "k-1"


def test_curl_says_method_headers_body_and_url():
    text = as_curl(made(connection=a_connection("https://t.test", accepts_gzip=True), method="PUT"))
    assert text.startswith("curl --request PUT --header 'User-Agent: push-agent/0.1.0'")
    assert text.endswith("--data-binary @body.gz https://t.test/in")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("a 'b'\r\n", ["--data-raw", "a 'b'\r\n"]),
        ("@/etc/passwd", ["--data-raw", "@/etc/passwd"]),
        ("\x1b[2J", ["--data-binary", "@body"]),
        ("\0", ["--data-binary", "@body"]),
        (None, ["--data-binary", "@body"]),
    ],
)
def test_curl_takes_no_body_for_the_name_of_a_file(body, said):
    assert shlex.split(as_curl(made(), text=body))[-3:-1] == said
