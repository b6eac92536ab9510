"""Where two documents differ."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.testing.compare import differences
from agent.testing.xml import NotXml, canonical, parsed, xml_differences

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_a_value_is_what_is_expected_of_itself(value):
    assert list(differences(value, value, exact=True)) == []


@given(st.dictionaries(st.text(), VALUES, max_size=4), st.text(), VALUES)
def test_a_key_too_many_counts_only_where_the_test_is_exact(document, key, value):
    fewer = {name: part for name, part in document.items() if name != key}
    more = {**fewer, key: value}
    assert list(differences(fewer, more)) == []
    assert len(list(differences(fewer, more, exact=True))) == 1
    assert len(list(differences(more, fewer))) == 1


def test_numbers_are_compared_by_value_and_true_is_no_number():
    assert list(differences(52, 52.0)) == []
    assert [(one.expected, one.got) for one in differences([1, 0], [True, False])] == [
        ("1", "true"),
        ("0", "false"),
    ]


def test_a_list_has_as_many_items_as_expected():
    assert [(one.path, one.expected, one.got) for one in differences({"a": [1]}, {"a": [2, 3]})] == [
        ("a", "a list of 1: [1]", "a list of 2: [2, 3]"),
        ("a[0]", "1", "2"),
    ]


def told(expected, got):
    return [(one.path, one.expected, one.got) for one in xml_differences(parsed(expected), parsed(got))]


def test_prefixes_spaces_between_elements_and_the_order_of_attributes_do_not_matter():
    one = '<a:r xmlns:a="urn:x" p="1" q="2"><c>x y</c><d/></a:r>'
    other = '<b:r xmlns:b="urn:x"\n q="2" p="1">\n  <c>x y</c>\n  <d></d>\n</b:r>\n'
    assert canonical(parsed(one)) == canonical(parsed(other))
    assert told(one, other) == []


def test_text_attributes_names_and_namespaces_matter():
    assert told("<r><c>x</c></r>", "<r><c> x</c></r>") == [("r/c[1]", "x", " x")]
    assert told('<r a="1"/>', '<r b="1"/>') == [("r/@a", "1", "(nothing)"), ("r/@b", "(nothing)", "1")]
    assert told("<r><c/></r>", "<r><c/><d/></r>") == [("r", "1 children: c", "2 children: c, d")]
    assert told("<r/>", '<r xmlns="urn:x"/>') == [("r", "<r>", "<{urn:x}r>")]
    assert told("<r>a<c/></r>", "<r>b<c/></r>") == [("r", "a", "b")]


def test_no_difference_is_silent():
    assert told('<r a=""/>', "<r/>") == [("r/@a", '""', "(nothing)")]
    assert told("<r>&#13;</r>", "<r>&#10;</r>") == [("r", "\r", "\n")]
    assert told("<r>x<c/></r>", "<r><c/>x</r>") == [("r", "<r>x<c /></r>", "<r><c />x</r>")]


@pytest.mark.parametrize("text", ["<r>", "", "<!DOCTYPE r [<!ENTITY a 'b'>]><r>&a;</r>"])
def test_what_is_no_xml_is_told(text):
    with pytest.raises(NotXml):
        parsed(text)
