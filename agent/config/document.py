"""The text of a file → a tree of nodes with positions. Never raises, whatever the bytes are.

The tree is made from YAML *events*: depth, nodes and aliases are counted before anything is built,
because libyaml's composer crashes the process on deeply nested text and eats gigabytes on large one.
What a plain text means is decided in `scalars`, not by YAML 1.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias, cast

import yaml

from agent.config.model import JsonScalar
from agent.config.scalars import meaning
from agent.config.syntax import explain
from agent.errors import Problem

MAX_DEPTH = 64
MAX_NODES = 100_000
MAX_ALIASES = 100

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"

_STARTS = frozenset({yaml.MappingStartEvent, yaml.SequenceStartEvent})
_ENDS = frozenset({yaml.MappingEndEvent, yaml.SequenceEndEvent})
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# All that YAML does not allow in a file (YAML 1.2, 5.1); a byte order mark may only come first.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_TAB_INDENT = re.compile(r"^[ ]*\t", re.MULTILINE)


@dataclass(slots=True, kw_only=True)
class Node:
    """A place in a document. Lines and columns count from 1."""

    line: int
    column: int
    size: int = 1
    """Nodes in it, itself included, aliases counted as often as they are used."""
    height: int = 1


@dataclass(slots=True, kw_only=True)
class Scalar(Node):
    """A text, a number, true, false or null; a `Trap` is a str."""

    value: JsonScalar


@dataclass(slots=True, kw_only=True)
class Sequence(Node):
    """A list."""

    items: list[Node] = field(default_factory=list)


class Entry(NamedTuple):
    """A key's own position, and what it leads to."""

    line: int
    column: int
    node: Node


@dataclass(slots=True, kw_only=True)
class Tree(Node):
    """Keys and their values, in the order of the file."""

    entries: dict[str, Entry] = field(default_factory=dict)


