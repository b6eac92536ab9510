"""What a target says about a token (RFC 6750, section 3), in the lane's reason: all of it, and no more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.target.challenge import MAX_HEADER, MAX_WORDS, told

SCOPE = 'Bearer realm="api", error="insufficient_scope", scope="read write", error_description="More, please"'


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ([SCOPE], 'insufficient_scope (scope "read write" is needed: see `auth.scope`) - More, please'),
        (['bearer error = "invalid_token"'], "invalid_token"),
        (["Bearer error=invalid_token,error_description=expired"], "invalid_token - expired"),
        (['Basic realm="a, b", Bearer error="invalid_token"'], "invalid_token"),
        (['Bearer error="invalid_token", Basic error="x", error_description="of basic"'], "invalid_token"),
        (['Negotiate abc==, Bearer ERROR="invalid_token"'], "invalid_token"),
        (["Basic realm=x", SCOPE.replace(", scope", ", nope")], "insufficient_scope - More, please"),
        (['Bearer error="invalid_token", error_description="it \\"died\\"\x1b[31m\r\n now"'], 'invalid_token - it "died" [31m now'),
        (['Bearer error="invalid_token", scope="a\x00b"'], "invalid_token"),
        (['Bearer realm="x"'], ""),
        (['Basic error="invalid_token"'], ""),
        (['Bearer error="in valid"'], ""),
        (['Bearer error="'], ""),
        (["Bearer error=" + "x" * 65], ""),
        (["Basic x=y"] * 8 + [SCOPE], ""),
        ([], ""),
    ],
)  # fmt: skip
def test_a_challenge_is_told_in_words(headers, words):
    assert told(headers) == words


@given(
    st.lists(
        st.text(st.characters(codec="latin-1"))
        | st.sampled_from(["Bearer ", 'error="', "error=", '\\"', '"', ","])
    ).map("".join)
)
def test_whatever_stands_in_the_header_becomes_one_short_printable_line(header):
    words = told([header, f"Bearer error=a, {header}"])
    assert words.isprintable()
    assert len(words) <= 64 + 2 * MAX_WORDS + 80


@pytest.mark.parametrize("piece", ['"', '\\"', 'a="', "a=", "Bearer ", "\\", 'error="a" '])
def test_a_long_header_is_cut_before_it_is_read(piece):
    assert len(told([f'Bearer error=a, error_description="{piece * MAX_HEADER * 100}"'])) < 400


def test_scopes_are_cut_between_two_of_them():
    scope = " ".join(["scope:of:twenty:char"] * 30)
    shown = told([f'Bearer error="insufficient_scope", scope="{scope}"']).split('"')[1]
    assert set(shown.split()) == {"scope:of:twenty:char"}
    assert len(shown) <= MAX_WORDS
