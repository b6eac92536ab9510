from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest

from agent.message import Answer
from agent.request import Request
from agent.target.words import blotted

TOKEN = "abcdefgh/ijkl+mn=="
REQUEST = Request(
    method="POST",
    url="https://target.example.com/x",
    headers={"Authorization": f"Bearer {TOKEN}", "X-Shipper": "some-shipper"},
    secret_headers=frozenset({"Authorization"}),
    body=b"",
    gzip=True,
)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (f"you came with Bearer {TOKEN}, some-shipper", "you came with Bearer ********, some-shipper"),
        ("abcdefgh%2Fijkl%2Bmn%3D%3D is wrong", "******** is wrong"),
        (r'{"token": "abcdefgh\/ijkl+mn=="}', '{"token": "********"}'),
        ("abcdefgh/ijkl%2Bmn%3D%3D is wrong", "******** is wrong"),
        (f"{b64encode(f'Bearer {TOKEN}'.encode()).decode().rstrip('=')} is wrong", "******** is wrong"),
        (f"{b64encode(TOKEN.encode()).decode().rstrip('=')} is wrong", "******** is wrong"),
        (f"{TOKEN.encode().hex()} is wrong", "******** is wrong"),
        ("an answer that was cut at abcdefgh/ij", "an answer that was cut at ********"),
        ("nothing secret", "nothing secret"),
        ("", ""),
    ],
)
def test_sec_03_an_answer_that_repeats_what_signed_the_request_is_blotted(said, kept):
    answer = blotted(Answer(status=400, reason=said, headers={"X-Echo": said}, body=said), REQUEST)
    assert (answer.reason, answer.body, answer.headers) == (kept, kept, {"X-Echo": kept})


def test_sec_03_a_token_that_begins_with_what_is_escaped_is_blotted_too():
    request = replace(REQUEST, headers={"Authorization": "Bearer +/abcdefghijkl"})
    answer = blotted(Answer(status=400, reason="", body="%2B%2Fabcdefghijkl, %2B/abcdefghijkl"), request)
    assert answer.body == "********, ********"