def plain(node: Node) -> Plain:
    """The value without positions, as a JSON Schema validator takes it."""
    if isinstance(node, Tree):
        return {key: plain(entry.node) for key, entry in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    assert isinstance(node, Scalar)
    return node.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A file after the scan: its root (None when there is none), and what is wrong with it."""

    file: str
    root: Tree | None
    problems: tuple[Problem, ...] = ()


def scan(raw: bytes, file: str) -> Document:
    """The bytes of a file as a tree. `file` is its path as the user would write it."""
    try:
        text = _text(raw)
        return Document(file=file, root=_Builder(file).build(text))
    except _Stop as stop:
        return Document(file=file, root=None, problems=(stop.problem(file),))


class _Stop(Exception):
    def __init__(self, message: str, hint: str = "", line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.message, self.hint, self.line, self.column = message, hint, line, column

    def problem(self, file: str) -> Problem:
        return Problem(file=file, line=self.line, column=self.column, message=self.message, hint=self.hint)


def _text(raw: bytes) -> str:
    """UTF-8, without a byte order mark, and nothing in it that is no text."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
        raise _Stop("the file is UTF-16 or UTF-32", "save it as UTF-8")
    try:
        text = raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _place(raw[: error.start].decode("utf-8", "replace"))
        raise _Stop("this is not UTF-8 text", "save the file as UTF-8", line, column) from None
    if not text.strip():
        raise _Stop("the file is empty", "to switch a job off, rename its file to NAME.yaml.disabled")
    if found := _UNPRINTABLE.search(text):
        message = f"there is a character here that no text file holds (U+{ord(found[0]):04X})"
        raise _Stop(message, "delete it, or save the file as UTF-8", *_place(text[: found.start()]))
    if found := _TAB_INDENT.search(text):
        hint = "use spaces to indent, two for each level"
        raise _Stop("a tab cannot be used to indent", hint, *_place(text[: found.end() - 1]))
    return text


def _place(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not been read yet."""

    node: Tree | Sequence
    anchor: str | None
    key: tuple[str, int, int] | None = None


class _Builder:
    """Builds the tree of one file, event by event."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._open: list[_Open] = []
        self._names: dict[str, Node | None] = {}
        self._nodes = self._aliases = self._documents = 0
        self._root: Node | None = None

    def build(self, text: str) -> Tree:
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                self._take(event)
        except yaml.YAMLError as error:
            raise _Stop(*explain(error, text)) from None
        except ValueError:  # a number in a %YAML directive that is none
            raise _Stop("this is not YAML", "delete lines that begin with %") from None
        nothing = isinstance(self._root, Scalar) and self._root.value is None
        if self._root is None or nothing:
            raise _Stop("the file is empty", "to switch a job off, rename its file to NAME.yaml.disabled")
        if not isinstance(self._root, Tree):
            hint = "write `key: value` lines; a space is needed after the colon"
            raise _Stop("the file does not hold keys and values", hint, self._root.line, self._root.column)
        return self._root

    def _take(self, event: yaml.Event) -> None:
        # Asked in the order of frequency: this runs for every value of every file.
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self._scalar(cast("yaml.ScalarEvent", event))
        elif kind in _STARTS:
            self._start(cast("yaml.CollectionStartEvent", event))
        elif kind in _ENDS:
            self._end()
        elif kind is yaml.AliasEvent:
            self._alias(cast("yaml.AliasEvent", event))
        elif kind is yaml.DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                raise self._at(event, "a second document begins here (---)", "write one file for each")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        line, column = _where(event)
        if event.tag is not None:
            raise self._tagged(event)
        self._count(event, 1)
        if self._wants_key():
            self._key(event, line, column)
            return
        value = event.value if event.style else meaning(event.value)
        node = Scalar(line=line, column=column, value=value)
        if event.anchor:
            self._names[event.anchor] = node
        self._add(node)

    def _wants_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].node, Tree) and self._open[-1].key is None

    def _key(self, event: yaml.ScalarEvent, line: int, column: int) -> None:
        """A key is always a text: `on:` and `200:` mean no other thing here."""
        top = self._open[-1]
        assert isinstance(top.node, Tree)
        name = event.value
        if name == "<<" and not event.style:
            raise self._at(event, "`<<` (merge) is not supported", "write the keys out")
        if not name and not event.style:  # a quoted one is meant: the default namespace of XML
            raise self._at(event, "a key is missing before the colon")
        if name in top.node.entries:
            first = top.node.entries[name].line
            message = f"the key {_short(name)} is there twice: in line {first} and in line {line}"
            raise self._at(event, message, "keep one of the two")
        if event.anchor:
            self._names[event.anchor] = Scalar(line=line, column=column, value=name)
        top.key = (name, line, column)

    def _start(self, event: yaml.CollectionStartEvent) -> None:
        line, column = _where(event)
        if event.tag is not None:
            raise self._tagged(event)
        self._count(event, 1)
        if self._wants_key():
            hint = "quote texts that begin with { or ["
            raise self._at(event, "a key must be a text", hint)
        if len(self._open) >= MAX_DEPTH:
            raise self._at(event, f"this is nested more than {MAX_DEPTH} levels deep")
        is_tree = isinstance(event, yaml.MappingStartEvent)
        node = Tree(line=line, column=column) if is_tree else Sequence(line=line, column=column)
        if event.anchor:
            self._names[event.anchor] = None  # not complete: an alias to it now would hold itself
        self._open.append(_Open(node, event.anchor))

    def _end(self) -> None:
        closed = self._open.pop()
        if closed.anchor:
            self._names[closed.anchor] = closed.node
        self._add(closed.node)

    def _alias(self, event: yaml.AliasEvent) -> None:
        name = event.anchor or ""
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise self._at(event, f"there are more than {MAX_ALIASES} aliases (*)")
        if name not in self._names:
            hint = f'put it in quotes if you mean the text: "*{name}"'
            raise self._at(event, f"there is no anchor &{_short(name)} before this", hint)
        node = self._names[name]
        if node is None:
            raise self._at(event, f"the alias *{_short(name)} stands inside of what it names")
        if self._wants_key():
            raise self._at(event, "an alias (*) cannot be a key", "put it in quotes")
        if len(self._open) + node.height > MAX_DEPTH:
            raise self._at(event, f"this is nested more than {MAX_DEPTH} levels deep")
        self._count(event, node.size)
        self._add(node)

    def _add(self, node: Node) -> None:
        if not self._open:
            self._root = node
            return
        top = self._open[-1]
        top.node.size += node.size
        top.node.height = max(top.node.height, node.height + 1)
        if isinstance(top.node, Sequence):
            top.node.items.append(node)
            return
        assert top.key is not None
        name, line, column = top.key
        top.node.entries[name] = Entry(line, column, node)
        top.key = None

    def _count(self, event: yaml.Event, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise self._at(event, f"the file has more than {MAX_NODES:,} values (aliases counted)")

    def _tagged(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> _Stop:
        shown = str(event.tag).replace("tag:yaml.org,2002:", "!!")
        hint = f'put it in quotes if you mean the text: "{_short(shown)}"'
        return self._at(event, f"tags such as {_short(shown)} are not supported", hint)

    @staticmethod
    def _at(event: yaml.Event, message: str, hint: str = "") -> _Stop:
        return _Stop(message, hint, *_where(event))


def _where(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    assert mark is not None
    return mark.line + 1, mark.column + 1


def _short(text: str) -> str:
    text = text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - fits a line
    return text if text and text.isprintable() else ascii(text)
