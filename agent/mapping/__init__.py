"""Map tree → SQL text. Pure: this room writes SQL and never runs it.

    sql.py      literals, identifiers, joining; SqlType
    json.py     a record as JSON text            texts.py   a value as plain text, for the others
    xml.py      a record as an XML element       csv.py     a record as a line
    records.py  which of them writes a body
    frames.py   what stands around the records of a body: `Frame`
    places.py   the path and the headers of a record

Each writer gives one SQL expression whose value is the text of a record and never NULL. The SQL uses
macros of the connection (`sources/duck.py`): `__json` (refuses text that is not RFC 8259), `__xml`
(escapes, and refuses what XML cannot hold), `__csv` (quotes), `__rfc3339` (timestamp with zone → text in
UTC), `__naive` (the same of one without) and `__fail` (an error with our own words).
"""

from __future__ import annotations

from agent.mapping.frames import Frame, constants, frame
from agent.mapping.json import NAIVE, constant, document, may_fail, record
from agent.mapping.places import header, header_trouble, path, path_trouble
from agent.mapping.records import json_value, leaf, one_line, plain_text, text, unfit
from agent.mapping.sql import (
    JSON,
    STRICT,
    TEXT,
    SqlType,
    concat,
    expressions,
    identifier,
    is_literal,
    literal,
    spliced,
)

__all__ = [
    "JSON",
    "NAIVE",
    "STRICT",
    "TEXT",
    "Frame",
    "SqlType",
    "concat",
    "constant",
    "constants",
    "document",
    "expressions",
    "frame",
    "header",
    "header_trouble",
    "identifier",
    "is_literal",
    "json_value",
    "leaf",
    "literal",
    "may_fail",
    "one_line",
    "path",
    "path_trouble",
    "plain_text",
    "record",
    "spliced",
    "text",
    "unfit",
]
