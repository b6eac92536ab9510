"""Names and characters of XML 1.0 and of namespaces in XML 1.0."""

from __future__ import annotations

import re
from collections.abc import Collection

_START = (
    "A-Z_a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c-\u200d\u2070-\u218f"
    "\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
_NAME = re.compile(f"[{_START}][{_START}\\-.0-9\u00b7\u0300-\u036f\u203f-\u2040]*")
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
RESERVED = frozenset({"xml", "xmlns"})


def forbidden(text: str) -> str:
    """The first character that XML cannot hold, as `U+0001`; empty when there is none."""
    found = _FORBIDDEN.search(text)
    return f"U+{ord(found[0]):04X}" if found else ""


def is_plain_name(text: str) -> bool:
    """Whether it is a name without a prefix."""
    return _NAME.fullmatch(text) is not None


def trouble(name: str, prefixes: Collection[str]) -> str:
    """What is wrong with the name of an element or an attribute; empty when nothing is."""
    prefix, colon, local = name.rpartition(":")
    if not is_plain_name(local) or (colon and not is_plain_name(prefix)):
        return "is not an XML name"
    if colon and prefix != "xml" and prefix not in prefixes:
        return f"the prefix {prefix} is not declared"
    if not colon and local == "xmlns":
        return "xmlns is no name of its own: namespaces are declared in root.namespaces"
    return ""
