"""The body of a dead letter as a text: laid out for the eye, and whether it is still well-formed.

Laying out moves white space only: not a digit of a number and not a letter of a text is another one than
those that were sent.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from typing import Final

JSON, NDJSON, XML, CSV = "json", "ndjson", "xml", "csv"
_LINES: Final = frozenset({"x-ndjson", "ndjson", "jsonl", "jsonlines", "x-jsonlines"})
_ENDINGS: Final = {JSON: ".json", NDJSON: ".ndjson", XML: ".xml", CSV: ".csv"}
_DELIMITERS: Final = ",;\t|"
_DEEPEST = 64
"""Levels that are still indented: what is deeper would be wider than any screen."""
_JSON_PIECE: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s"{}\[\],:]+', re.DOTALL)
_XML_PIECE: Final = re.compile(r"<!\[CDATA\[.*?\]\]>|<!--.*?-->|<[^>]*>|[^<]+", re.DOTALL)


def format_of(content_type: str) -> str:
    """`json`, `ndjson`, `xml`, `csv`, or "" for what is none of them."""
    whole = content_type.partition(";")[0].strip().lower()
    kind = whole.rpartition("/")[2]
    if kind in _LINES:
        return NDJSON
    ending = kind.rpartition("+")[2]
    return ending if ending in {JSON, XML, CSV} else ""


def ending_of(content_type: str) -> str:
    """Of a file that holds such a body: `.json`."""
    kind = format_of(content_type)
    if kind:
        return _ENDINGS[kind]
    return ".txt" if content_type.startswith("text/") else ".bin"


def trouble(body: bytes, kind: str) -> str:
    """Why it is no well-formed document of this format; "" when it is, and for formats that nobody knows."""
    if kind == XML:
        return _xml_trouble(body)
    if not kind:
        return ""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return f"byte {error.start + 1} is no UTF-8"
    if kind == JSON:
        return _json_trouble(text)
    if kind == NDJSON:
        lines = enumerate(text.splitlines(), 1)
        found = ((number, _json_trouble(line)) for number, line in lines if line.strip())
        return next((f"line {number}: {what}" for number, what in found if what), "")
    return _csv_trouble(text)


def records_of(body: bytes, kind: str) -> int | None:
    """Records of a JSON list or of NDJSON; None for all else."""
    try:
        text = body.decode("utf-8-sig")
        if kind == NDJSON:
            return sum(bool(line.strip()) for line in text.splitlines())
        value = _parse(text) if kind == JSON else None
    except (ValueError, RecursionError):
        return None
    return len(value) if isinstance(value, list) else None


def pretty(text: str, kind: str) -> str:
    """Laid out, where that makes sense and the text is well-formed; else as it is."""
    if kind == JSON and not _json_trouble(text):
        return _pretty_json(text)
    if kind == XML and not _xml_trouble(text.encode()):
        return _pretty_xml(text)
    return text


def _parse(text: str) -> object:
    def refuse(word: str) -> object:
        raise ValueError(f"{word} is no JSON")

    # Numbers stay texts: only whether they are some counts, and no digit is too many.
    return json.loads(text, parse_int=str, parse_float=str, parse_constant=refuse)


def _json_trouble(text: str) -> str:
    try:
        _parse(text)
    except json.JSONDecodeError as error:
        return f"line {error.lineno} column {error.colno}: {error.msg}"
    except ValueError as error:
        return str(error)
    except RecursionError:
        return "it is nested too deeply"
    return ""


def _xml_trouble(body: bytes) -> str:
    from xml.parsers import expat  # noqa: PLC0415 - no entity of it is ever resolved

    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise ValueError("it declares entities, and a target should refuse that")

    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(body, True)  # noqa: FBT003 - expat's own
    except expat.ExpatError as error:
        return f"line {error.lineno} column {error.offset + 1}: {expat.ErrorString(error.code)}"
    except (ValueError, LookupError) as error:
        return str(error)
    return ""


def _csv_trouble(text: str) -> str:
    csv.field_size_limit(sys.maxsize)
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    width = 0
    try:
        for row in rows:
            width = width or len(row)
            if row and len(row) != width:
                return f"line {rows.line_num}: {len(row)} columns where the first line has {width}"
    except csv.Error as error:
        return f"line {rows.line_num}: {error}"
    return ""


def _pretty_json(text: str) -> str:
    """Every piece as it stands there; new are only line breaks and indents."""
    out: list[str] = []
    depth = 0
    pieces = _JSON_PIECE.findall(text)
    for index, piece in enumerate(pieces):
        if piece in "}]":
            depth -= 1
            if pieces[index - 1] not in "{[":
                out.append(_break(depth))
            out.append(piece)
        elif piece in "{[":
            depth += 1
            out.append(piece)
            if pieces[index + 1] not in "}]":
                out.append(_break(depth))
        elif piece == ",":
            out.append("," + _break(depth))
        else:
            out.append(": " if piece == ":" else piece)
    return "".join(out)


def _pretty_xml(text: str) -> str:
    """Elements that hold elements only, one below the other; what holds text stays as it is."""
    pieces = _XML_PIECE.findall(text)
    if any(piece.startswith("<!DOCTYPE") for piece in pieces):
        return text
    out: list[str] = []
    depth = 0
    for index, piece in enumerate(pieces):
        if not piece.startswith("<") and not piece.strip():
            continue
        last = pieces[index - 1] if index else ""
        if piece.startswith("</"):
            depth -= 1
            # behind its text, or of an element without any: on the same line
            if not (last.startswith("<") and not _opens(last)) and (last.strip() or not out):
                out.append(piece)
                continue
        if out and (piece.startswith("<") and (not last or last.startswith("<") or not last.strip())):
            out.append(_break(depth))
        out.append(piece)
        depth += _opens(piece)
    return "".join(out)


def _opens(piece: str) -> bool:
    return piece.startswith("<") and not piece.startswith(("</", "<!", "<?")) and not piece.endswith("/>")


def _break(depth: int) -> str:
    return "\n" + "  " * min(depth, _DEEPEST)
