"""An XSD as a contract."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agent.contracts import ContractError, compiled, gather

pytest.importorskip("lxml", reason="the extra `xml` is not installed")

XSD = """\
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:x" xmlns="urn:x">
  {}
  <xs:element name="trips"><xs:complexType><xs:sequence>
    <xs:element name="trip" maxOccurs="unbounded"><xs:complexType><xs:sequence>
      <xs:element name="id" type="{}"/>
    </xs:sequence></xs:complexType></xs:element>
  </xs:sequence></xs:complexType></xs:element>
</xs:schema>
"""
NUMBER = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:x"><xs:simpleType name="number"><xs:restriction base="xs:int"/></xs:simpleType></xs:schema>'


def checker(**texts):
    known = {f"/schemas/{name}.xsd": text.encode() for name, text in texts.items()}

    def read(path):
        if path not in known:
            raise ContractError(f"{path} is not there")
        return known[path]

    return compiled("xsd", gather("xsd", "/schemas/main.xsd", read))


def trips(*ids):
    inner = "".join(f"<trip><id>{one}</id></trip>" for one in ids)
    return f'<t:trips xmlns:t="urn:x">{inner}</t:trips>'


def test_what_is_wrong_with_a_document_is_told_with_its_place():
    check = checker(main=XSD.format("", "xs:int"))
    assert check.reason(trips(1, 2)) == ""
    told = check.reason(trips(1, "x"))
    assert told.startswith("t:trips/trip[2]/id: ")
    assert "'x' is not a valid value" in told
    assert check.all_good([trips(1)])
    assert not check.all_good([trips(1), trips("x")])


def test_files_that_it_includes_are_taken_as_they_were_read_and_never_from_the_disk():
    main = XSD.format('<xs:include schemaLocation="types/number.xsd"/>', "number")
    check = checker(main=main, **{"types/number": NUMBER})
    assert check.reason(trips(7)) == ""
    assert "'x'" in check.reason(trips("x"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<xs:schema", "is no well-formed XML"),
        ("<a/>", "is no XSD"),
        (XSD.format("", "nothing"), "is no XSD"),
        (XSD.format('<xs:include schemaLocation="none.xsd"/>', "xs:int"), "none.xsd is not there"),
        (XSD.format('<xs:include schemaLocation="o n.xsd"/>', "xs:int"), "names o n.xsd, which is no URI"),
        (
            XSD.format('<xs:import namespace="urn:y" schemaLocation="https://example.com/y.xsd"/>', "xs:int"),
            "nothing is read over the network",
        ),
        (
            "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>" + XSD.format("", "xs:int"),
            "document type",
        ),
    ],
)
def test_what_is_no_schema_is_told(text, said):
    with pytest.raises(ContractError) as told:
        checker(main=text)
    assert said in told.value.message


def test_entities_of_a_document_are_not_expanded():
    bomb = "<!DOCTYPE t [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><t:trips xmlns:t='urn:x'><trip><id>&a;</id></trip></t:trips>"
    told = checker(main=XSD.format("", "xs:string")).reason(bomb)
    assert "root:" not in told


def test_without_the_extra_it_is_said_how_to_get_it():
    code = (
        "import sys; sys.modules['lxml'] = None\n"
        "from agent.contracts import compiled, ContractError\n"
        "try: compiled('xsd', (('/x.xsd', b'<a/>'),))\n"
        "except ContractError as error: print(error.message, '|', error.hint)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert said.stdout == "schema: an XSD needs an extra of push-agent | pip install 'push-agent[xml]'\n"
