"""Two XML documents: where they differ. Compared in canonical form (C14N 2.0), prefixes aside."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from agent.testing.compare import MISSING, Difference


class NotXml(ValueError):
    """The text is no XML document; says why."""


def parsed(text: str) -> ET.Element:
    """The root of a document. Raises NotXml, also for a document type declaration: it could be a bomb."""
    if "<!DOCTYPE" in text:
        raise NotXml("a document type declaration is not allowed")
    try:
        return ET.fromstring(text)  # noqa: S314 - without a DTD there are no entities to expand
    except (ET.ParseError, ValueError) as error:
        raise NotXml(f"no well-formed XML: {error}") from None


def xml_differences(expected: ET.Element, got: ET.Element) -> Iterator[Difference]:
    """Where two documents differ; nothing when their canonical forms are the same."""
    if canonical(expected) == canonical(got):
        return
    found = list(_elements(expected, got, _name(expected)))
    # such as text on the other side of a child
    yield from found or [Difference(path=_name(expected), expected=_written(expected), got=_written(got))]


def canonical(root: ET.Element) -> str:
    """The canonical form, with prefixes of its own and without spaces between elements."""
    copy = ET.fromstring(_written(root))  # noqa: S314 - our own text
    for element in copy.iter():
        if len(element):
            element.text = _without_space(element.text)
            for child in element:
                child.tail = _without_space(child.tail)
    return ET.canonicalize(_written(copy), rewrite_prefixes=True)


def _written(root: ET.Element) -> str:
    """As text that is read back the same: a carriage return that is not escaped would become a line feed."""
    return ET.tostring(root, encoding="unicode").replace("\r", "&#13;")


def _without_space(text: str | None) -> str | None:
    return text if text and text.strip() else None


def _elements(expected: ET.Element, got: ET.Element, path: str) -> Iterator[Difference]:
    if expected.tag != got.tag:
        yield Difference(path=path, expected=f"<{expected.tag}>", got=f"<{got.tag}>")
        return
    for name in sorted({*expected.keys(), *got.keys()}):
        one, other = expected.get(name), got.get(name)
        if one != other:
            yield Difference(path=f"{path}/@{_local(name)}", expected=_shown(one), got=_shown(other))
    if _text(expected) != _text(got):
        yield Difference(path=path, expected=_text(expected) or MISSING, got=_text(got) or MISSING)
    for number, (one_child, other_child) in enumerate(zip(expected, got, strict=False), start=1):
        yield from _elements(one_child, other_child, f"{path}/{_name(one_child)}[{number}]")
    if len(expected) != len(got):
        yield Difference(path=path, expected=_children(expected), got=_children(got))


def _text(element: ET.Element) -> str:
    """All text of its own: of an element with children, what is more than space."""
    if not len(element):
        return element.text or ""
    pieces = [element.text, *(child.tail for child in element)]
    return "".join(piece for piece in pieces if piece and piece.strip())


def _shown(value: str | None) -> str:
    return MISSING if value is None else value or '""'


def _children(element: ET.Element) -> str:
    names = ", ".join(_name(child) for child in element)
    return f"{len(element)} children: {names}" if names else "no children"


def _name(element: ET.Element) -> str:
    return _local(str(element.tag))


def _local(name: str) -> str:
    return name.rpartition("}")[2]
