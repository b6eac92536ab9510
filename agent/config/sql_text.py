r"""The text of a query: where its `:parameters` stand, and whether it is one statement that reads. Pure.

What looks like a parameter inside of a text, a quoted name, a comment or a cast (`::date`) is none. The
words of all dialects that we read from are known: `'it''s'`, `E'it\'s'`, `"name"`, `` `name` ``,
`[name]`, `$tag$ … $tag$`, `-- …`, `/* /* nested */ */`, `q'[…]'`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_TOKENS = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\* )
    | (?P<oracle> \b[nN]?[qQ]'(?P<fence>.) )
    | (?P<escaped> \b[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z) )
    | (?P<text> '(?:[^']|'')*(?:'|\Z) )
    | (?P<name> "(?:[^"]|"")*(?:"|\Z) | `(?:[^`]|``)*(?:`|\Z) )
    | (?P<dollar> (?<![\w$])\$(?P<tag>(?:[A-Za-z_]\w*)?)\$ )
    | (?P<cast> :: | := )
    | (?P<parameter> (?<![\w:]):(?P<called>[A-Za-z_]\w*) )
    | (?P<end> ; )
    | (?P<word> [A-Za-z_][\w$]* )
    | (?P<number> \d+ )
    | (?P<paren> [()] )
    | (?P<bracket> \[ )
    """,
    re.VERBOSE | re.DOTALL,
)
_CLOSING = {"[": "]", "(": ")", "{": "}", "<": ">"}
_WRITES = frozenset(
    ["insert", "update", "delete", "merge", "replace", "create", "drop", "alter", "truncate", "grant", "call"]
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """`:name`, and where it stands in the text, from 0."""

    name: str
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SqlText:
    """A query, taken apart."""

    text: str
    """Without what stands behind its end."""
    parameters: tuple[Parameter, ...]
    first: str
    """Its first word, in lower case."""
    limit: int | None = None
    """How many rows its own LIMIT, TOP or FETCH FIRST lets through; None for none, or no number."""
    limited: bool = False
    """Whether it has one."""
    inner: bool = False
    """Whether one in parentheses lets more than one row through, or a number that is not written there."""
    several: bool = False
    """Whether something follows its `;`."""

    @property
    def names(self) -> tuple[str, ...]:
        """Each parameter once, in the order of the text."""
        return tuple(dict.fromkeys(parameter.name for parameter in self.parameters))

    def written(self, of: Callable[[str], str]) -> str:
        """The text with what `of` makes of each name in its place; on lines of its own."""
        pieces, at = [], 0
        for parameter in self.parameters:
            pieces += [self.text[at : parameter.at], of(parameter.name)]
            at = parameter.at + 1 + len(parameter.name)
        # the last line may be a comment, and must not swallow what is written behind it
        return "".join([*pieces, self.text[at:], "\n"])


def read_sql(text: str) -> SqlText:
    """Take a query apart. Never fails: what is no SQL at all is told by the database."""
    parameters: list[Parameter] = []
    words: list[tuple[str, int]] = []
    end: int | None = None
    several = False
    depth = 0
    for kind, at, found in _tokens(text):
        if kind == "end":
            end = at if end is None else end
        elif kind != "comment":
            several = several or end is not None
            if kind == "parameter" and end is None:
                parameters.append(Parameter(found[1:], at))
            elif kind == "paren":
                depth += 1 if found == "(" else -1
            words.append((found.lower() if kind in {"word", "number", "paren"} else kind, depth))
    limited, limit = _limit(words)
    return SqlText(
        text=(text if end is None else text[:end]).strip(),
        parameters=tuple(
            Parameter(each.name, each.at - (len(text) - len(text.lstrip()))) for each in parameters
        ),
        first=next((word for word, _ in words if word not in {"(", ")"}), ""),
        limited=limited,
        limit=limit,
        inner=_has_inner_limit(words),
        several=several,
    )


def _tokens(text: str) -> Iterator[tuple[str, int, str]]:
    at = 0
    while match := _TOKENS.search(text, at):
        kind, at = str(match.lastgroup), match.end()
        if kind == "oracle":
            kind, closing = "text", _CLOSING.get(match["fence"], match["fence"]) + "'"
            at = _behind(text, closing, at)
        elif kind == "dollar":
            kind, at = "text", _behind(text, f"${match['tag']}$", at)
        elif kind == "comment" and match[0] == "/*":
            at = _behind_comment(text, at)
        elif kind == "bracket":  # [name] of SQL Server; the brackets of a list hold no quotes that matter
            name = re.compile(r"[A-Za-z_][^\]'\":\n]*\]").match(text, at)
            kind, at = "name", name.end() if name else at
        yield kind, match.start(), match[0]


def _behind(text: str, mark: str, at: int) -> int:
    found = text.find(mark, at)
    return len(text) if found < 0 else found + len(mark)


def _behind_comment(text: str, at: int) -> int:
    """Behind the end of a comment; comments in it count, as PostgreSQL and SQL Server have it."""
    depth = 1
    for mark in re.compile(r"/\*|\*/").finditer(text, at):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(text)


def _limit(words: list[tuple[str, int]]) -> tuple[bool, int | None]:
    """The limit of the query itself, not of one inside of parentheses."""
    for number, (word, depth) in enumerate(words):
        rest = [each for each, _ in words[number + 1 : number + 3] if each != "("]
        if depth == 0 and word in {"limit", "top", "fetch"}:
            digits = next((each for each in rest if each.isdigit()), None)
            return True, int(digits) if digits else None
    return False, None


def _has_inner_limit(words: list[tuple[str, int]]) -> bool:
    for number, (word, depth) in enumerate(words):
        if depth > 0 and word in {"limit", "top", "fetch"}:
            rest = [each for each, _ in words[number + 1 : number + 3] if each != "("]
            digits = next((each for each in rest if each.isdigit()), "")
            if digits != "1" and (digits or word == "limit"):
                return True
    return False


def trouble(query: SqlText) -> tuple[str, str] | None:
    """What makes a text no query that a source can read: (message, hint); None when nothing does."""
    if query.several:
        return "holds more than one statement", "write one SELECT; a ; may only stand at its end"
    if not query.first:
        return "holds no statement", "for example SELECT id, plate FROM vehicle WHERE id > :id ORDER BY id"
    if query.first in _WRITES:
        return f"{query.first.upper()} writes: a source only reads", "write a SELECT"
    if query.first not in {"select", "with", "values", "table"}:
        return "must be a SELECT (or WITH … SELECT)", f"it begins with {query.first[:30]}"
    return None
