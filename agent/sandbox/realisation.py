"""The XML document of `/api/v1/realisation`, held against `realisation.xsd` by hand.

The sandbox must be strict without lxml being there; one document of two levels is less than a library.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator
from typing import Final
from xml.etree import ElementTree as ET

NAMESPACE = "http://api.transportcloud.io/schemas/carrier/v1/realisation"
ROOT = f"{{{NAMESPACE}}}realisation"
TRIP = "tripRealisation"

_SPACE = " \t\r\n"
_DOUBLE = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DATE_TIME = re.compile(
    r"-?([1-9][0-9]{4,}|[0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?"
    r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))?"
)
_ALLOWED_ANYWHERE = frozenset(
    f"{{http://www.w3.org/2001/XMLSchema-instance}}{name}"
    for name in ("schemaLocation", "noNamespaceSchemaLocation")
)


class Invalid(ValueError):
    """The document is not as the XSD says; the text says where."""


def check(plain: bytes) -> int:
    """How many trips the document holds. Raises Invalid for the first thing that is wrong."""
    if b"<!DOCTYPE" in plain:
        raise Invalid("a document type declaration is not allowed")
    try:
        root = ET.fromstring(plain)  # noqa: S314 - without a DTD there are no entities to expand
    except (ET.ParseError, ValueError, LookupError) as error:
        raise Invalid(f"not well-formed XML: {error}") from None
    if root.tag != ROOT:
        raise Invalid(f"the root must be 'realisation' in namespace {NAMESPACE}, not '{root.tag}'")
    _no_attributes(root, "realisation")
    _no_text(root, "realisation")
    for number, trip in enumerate(root, 1):
        if trip.tag != TRIP:
            raise Invalid(f"child {number} must be an unqualified '{TRIP}', not '{trip.tag}'")
        _trip(trip, f"{TRIP} {number}")
    if not len(root):
        raise Invalid(f"there must be at least one {TRIP}")
    return len(root)


def _trip(trip: ET.Element, place: str) -> None:
    _no_attributes(trip, place)
    _no_text(trip, place)
    wanted = iter(_ELEMENTS)
    for child in trip:
        for name, required, right in wanted:
            if child.tag == name:
                _value(child, f"{place}, {name}", right)
                break
            if required:
                raise Invalid(f"{place}: '{name}' is expected here, not '{child.tag}'")
        else:
            raise Invalid(f"{place}: nothing is expected after 'y', and there is '{child.tag}'")
    for name, required, _ in wanted:
        if required:
            raise Invalid(f"{place}: '{name}' is missing at the end")


def _value(element: ET.Element, place: str, right: Callable[[str], str]) -> None:
    _no_attributes(element, place)
    if len(element):
        raise Invalid(f"{place}: holds the element '{element[0].tag}' instead of a value")
    text = (element.text or "").strip(_SPACE)
    if wrong := right(text):
        raise Invalid(f"{place}: '{text[:60]}' {wrong}")


def _no_attributes(element: ET.Element, place: str) -> None:
    for name in element.attrib:
        if name not in _ALLOWED_ANYWHERE:
            raise Invalid(f"{place}: the attribute '{name}' is not allowed")


def _no_text(element: ET.Element, place: str) -> None:
    for text in _texts(element):
        if text.strip(_SPACE):
            raise Invalid(f"{place}: holds the text '{text.strip(_SPACE)[:60]}' between its elements")


def _texts(element: ET.Element) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        yield child.tail or ""


def _name(text: str) -> str:
    return "" if text else "is empty"


def _date_time(text: str) -> str:
    """A lexical xs:dateTime of XSD 1.0."""
    wrong = "is no xs:dateTime such as 2026-10-27T09:00:31Z"
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        return wrong
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    if not (year and 1 <= month <= 12 and 1 <= day <= _days(year, month)):  # noqa: PLR2004
        return wrong
    midnight = (hour, minute, second) == (24, 0, 0) and not float(found[7] or 0)
    return "" if midnight or (hour < 24 and minute < 60 and second < 60) else wrong  # noqa: PLR2004


def _days(year: int, month: int) -> int:
    return calendar.monthrange(year % 400 + 400, month)[1]


def _between(low: float, high: float) -> Callable[[str], str]:
    def right(text: str) -> str:
        if not _DOUBLE.fullmatch(text):
            return "is no number (xs:double)"
        return "" if low <= float(text) <= high else f"is not from {low:g} to {high:g}"

    return right


_ELEMENTS: Final = (
    # name, whether it must be there, what is wrong with its text
    ("tripId", True, _name),
    ("timestamp", True, _date_time),
    ("heading", False, _between(0, 360)),
    ("speed", False, _between(0, 1000)),
    ("x", True, _between(-180, 180)),
    ("y", True, _between(-90, 90)),
)
