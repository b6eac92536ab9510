"""Tests and contracts of bodies that are not one JSON document."""

from __future__ import annotations

from importlib import resources

import pytest

from agent.sandbox import realisation
from tests.support.job_tests import Trials

CSV = "source: {type: csv, path: /data/*.csv, types: {speed: DOUBLE, lon: DOUBLE, lat: DOUBLE}}\n"
XML = """\
body:
  format: xml
  per: PER
  root: {name: "tc:realisation", namespaces: {tc: "http://api.transportcloud.io/schemas/carrier/v1/realisation"}}
  each: tripRealisation
  map: {tripId: =trip, timestamp: =utc(ts), heading: 270, speed: =speed, x: =lon, y: =lat}
"""
ROW = '{trip: t1, ts: "2026-10-27T10:00:31+01:00", speed: SPEED, lon: 5.3, lat: 52}'
TRIP = (
    "<tripRealisation><tripId>t1</tripId><timestamp>2026-10-27T09:00:31Z</timestamp><heading>270</heading>"
    "<speed>80.0</speed><x>5.3</x><y>52.0</y></tripRealisation>"
)


@pytest.fixture
def tested(tmp_path):
    return Trials(tmp_path)


def given(*speeds):
    return "[" + ", ".join(ROW.replace("SPEED", str(speed)) for speed in speeds) + "]"


def test_xml_is_compared_without_its_prefixes_and_spaces(tested):
    expected = f"<r:realisation xmlns:r='{realisation.NAMESPACE}'>\n  {TRIP}\n  {TRIP}\n</r:realisation>"
    tested.put(
        CSV
        + XML.replace("PER", "batch")
        + f'tests:\n  - {{name: t, given: {given(80, 80)}, expect: [{{records: 2, xml: "{expected}"}}]}}\n'
    )
    assert tested.told() == []
    tested.put(
        CSV
        + XML.replace("PER", "batch")
        + f'tests:\n  - {{name: t, given: {given(80, 90)}, expect: [{{xml: "{expected}"}}]}}\n'
    )
    assert tested.told() == [("request 1", "realisation/tripRealisation[2]/speed[4]", "80.0", "90.0")]


def test_the_empty_prefix_is_the_default_namespace(tested, call, tmp_path):
    pytest.importorskip("lxml", reason="the extra `xml` is not installed")
    (tmp_path / "a.csv").write_text("id\n1\n")
    xsd = (
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:x" '
        'elementFormDefault="qualified"><xs:element name="all"><xs:complexType><xs:sequence>'
        '<xs:element name="one"><xs:complexType><xs:sequence><xs:element name="id" type="xs:int"/>'
        "</xs:sequence></xs:complexType></xs:element></xs:sequence></xs:complexType></xs:element></xs:schema>"
    )
    (tested.config / "all.xsd").write_text(xsd)
    tested.put(
        f"source: {{type: csv, path: {tmp_path}/a.csv, settle: 0s}}\n"
        'body: {format: xml, schema: all.xsd, root: {name: all, namespaces: {"": "urn:x"}}, each: one, map: {id: =id}}\n'
    )
    code, out, err = call("dry-run", "one", "--config", tested.config)
    assert (code, err) == (0, "")
    assert '<all xmlns="urn:x">\n<one><id>1</id></one>\n</all>' in out


@pytest.mark.parametrize("per", ["record", "batch"])
def test_records_that_break_an_xsd_are_set_aside_and_the_rest_is_what_the_platform_takes(tested, per):
    pytest.importorskip("lxml", reason="the extra `xml` is not installed")
    (tested.config / "schemas").mkdir()
    xsd = (resources.files("agent.sandbox") / "realisation.xsd").read_bytes()
    (tested.config / "schemas/realisation.xsd").write_bytes(xsd)
    tested.put(
        CSV
        + XML.replace("PER", per)
        + f"""\
  schema: schemas/realisation.xsd
tests:
  - name: t
    given: {given(80, -1, 90, 2000)}
    expect: {"[{records: 2}]" if per == "batch" else "[{}, {}]"}
    expect_dead:
      - reason: "breaks realisation.xsd: tc:realisation/tripRealisation/speed: Element 'speed': [facet 'minInclusive']"
      - reason: "[facet 'maxInclusive'] The value '2000.0'"
"""
    )
    assert tested.told() == []
    counts = [realisation.check(body.encode()) for body in tested.bodies()]
    assert counts == ([2] if per == "batch" else [1, 1])


@pytest.mark.parametrize("body", ["format: ndjson", "format: json, wrap: {events: =records}"])
def test_of_lines_and_of_a_wrapped_list_each_record_is_checked(tested, body):
    (tested.config / "even.json").write_text('{"properties": {"trip": {"maxLength": 2}}}')
    tested.put(
        "source: {type: csv, path: /data/*.csv}\n"
        f"body: {{{body}, schema: even.json, map: {{trip: =trip}}}}\n"
        """\
tests:
  - name: t
    given: [{trip: a}, {trip: abc}, {trip: ab}]
    expect: [{records: 2}]
    expect_dead: [{reason: 'breaks even.json: trip: "abc" is longer than 2 characters'}]
"""
    )
    assert tested.told() == []


def test_csv_and_ndjson_are_compared_as_text(tested):
    test = "tests:\n  - {name: t, given: [{a: x, b: 'y,z'}], expect: [{text: TEXT}]}\n"
    source = "source: {type: csv, path: /data/*.csv}\n"
    tested.put(source + "body: {format: csv}\n" + test.replace("TEXT", '"a,b\\r\\nx,\\"y,z\\""'))
    assert tested.told() == []
    tested.put(source + "body: {format: ndjson}\n" + test.replace("TEXT", '\'{"a":"x","b":"y,z"}\''))
    assert tested.told() == []
