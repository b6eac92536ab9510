"""The check of the sandbox's XML document by hand says what the XSD says."""

from __future__ import annotations

from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sandbox import realisation

GOOD = {
    "tripId": "t 1",
    "timestamp": "2026-10-27T09:00:31Z",
    "heading": "270",
    "speed": "0",
    "x": "5.3",
    "y": "52",
}


def document(*trips, root="tc:realisation", namespace=realisation.NAMESPACE):
    inner = "".join(
        "<tripRealisation>"
        + "".join(f"<{name}>{text}</{name}>" for name, text in trip)
        + "</tripRealisation>"
        for trip in trips
    )
    return f'<{root} xmlns:tc="{namespace}">\n{inner}\n</{root}>'.encode()


def told(plain):
    try:
        realisation.check(plain)
    except realisation.Invalid as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def xsd():
    etree = pytest.importorskip("lxml.etree", reason="the extra `xml` is not installed")
    text = (resources.files("agent.sandbox") / "realisation.xsd").read_bytes()
    schema = etree.XMLSchema(etree.fromstring(text))
    return lambda plain: schema.validate(etree.fromstring(plain))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"heading": None, "speed": None}, ""),
        ({"timestamp": "2026-02-29T00:00:00Z"}, "timestamp: '2026-02-29T00:00:00Z' is no xs:dateTime"),
        ({"timestamp": "2026-10-27 09:00:31Z"}, "is no xs:dateTime"),
        ({"speed": "fast"}, "tripRealisation 1, speed: 'fast' is no number (xs:double)"),
        ({"heading": "361"}, "heading: '361' is not from 0 to 360"),
        ({"y": "90.1"}, "y: '90.1' is not from -90 to 90"),
        ({"x": None}, "tripRealisation 1: 'x' is expected here, not 'y'"),
        ({"y": None}, "tripRealisation 1: 'y' is missing at the end"),
        ({"tripId": " "}, "tripId: '' is empty"),
        ({"tripId": "<b/>"}, "holds the element 'b'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(changes, said, xsd):
    plain = document([(name, text) for name, text in {**GOOD, **changes}.items() if text is not None])
    assert said in told(plain)
    assert (told(plain) == "") == (said == "") == xsd(plain)


TEXTS = {
    "tripId": st.sampled_from(["t", "", " ", "\n a  b "]),
    "timestamp": st.builds(
        "{}-{}-{}T{}:{}:{}{}".format,
        st.sampled_from(["2026", "2024", "1900", "2000", "12026", "02026", "26", "-0004"]),
        st.sampled_from(["01", "02", "12", "13", "00", "1"]),
        st.sampled_from(["01", "28", "29", "30", "31", "32", "00"]),
        st.sampled_from(["00", "23", "24", "25"]),
        st.sampled_from(["00", "59", "60"]),
        st.sampled_from(["00", "59", "60", "00.0", "59.25"]),
        st.sampled_from(
            ["", "Z", "+01:00", "-14:00", "+14:01", "+15:00", "z"]
        ),  # libxml2 refuses spaces behind it, XSD does not
    ),
}
NUMBERS = st.sampled_from(
    [
        "0",
        "-0",
        "90",
        "91",
        "-90.0",
        "180",
        "181",
        "1e2",
        "1E3",
        "1e4",
        ".5",
        "5.",
        ".",
        "",
        "+1",
        "0x1",
        "INF",
        " 7\n",
        "1_0",
    ]
)
ELEMENT = st.sampled_from(list(GOOD)).flatmap(
    lambda name: st.tuples(st.just(name), st.just(GOOD[name]) | TEXTS.get(name, NUMBERS))
)
IN_ORDER = st.tuples(
    *(st.tuples(st.just(name), st.just(good) | TEXTS.get(name, NUMBERS)) for name, good in GOOD.items())
).map(list)


@given(st.lists(st.lists(ELEMENT, max_size=7) | IN_ORDER, max_size=3))
def test_it_agrees_with_the_xsd_about_any_trips(xsd, trips):
    plain = document(*trips)
    assert (told(plain) == "") == xsd(plain), told(plain)


@pytest.mark.parametrize(
    "plain",
    [
        document(GOOD.items(), root="realisation"),
        document(GOOD.items(), namespace="urn:other"),
        document(),
        document(GOOD.items()).replace(b"<tripRealisation>", b'<tripRealisation id="1">'),
        document(GOOD.items()).replace(b"<tripRealisation>", b"<tripRealisation>text"),
        document(GOOD.items()).replace(b"</tripRealisation>", b"</tripRealisation>text"),
        document(GOOD.items()).replace(b"<x>", b'<x a="b">'),
        document(GOOD.items()).replace(b"tripRealisation>", b"tc:tripRealisation>"),
        document(GOOD.items()).replace(b"<tc:realisation ", b'<tc:realisation version="1" '),
    ],
)
def test_it_agrees_with_the_xsd_about_other_shapes(xsd, plain):
    assert told(plain)
    assert not xsd(plain)


def test_comments_and_a_place_of_the_schema_are_allowed(xsd):
    plain = document(GOOD.items()).replace(b"270", b"2<!-- c -->70")
    hint = b'<tc:realisation xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:schemaLocation="a b" '
    plain = plain.replace(b"<tc:realisation ", hint)
    assert told(plain) == ""
    assert xsd(plain)
