"""What DuckDB says, in our words: the only table of its errors."""

from __future__ import annotations

import re
import zlib
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import AgentError, RecordError, SourceError
from agent.sources import duck
from agent.sources.longest import PLAIN_LINE, longest_line
from agent.sources.query import Query
from agent.sources.relation import Opened, Relation

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ABOUT_VALUES = ("Conversion Error", "Out of Range Error", "Invalid Input Error", "Mismatch Type Error")
"""By its text, because what fails in mid-stream comes as an OSError of Arrow with DuckDB's text in it."""
_THROUGH = re.compile(r"^Invalid Input Error: reading the stream registered as '.*?' failed: (?:IOError: )?")
"""Before what another connection said, whose result is read."""
_NO_TEXT = (b"PAR1", b"PK")
"""How a table of columns or of an office begins: it has no lines."""
LONGEST = 200
"""Characters of a record or a message in an error."""


def translated(error: Exception, file: Opened) -> AgentError:  # noqa: PLR0911 - a table
    """An error of DuckDB that is not about a value of a record. Names the file and, if known, the line."""
    text = _THROUGH.sub("", str(error))
    csv = re.search(r"CSV Error on Line: (\d+)\n", text)
    if csv is not None:
        number, path = int(csv.group(1)), re.search(r"^ *file = (.*)$", text, re.MULTILINE)
        if file.cut is not None and path is not None:
            number = file.cut.line(path.group(1), number)
        return _csv(file, number + file.lines, text)
    if "state machine reached an invalid state" in text:
        said = f"{file.name}: cannot be read as CSV: quotes are not RFC 4180, or line endings are mixed"
        return RecordError(said, hint="write the file with one kind of line ending, quotes in fields doubled")
    if text.startswith("Out of Memory Error"):
        said = f"{file.name}: not enough memory{_longest(file)}"
        hint = "raise `collect.memory` in agent.yaml, or make the records smaller (of a thousand columns, "
        return SourceError(said, hint=f"{hint}let a `map` name those that are needed)")
    if text.startswith("INTERRUPT Error"):
        return SourceError(f"{file.name}: reading was cancelled")
    broken = re.search(
        r'Malformed JSON in file ".*?", (at byte \d+ in (?:line|record/value) \d+): (.*)', text
    )
    if broken is not None:
        return RecordError(
            f"{file.name} {broken.group(1)}: not valid JSON: {broken.group(2).strip()[:LONGEST]}"
        )
    if "maximum_object_size" in text:
        return SourceError(f"{file.name}: a record of more than 64 MB", lasting=True)
    if text.startswith(("IO Error", "Permission Error")):
        return SourceError(f"{file.name}: cannot be read: {_said(file, text)}")
    return SourceError(f"{file.name}: {_said(file, text)}", lasting=True)


def _longest(file: Opened) -> str:
    """The line that takes it, if there is a long one. Reads the file again."""
    path = Path(file.reading)
    try:
        with path.open("rb") as plain:
            text = not plain.read(4).startswith(_NO_TEXT)
        line, size = longest_line(path, gzipped=file.gzipped) if text else (0, 0)
    except (OSError, EOFError, zlib.error):  # what was wrong before is told
        return ""
    return f": line {line + file.lines} has {size / 1e6:.1f} MB" if size > PLAIN_LINE else ""


def _csv(file: Opened, line: int, text: str) -> RecordError:
    said, hint = _split(text) or (text.split("\n", 2)[-1].splitlines()[0][:LONGEST], "")
    return RecordError(f"{file.name} line {line}: {said}", hint=hint)


def _split(text: str) -> tuple[str, str] | None:
    """Why a line could not be split into fields, and what to do; None where DuckDB says something else."""
    expected = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
    if expected is not None:
        return f"{expected[2]} fields instead of {expected[1]}", "see `on_bad_row: dead_letter`"
    if "Invalid unicode" in text:
        return "not UTF-8", "set `encoding` of the source"
    if "unterminated quote" in text:
        hint = "quotes inside a field are doubled (RFC 4180)"
        return "a quote that does not end, or text after it", hint
    if (most := re.search(r"Maximum line size of (\d+) bytes", text)) is not None:
        said = f"the line is longer than {int(most[1]) // 1_000_000} MB"
        return said, "is a quote or a line ending missing?"
    return None


def of_record(
    con: DuckDBPyConnection, error: Exception, file: Opened, relation: Relation, query: Query
) -> AgentError:
    """An error of DuckDB in mid-stream. Where a value made it, the record is looked for and named."""
    import duckdb  # noqa: PLC0415

    if not str(error).startswith(ABOUT_VALUES):
        return translated(error, file)
    try:
        found = duck.rows(con, query.first_bad)
    except duckdb.Error:  # the file itself is bad: then so is the first message
        found = []
    if not found:
        return translated(error, file)
    row, why, shown = found[0]
    return RecordError(
        f"{place(file, relation, int(str(row)))}: {_detail(str(why), str(error))}",
        hint=f"the record: {short(str(shown))}",
    )


def place(file: Opened, relation: Relation, row: int) -> str:
    """`devices.csv record 3 (line 4)`."""
    line = relation.line_of(row)
    return f"{file.name} record {row + file.rows}" + (f" (line {line})" if line else "")


VAGUE = ("cannot be computed", "cannot be written", "the path is empty", "a header is not allowed")
"""What a row says of itself where only the error knows more."""


def _detail(why: str, error: str) -> str:
    """The row's own words where they are enough: the error may be that of another row of the same vector."""
    if why and not any(vague in why for vague in VAGUE):
        return short(why)
    ours = re.search(r"Could not convert string ['\"]push-agent: (.*?)['\"] to INT32", error, re.DOTALL)
    if ours is not None:
        return short(ours.group(1))
    first = error.splitlines()[0].split(" Error: ", 1)[-1]
    return f"{short(why)}: {short(first)}" if why else short(first)


def short(text: str) -> str:
    """A text cut to what fits into a message."""
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def _said(file: Opened, text: str) -> str:
    return short(text.splitlines()[0].split(" Error: ", 1)[-1].replace(file.reading, file.name))


def rejected(con: DuckDBPyConnection, file: Opened) -> list[tuple[int, str, str]]:
    """Rows that could not be split into fields, after the stream has ended: line, text, why."""
    found = duck.rows(
        con,
        "SELECT file_path, line, any_value(csv_line), any_value(error_message) FROM reject_errors "
        "JOIN (SELECT DISTINCT scan_id, file_id, file_path FROM reject_scans) USING (scan_id, file_id) "
        "GROUP BY ALL ORDER BY file_path, line",
    )
    told: list[tuple[int, str, str]] = []
    for path, rows in groupby(found, itemgetter(0)):
        same = list(rows)
        lines = [int(str(row[1])) for row in same]
        lines = lines if file.cut is None else file.cut.lines(str(path), lines)
        told += [
            (line + file.lines, str(text), (_split(str(why)) or (str(why),))[0])
            for line, (_, _, text, why) in zip(lines, same, strict=True)
        ]
    return told
