"""What libyaml says about a text that is no YAML → what a person is told."""

from __future__ import annotations

import yaml

_QUOTE = "quote texts that hold `: `, ` #` or begin with one of @ ` % & * ! | > { [ - ?"
_INDENT = "keys of one level must begin in the same column; use two spaces for each level"

# libyaml's words (a part of them) → ours and a hint. The first that fits counts.
_WORDS = (
    (
        "mapping values are not allowed",
        "there is a colon too many here, or this line is indented wrongly",
        "write a space after each colon, also in the line before; quote texts that hold `: `",
    ),
    (
        "could not find expected ':'",
        "a colon is missing after this key (or in the line before)",
        "write `key: value`",
    ),
    ("did not find expected key", "this does not fit what stands before it", f"{_INDENT}; close every quote"),
    ("did not find expected '-' indicator", "this does not fit the list before it", _INDENT),
    (
        "did not find expected ',' or '}'",
        "a comma or a closing } is missing here",
        "write {key: value, key: value}",
    ),
    ("did not find expected ',' or ']'", "a comma or a closing ] is missing here", "write [one, two]"),
    ("found character that cannot start any token", "a text cannot begin with this character", _QUOTE),
    ("found unexpected end of stream", "a quote that begins here is never closed", "add the closing quote"),
    (
        "found unexpected document indicator",
        "a quote is not closed before this line",
        "add the closing quote",
    ),
    (
        "found unknown escape character",
        "there is no such escape in double quotes",
        "use single quotes: '...'",
    ),
    (
        "block sequence entries are not allowed",
        "a list cannot begin here",
        "begin the list in a line of its own",
    ),
    ("found undefined tag handle", "tags that begin with ! are not supported", "put it in quotes"),
    (
        "did not find expected <document start>",
        "there is something here after the end of the document",
        _INDENT,
    ),
    ("did not find expected node content", "a value is missing here", ""),
    ("did not find expected alphabetic or numeric", "a name is missing after & or *", _QUOTE),
    (
        "did not find expected comment or line break",
        "there is something after | or > that does not belong there",
        "",
    ),
    ("found a tab character", "a tab cannot be used to indent", "use spaces to indent, two for each level"),
)


def explain(error: yaml.YAMLError, text: str) -> tuple[str, str, int, int]:
    """Message, hint, line and column (from 1)."""
    said = str(getattr(error, "problem", "") or "")
    mark = getattr(error, "problem_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
    opened = getattr(error, "context_mark", None)
    if "end of stream" in said and opened is not None:
        # The mistake is where the quote begins, not at the end of the file.
        line, column = opened.line + 1, opened.column + 1
    if "expected ',' or" in said and mark is not None and opened is not None and mark.line > opened.line:
        end = said[-2]
        hint = f"write the {end}, and a comma between the parts"
        return "what begins here is never closed, or lacks a comma", hint, opened.line + 1, opened.column + 1
    line = min(line, text.count("\n") + 1)
    for part, message, hint in _WORDS:
        if part in said:
            return message, hint, line, column
    return f"this is not YAML: {said}" if said else "this is not YAML", _QUOTE, line, column
