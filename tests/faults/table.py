"""The table of docs/RELIABILITY.md: every row of `rows.toml` with the tests that are named after it.

python -m tests.faults.table            print it
python -m tests.faults.table --write    put it into the document
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCUMENT = TESTS.parent / "docs/RELIABILITY.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
_KINDS = {"auth", "clk", "del", "res", "sec", "sig", "yml"}
_PRUNED = {"servers", "__pycache__"}


@dataclass(frozen=True, kw_only=True)
class Row:
    id: str
    """`DEL-04`."""
    part: str
    fault: str
    holds: str


@dataclass(frozen=True, kw_only=True)
class Named:
    """One test that is named after rows."""

    ids: tuple[str, ...]
    file: str
    """From `tests/` on."""
    name: str
    judges: bool
    """Whether it can fail for what it looks at."""


@cache
def rows() -> tuple[Row, ...]:
    parts = tomllib.loads((TESTS / "faults/rows.toml").read_text())
    return tuple(
        Row(id=one, part=part, fault=fault, holds=holds)
        for part, listed in parts.items()
        if part != "without"
        for one, (fault, holds) in listed.items()
    )


@cache
def without() -> dict[str, str]:
    """Rows that have no test, and why."""
    return tomllib.loads((TESTS / "faults/rows.toml").read_text())["without"]


def ids_of(name: str) -> tuple[str, ...]:
    """The rows that a test is named after: `test_del_12_13_auth_01_…` → DEL-12, DEL-13, AUTH-01."""
    kind, found = "", []
    for word in name.split("_")[1:]:
        if word in _KINDS:
            kind = word.upper()
        elif kind and re.fullmatch(r"\d\d", word):
            found.append(f"{kind}-{word}")
        else:
            break
    return tuple(found)


@cache
def named() -> tuple[Named, ...]:
    """Every test that is named after a row, by file and place in it."""
    return tuple(one for path in sorted(TESTS.rglob("test_*.py")) for one in _named_in(path))


def _named_in(path: Path) -> Iterator[Named]:
    if _PRUNED & set(path.parts):
        return
    text = path.read_text()
    if not re.search(rf"def test_(?:{'|'.join(_KINDS)})_\d\d_", text):
        return
    functions = [
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    helpers = {each.name for each in functions if not ids_of(each.name) and _judges(each, set())}
    for node in functions:
        if ids := ids_of(node.name):
            file = path.relative_to(TESTS).as_posix()
            yield Named(ids=ids, file=file, name=node.name, judges=_judges(node, helpers))


def _judges(test: ast.AST, helpers: set[str]) -> bool:
    """Whether it asserts something, expects an error, waits for something, or calls what does so."""
    return any(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Name) and node.id in helpers)
        or (isinstance(node, ast.Attribute) and node.attr.startswith(("raises", "until", "all_arrived")))
        for node in ast.walk(test)
    )


def table() -> str:
    """Markdown, a table for each part."""
    tests: dict[str, list[Named]] = {}
    for one in named():
        for row in one.ids:
            tests.setdefault(row, []).append(one)
    lines: list[str] = []
    part = ""
    for row in rows():
        if row.part != part:
            part = row.part
            lines += ["", f"### {part.capitalize()}", "", "| row | what happens | what holds | shown by |"]
            lines += ["| --- | --- | --- | --- |"]
        lines.append(f"| {row.id} | {row.fault} | {row.holds} | {_shown(row, tests.get(row.id, []))} |")
    return "\n".join(lines).strip() + "\n"


def _shown(row: Row, tests: list[Named]) -> str:
    """The files with the number of tests; a single test by its name."""
    if not tests:
        return f"*no test: {without().get(row.id, 'missing')}*"
    counts: dict[str, list[str]] = {}
    for one in tests:
        counts.setdefault(one.file, []).append(one.name)
    shown = []
    for file, names in counts.items():
        what = f"`{names[0]}`" if len(names) == 1 else f"{len(names)} tests `{_common(names)}…`"
        shown.append(f"[{what}](../tests/{file})")
    return ", ".join(shown)


def _common(names: list[str]) -> str:
    """What all of these begin with, up to a whole word."""
    first, last = min(names), max(names)
    length = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: first.rfind("_", 0, length + 1) + 1]


def with_table(text: str) -> str:
    """The document with the table of now between its marks."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{table()}\n{END}{tail}"


def main() -> None:
    if "--write" in sys.argv[1:]:
        DOCUMENT.write_text(with_table(DOCUMENT.read_text()))
    else:
        print(table(), end="")


if __name__ == "__main__":
    main()
