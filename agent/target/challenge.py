"""What a target says about a token that it refused (RFC 6750, section 3). Pure.

    WWW-Authenticate: Bearer realm="api", error="insufficient_scope", scope="write", error_description="…"

The header is whatever the other side likes: it is cut before it is read, and only words that the RFC
allows are shown. What we signed with is blotted out of the result by who shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_HEADER = 1024
"""Characters of one header that are read."""
MAX_HEADERS = 8
MAX_WORDS = 200
"""Characters of the description, and of the scopes, that are shown."""

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110, section 5.6.2
_PART = re.compile(
    rf"""(?P<name>{_TOKEN})\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,"]+))|(?P<scheme>{_TOKEN})"""
)
_WORD = re.compile(r"[!#-\[\]-~]{1,64}")
_SCOPE = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")
_WANTED = frozenset({"error", "error_description", "scope"})


def told(headers: Iterable[str]) -> str:
    """The error of a Bearer challenge in words; nothing where there is none."""
    said = _bearer(headers)
    error = said.get("error", "")
    if not _WORD.fullmatch(error):
        return ""
    words = error
    if scope := _scope(said.get("scope", "")):
        words += f' (scope "{scope}" is needed: see `auth.scope`)'
    # The description is the last, so that a token that its cut leaves half can be found at the end.
    description = " ".join("".join(c if c.isprintable() else " " for c in said["error_description"]).split())
    return f"{words} - {description[:MAX_WORDS]}" if description else words


def _bearer(headers: Iterable[str]) -> dict[str, str]:
    """The parameters of the first challenge with the scheme Bearer that names an error."""
    for number, header in enumerate(headers):
        if number == MAX_HEADERS:
            break
        found, inside = {"error_description": ""}, False
        for part in _PART.finditer(header[:MAX_HEADER]):
            if part["scheme"]:
                if inside and "error" in found:
                    break
                inside = part["scheme"].lower() == "bearer"
            elif inside and (name := part["name"].lower()) in _WANTED:
                value = part["plain"] or re.sub(r"\\(.)", r"\1", part["quoted"] or "")
                found[name] = found.get(name) or value
        if "error" in found:
            return found
    return {}


def _scope(scope: str) -> str:
    """Whole scopes only: none is cut in the middle."""
    if not _SCOPE.fullmatch(scope):
        return ""
    return scope if len(scope) <= MAX_WORDS else scope[: MAX_WORDS + 1].rpartition(" ")[0]
