"""Paths and headers of a record: SQL of the text of a template."""

from __future__ import annotations

from urllib.parse import quote

from agent.config.model import Expr, Template
from agent.mapping.sql import concat, literal, spliced

PATH_SAFE = "/?=&%:@!$'()*+,;~"
"""What stands in the fixed text of a path as it is written; the rest is percent-encoded (RFC 3986)."""


def path(template: Template) -> str:
    """SQL of a path for one record; fails where a piece is empty or would leave its path segment.

    `url_encode` leaves only the unreserved characters of RFC 3986 as they are; `.` and `..` are made
    of those, so whole segments are checked afterwards.
    """
    pieces = []
    for part in template.parts:
        if isinstance(part, str):
            pieces.append(literal(quote(part, safe=PATH_SAFE)))
            continue
        text = f"CAST({spliced(part.sql)} AS VARCHAR)"
        said = literal(_empty(part))
        filled = f"CASE WHEN {text} <> '' THEN {text} ELSE CAST(__fail({said}, {text}) AS VARCHAR) END"
        pieces.append(f"url_encode({filled})")
    text = concat(pieces)
    refused = literal(_dots(template))
    return (
        f"CASE WHEN regexp_matches({text}, '(^|/)[.][.]?(/|[?#]|$)') "
        f"THEN CAST(__fail({refused}, {text}) AS VARCHAR) ELSE {text} END"
    )


def header(name: str, template: Template) -> str:
    """SQL of a header's value for one record; fails on NULL and on control characters (CR, LF, …)."""
    text = _header_text(template)
    empty, control = _no_value(name, template), _control(name, template)
    return (
        f"CASE WHEN {text} IS NULL THEN CAST(__fail({empty}, {text}) AS VARCHAR) "
        f"WHEN regexp_matches({text}, '[\\x00-\\x1f\\x7f]') "
        f"THEN CAST(__fail({control}, {text}) AS VARCHAR) ELSE {text} END"
    )


def path_trouble(template: Template) -> str:
    """SQL of why a record has no path, where it has none."""
    cases = [
        f"WHEN coalesce(CAST({spliced(part.sql)} AS VARCHAR), '') = '' THEN {literal(_empty(part))}"
        for part in template.parts
        if not isinstance(part, str)
    ]
    return f"CASE {' '.join(cases)} ELSE {literal(_dots(template))} END"


def header_trouble(name: str, template: Template) -> str:
    """SQL of why a record has no such header, where it has none."""
    empty, control = _no_value(name, template), _control(name, template)
    return f"CASE WHEN {_header_text(template)} IS NULL THEN {empty} ELSE {control} END"


def _header_text(template: Template) -> str:
    pieces = [
        literal(part) if isinstance(part, str) else f"CAST({spliced(part.sql)} AS VARCHAR)"
        for part in template.parts
    ]
    return f"({' || '.join(pieces)})"


def _empty(part: Expr) -> str:
    return f"{part.where.path}: {{{part.sql}}} is empty"


def _dots(template: Template) -> str:
    return f"{template.where.path}: a piece of the path is . or .."


def _no_value(name: str, template: Template) -> str:
    return literal(f"{template.where.path}: the header {name} has no value")


def _control(name: str, template: Template) -> str:
    return literal(f"{template.where.path}: the header {name} would hold a control character")
