"""Bodies for the eye, and whether they are well-formed: never another digit, never another letter."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.commands.dead_text import ending_of, format_of, pretty, records_of, trouble
from tests.support.values import quick

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@quick
@given(values)
def test_json_laid_out_is_the_same_json_but_for_white_space_between_its_pieces(value):
    text = json.dumps(value, ensure_ascii=False)
    laid_out = pretty(text, "json")
    assert json.loads(laid_out) == value
    strings = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
    assert strings.findall(laid_out) == strings.findall(text)


def test_json_is_laid_out_one_value_a_line_with_every_digit():
    text = '{"a": 1.10, "b":[], "c":{}, "d":[12345678901234567890.0,{"x":"{,}: \\""}]}'
    assert pretty(text, "json").splitlines() == [
        "{",
        '  "a": 1.10,',
        '  "b": [],',
        '  "c": {},',
        '  "d": [',
        "    12345678901234567890.0,",
        "    {",
        '      "x": "{,}: \\""',
        "    }",
        "  ]",
        "}",
    ]


def test_xml_is_laid_out_but_what_holds_text_stays_as_it_is():
    text = '<?xml version="1.0"?><r><a>1</a><b/><c></c><d x="1"><e>t &amp; u</e></d><m>mixed <b>x</b> tail</m></r>'
    laid_out = pretty(text, "xml")
    assert laid_out.splitlines() == [
        '<?xml version="1.0"?>',
        "<r>",
        "  <a>1</a>",
        "  <b/>",
        "  <c></c>",
        '  <d x="1">',
        "    <e>t &amp; u</e>",
        "  </d>",
        "  <m>mixed <b>x</b> tail</m>",
        "</r>",
    ]
    assert pretty(laid_out, "xml") == laid_out


@pytest.mark.parametrize(
    ("text", "kind"), [('{"a":', "json"), ("<a><b></a>", "xml"), ("a;b", "csv"), ("x", "")]
)
def test_what_is_not_well_formed_or_of_no_known_format_is_shown_as_it_is(text, kind):
    assert pretty(text, kind) == text


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b'{"a":1}', "json", ""),
        (b'\xef\xbb\xbf{"a":1}', "json", ""),
        (b"1" * 5_000, "json", ""),
        (b'{"a":1,}', "json", "line 1 column 8: "),
        (b"[NaN]", "json", "NaN is no JSON"),
        (b"[" * 100_000, "json", ""),
        (b'"\xff"', "json", "byte 2 is no UTF-8"),
        (b'{"a":1}\n\n{"b":2}\n', "ndjson", ""),
        (b'{"a":1}\n{"b"}\n', "ndjson", "line 2: "),
        (b"<a>\n<b/></a>", "xml", ""),
        ("<?xml version='1.0' encoding='latin-1'?><a>é</a>".encode("latin-1"), "xml", ""),
        (b"<a><b></a>", "xml", "line 1 column 9: mismatched tag"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "xml", "it declares entities"),
        (b"a;b\n1;2\n", "csv", ""),
        (b'a,b\n"x\ny",2\n', "csv", ""),
        (b"a;b\n1;2;3\n", "csv", "line 2: 3 columns where the first line has 2"),
        (b'a,b\n"x', "csv", "line 2: "),
        (b"\xff", "", ""),
    ],
)
def test_what_is_wrong_with_a_body_is_told_by_its_line(body, kind, said):
    found = trouble(body, kind)
    assert found.startswith(said)
    if body != b"[" * 100_000:
        assert bool(found) == bool(said)
    else:
        assert found


def test_records_of_lists_and_lines_are_counted():
    assert records_of(b"[1,[2,3],4]", "json") == 3
    assert records_of(b"{}", "json") is None
    assert records_of(b"[1,", "json") is None
    assert records_of(b"1\n\n2\n", "ndjson") == 2
    assert records_of(b"a\n1\n", "csv") is None


@pytest.mark.parametrize(
    ("content_type", "kind", "ending"),
    [
        ("application/json; charset=utf-8", "json", ".json"),
        ("application/problem+json", "json", ".json"),
        ("application/vnd.acme+xml", "xml", ".xml"),
        ("text/xml", "xml", ".xml"),
        ("text/csv", "csv", ".csv"),
        ("application/x-ndjson", "ndjson", ".ndjson"),
        ("text/plain", "", ".txt"),
        ("application/octet-stream", "", ".bin"),
        ("", "", ".bin"),
    ],
)
def test_formats_are_told_by_the_content_type(content_type, kind, ending):
    assert (format_of(content_type), ending_of(content_type)) == (kind, ending)
