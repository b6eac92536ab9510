"""`type: http`: sign-in, refusals, bombs, other origins: what is on the way of a page."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest

from agent.auth.session import Signed
from agent.errors import NotSignedIn
from tests.support.clock import FakeClock
from tests.support.pulling import PullWorld, rows
from tests.support.scripted import Answer, RawServer, ScriptedServer

SIMPLE = "type: http\nconnection: api\npath: /items\n"
BEARER = "auth: {type: bearer, token: {secret: token}}\n"


class Session:
    """Gives the tokens of a list; remembers which were refused."""

    def __init__(self, *tokens):
        self.tokens = tokens
        self.refused = []

    async def sign(self):
        generation = len(self.refused)
        if generation >= len(self.tokens):
            raise NotSignedIn("no token is left", hint="see auth status")
        token = self.tokens[generation]
        return Signed(generation=generation, headers={"Authorization": f"Bearer {token}"})

    async def rejected(self, generation):
        self.refused.append(generation)
        if len(self.refused) >= len(self.tokens):
            raise NotSignedIn("no token is left", hint="see auth status")

    async def close(self, grace=None):
        pass


@pytest.fixture
async def signed(tmp_path, server):
    one = PullWorld(tmp_path, server.url, connection=BEARER)
    one.write("secrets/token", "x")
    yield one
    await one.close()


async def failed(world, **more):
    result = await world.run(**more)
    assert result.state == "failed"
    assert world.bodies() == []
    return result.reason


async def test_a_401_is_told_to_the_session_once_and_the_page_asked_for_again(signed, server):
    server.script("/items", [Answer(401), Answer(json=rows(1))])
    signed.job(SIMPLE)
    session = Session("old-token-1", "new-token-2")
    await signed.connect(session)
    assert (await signed.run()).state == "done"
    assert [one.headers["Authorization"] for one in server.requests] == [
        "Bearer old-token-1",
        "Bearer new-token-2",
    ]
    assert signed.ids() == [1]


async def test_a_second_401_ends_the_run_and_says_so(signed, server):
    server.script("/items", Answer(401, b"token canary-of-a-token unknown"))
    signed.job(SIMPLE)
    await signed.connect(Session("a", "canary-of-a-token", "c"))
    reason = await failed(signed)
    assert reason.startswith("answer: 401 Unauthorized")
    assert "canary" not in reason
    assert len(server.requests) == 2


async def test_nobody_is_signed_in(signed, server):
    signed.job(SIMPLE)
    await signed.connect(Session())
    assert await failed(signed) == "answer: no token is left (see auth status)"
    assert server.requests == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(500, b"it   burns\n<b>"), "answer: 500 Internal Server Error: it burns <b> (the schedule tries again)"),
        (Answer(404, b"x" * 1000), "answer: 404 Not Found: " + "x" * 300 + "…"),
        (Answer(301, headers={"Location": "http://elsewhere.example.com/?q"}), "answer: 301 Moved Permanently to"),
        (Answer(307, headers={"Location": "/other"}), "redirects are never followed"),
        (Answer(206, b"[]"), "answer: 206 Partial Content"),
        (Answer(drop="read"), "answer: connection closed without an answer"),
        (Answer(json=rows(1), drop="half"), "answer: the answer broke off"),
        (Answer(body=b"[", headers={"Content-Encoding": "br"}), "answer: the answer comes as Content-Encoding br"),
        (Answer(body=gzip.compress(b"[]" * 99)[:-9], headers={"Content-Encoding": "gzip"}), "the compressed answer broke off"),
        (Answer(body=b"plain", headers={"Content-Encoding": "gzip"}), "the compressed answer is damaged"),
        (Answer(body=gzip.compress(b"[]") + b"junk", headers={"Content-Encoding": "gzip"}), "the compressed answer is damaged"),
    ],
)  # fmt: skip
async def test_what_is_no_good_answer_is_told_and_nothing_is_sent(world, server, answer, words):
    server.script("/items", answer)
    assert words in await failed(world.job(SIMPLE))
    assert {one.path for one in server.requests} == {"/items"}


async def test_retry_after_holds_the_whole_connection_and_no_thread(tmp_path, server):
    clock = FakeClock()
    world = PullWorld(tmp_path, server.url, clock=clock)
    server.script("/items", [Answer(429, headers={"Retry-After": "90"}), Answer(json=rows(1))])
    world.job(SIMPLE)
    assert "429 Too Many Requests (not asked again for 90 s)" in await failed(world)
    assert "the target asked for silence; 90 s of it are left" in await failed(world)
    assert len(server.requests) == 1
    await clock.advance(91)
    assert (await world.run()).state == "done"
    assert world.ids() == [1]
    await world.close()


async def test_gzip_in_several_members_is_read(world, server):
    packed = gzip.compress(b'[{"id":1},') + gzip.compress(b'{"id":2}]')
    server.script("/items", Answer(body=packed, headers={"Content-Encoding": "gzip"}))
    assert (await world.job(SIMPLE).run()).state == "done"
    assert world.ids() == [1, 2]


def bomb(size):
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(b" " * 1_000_000) for _ in range(size)) + packer.flush()


async def test_sec_18_a_gzip_bomb_is_refused_long_before_it_is_unpacked(world, server):
    server.script("/items", Answer(body=bomb(90), headers={"Content-Encoding": "gzip"}))
    assert "the compressed answer grows more than 200 times" in await failed(world.job(SIMPLE))
    assert list(world.temp.iterdir()) == []


@pytest.mark.parametrize("packed", [False, True])
async def test_an_answer_larger_than_allowed_is_refused(world, server, packed):
    body = b'[{"id":"' + bytes(65 + number % 26 for number in range(200_000)) + b'"}]'
    headers = {"Content-Encoding": "gzip"} if packed else {}
    server.script("/items", Answer(body=gzip.compress(body) if packed else body, headers=headers))
    assert "answer: more than 100,000 bytes" in await failed(world.job(SIMPLE + "max_bytes: 100KB"))


async def test_an_answer_that_never_ends_is_cut_off_by_the_time_limit(world, server):
    held = asyncio.Event()
    server.script("/items", Answer(hold=held))
    assert "timeout" in await failed(world.job(SIMPLE + "timeout: 200ms"))
    held.set()


async def test_what_is_no_http_is_told(tmp_path):
    async with RawServer(b"\x00\x01 nonsense\r\n\r\n") as raw:
        world = PullWorld(tmp_path, raw.url)
        assert "the answer is not HTTP" in await failed(world.job(SIMPLE))
        await world.close()


async def test_a_stop_ends_a_page_under_way_and_the_next_run_asks_again(world, server):
    held = asyncio.Event()
    server.script("/items", [Answer(json=rows(1), hold=held), Answer(json=rows(1))])
    world.job(SIMPLE)
    ending = asyncio.Event()
    world.stopped = ending.is_set
    running = asyncio.create_task(world.run())
    await server.until(1)
    ending.set()
    assert (await running).state == "stopped"
    held.set()
    ending.clear()
    assert (await world.run()).state == "done"
    assert world.ids() == [1]


@pytest.mark.parametrize("paging", ["next: link", "next: /next"])
async def test_a_token_never_goes_to_the_origin_that_a_page_names(signed, server, paging):
    async with ScriptedServer() as other:
        away = f"{other.url}/items"
        server.script("/items", Answer(json={"next": away, "d": []}, headers={"Link": f"<{away}>; rel=next"}))
        signed.job(SIMPLE + f"paging: {{{paging}}}\nrecords: /d")
        await signed.connect(Session("token-canary"))
        reason = await failed(signed)
        assert "page 1: the next page is said to be at another origin (127.0.0.1)" in reason
        assert other.requests == []


@pytest.mark.parametrize("keep", [True, False])
async def test_a_token_never_goes_to_the_origin_that_was_the_connections_before(tmp_path, server, keep):
    async with ScriptedServer() as old:
        pages = [Answer(json={"d": rows(1), "next": "/items?page=2"}), Answer(json={"d": rows(3)})]
        old.script("/items", pages)
        server.script("/items", Answer(json={"d": rows(2)}))
        world = PullWorld(tmp_path, old.url)
        source = SIMPLE + f"records: /d\npaging: {{next: /next, keep: {str(keep).lower()}}}"
        assert (await world.job(source).run(limit=1)).records == 1
        await world.opened["api"].close(grace=0)
        world.write("secrets/token", "x")
        world.write("connections/api.yaml", f"connection: api\ntype: http\nurl: {server.url}\n{BEARER}")
        world.job(source)
        await world.connect(Session("token-canary"))
        assert (await world.run()).state == "done"
        assert len(old.requests) == 1
        assert [request.path for request in server.requests] == ["/items"]
        assert world.ids() == [1, 2]
        await world.close()


async def test_without_a_sign_in_a_page_may_lead_to_another_origin(world, server):
    async with ScriptedServer() as other:
        other.script("/items", Answer(json=rows(2)))
        server.script("/items", Answer(json=rows(1), headers={"Link": f"<{other.url}/items>; rel=next"}))
        assert (await world.job(SIMPLE + "paging: {next: link}").run()).state == "done"
        assert world.ids() == [1, 2]


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("ftp://127.0.0.1/x", "neither http nor https"),
        ("file:///etc/passwd", "page 1: "),
        ("http://user:pw@127.0.0.1/x", "must not hold a user name"),
        ("/a b", "holds a space"),
        (["x"], "is neither a text nor a number"),
    ],
)
async def test_a_next_page_that_cannot_be_asked_for_is_told(world, server, to, words):
    server.script("/items", Answer(json={"d": [], "n": to}))
    assert words in await failed(world.job(SIMPLE + "records: /d\npaging: {next: /n}"))


async def test_headers_of_the_job_are_sent_and_none_of_ours_twice(signed, server):
    server.script("/items", Answer(json=rows(1)))
    signed.job(SIMPLE + "headers: {X-Tenant: acme, accept: text/plain}")
    await signed.connect(Session("t1"))
    assert (await signed.run()).state == "done"
    headers = server.requests[0].headers
    assert (headers["X-Tenant"], headers["Accept"], headers["Authorization"]) == (
        "acme",
        "text/plain",
        "Bearer t1",
    )
    assert len(headers.getall("Accept")) == 1


async def test_an_endpoint_with_a_query_and_a_url_of_its_own(tmp_path, server):
    world = PullWorld(tmp_path, server.url, connection=f"endpoints: {{list: '{server.url}/list?v=1'}}\n")
    server.script("/list", Answer(json=rows(1)))
    server.script("/list/more", Answer(json=rows(2)))
    server.script("/whole", Answer(json=rows(3)))
    for where in ("endpoint: list\nquery: {a: b}", "endpoint: list\npath: /more", f"url: {server.url}/whole"):
        result = await world.job(f"type: http\nconnection: api\n{where}").run()
        assert (result.state, result.reason) == ("done", "")
    assert [one.path for one in server.requests] == ["/list?v=1&a=b", "/list/more?v=1", "/whole"]
    await world.close()


@pytest.mark.parametrize(
    ("form", "body", "said"),
    [
        ("csv", b"\n<!DOCTYPE html>\n<html>\n<body>Sign in</body>\n</html>\n", "an HTML page and no CSV"),
        ("csv", b"\xef\xbb\xbf<!-- proxy --><html></html>", "an HTML page and no CSV"),
        ("csv", b'{\n  "error": "quota exceeded",\n  "code": 7\n}\n', "JSON and no CSV"),
        ("csv", b"[]", "JSON and no CSV"),
        ("csv", b"<?xml version='1.0'?>\n<error/>\n", "XML and no CSV"),
        ("json", b"<html>\n<body>Sign in</body>\n</html>\n", "an HTML page and no JSON"),
        ("ndjson", b"<HTML>\n</HTML>\n", "an HTML page and no NDJSON"),
    ],
)
async def test_a_page_to_sign_in_and_an_error_of_another_kind_are_no_records(world, server, form, body, said):
    server.script("/items", Answer(200, body))
    reason = await failed(world.job(SIMPLE + f"format: {form}\non_bad_row: dead_letter\n"))
    assert reason.startswith(f"answer: is {said} (a page to sign in, or of an error?")


async def test_a_connection_that_is_gone_is_told(world, server):
    world.job(SIMPLE)
    await world.connect()
    opened = world.opened.pop("api")
    world.opened["other"] = opened
    assert "there is no connection api now" in await failed(world)


async def test_a_page_that_the_api_has_forgotten_is_told_with_a_way_out(world, server):
    server.script("/items", [Answer(json={"d": rows(1), "c": "old"}), Answer(410, b"cursor expired")])
    world.job(SIMPLE + "records: /d\npaging: {cursor: /c}")
    await world.run(limit=1)
    result = await world.run()
    assert result.reason.startswith("page 2: 410 Gone: cursor expired (")
    assert result.reason.endswith(
        "an earlier run was cut off before this page; a change of `query` begins anew)"
    )
