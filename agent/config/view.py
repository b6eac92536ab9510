"""A tree seen with the words of the model: typed reads, defaults, positions, problems.

Reads are tolerant: where a value has a wrong type (the schema has said so already) they give the
default, so that the checks after the schema can tell about everything else in the same file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar, cast

from agent.config.document import Node, Scalar, Sequence, Tree
from agent.config.model import SecretRef, Where
from agent.config.places import join
from agent.config.scalars import Trap
from agent.config.units import UnitError, parse_duration, parse_rate, parse_size
from agent.errors import Problem

T = TypeVar("T")


@dataclass(slots=True)
class Findings:
    """What is wrong with one file, as it is found."""

    problems: list[Problem] = field(default_factory=list)
    beside: set[str] = field(default_factory=set)
    """Absolute paths of other files that were looked at, also of those that are not there."""
    kept: Mapping[str, bytes] = field(default_factory=dict)
    """Such files as they were when all was good: they are taken instead of what lies there now."""

    def error(self, where: Where, message: str, hint: str = "") -> None:
        """One more thing that is wrong."""
        self._add(where, Problem(file=where.file, message=message, hint=hint))

    def warning(self, where: Where, message: str, hint: str = "") -> None:
        """Something that works, and should be looked at."""
        self._add(where, Problem(file=where.file, message=message, hint=hint, severity="warning"))

    def _add(self, where: Where, said: Problem) -> None:
        self.problems.append(
            Problem(
                file=said.file,
                line=where.line,
                column=where.column,
                path=where.path,
                message=said.message,
                hint=said.hint,
                severity=said.severity,
            )
        )


@dataclass(frozen=True, slots=True)
class View:
    """A mapping of a document and its place in it."""

    tree: Tree
    where: Where
    found: Findings
    folder: Path
    """The config folder, which relative paths start at."""

    @classmethod
    def of(cls, tree: Tree, file: str, found: Findings, folder: Path) -> View:
        """The whole document."""
        return cls(tree, Where(file=file, line=tree.line, column=tree.column, path=""), found, folder)

    def __contains__(self, key: str) -> bool:
        return key in self.tree.entries

    def at(self, key: str) -> Where:
        """The place of a key; of the mapping itself when the key is not there."""
        entry = self.tree.entries.get(key)
        if entry is None:
            return self.where
        return self._where(entry.line, entry.column, join(self.where.path, key))

    def _where(self, line: int, column: int, path: str) -> Where:
        return Where(file=self.where.file, line=line, column=column, path=path)

    def node(self, key: str) -> Node | None:
        """What the key leads to."""
        entry = self.tree.entries.get(key)
        return None if entry is None else entry.node

    def _value(self, key: str) -> object:
        node = self.node(key)
        return node.value if isinstance(node, Scalar) else None

    def text(self, key: str) -> str | None:
        """A text; None when there is none."""
        value = self._value(key)
        return str(value) if isinstance(value, str) and not isinstance(value, Trap) else None

    def word(self, key: str, default: T) -> T:
        """One of the words that the schema allows; the default's type says which."""
        value = self._value(key)
        return cast("T", str(value)) if isinstance(value, str) else default

    def word_list(self, key: str, default: T) -> T:
        """A list of words that the schema allows, as a tuple."""
        words = self.texts(key)
        return cast("T", words) if words else default

    def number(self, key: str, default: int) -> int:
        """A whole number."""
        value = self._value(key)
        return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else default

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self._value(key)
        return value if isinstance(value, bool) else default

    def duration(self, key: str, default: timedelta) -> timedelta:
        """`30s`."""
        return self._unit(key, parse_duration, default)

    def size(self, key: str, default: int) -> int:
        """`1MB` in bytes."""
        return self._unit(key, parse_size, default)

    def rate(self, key: str, default: float | None) -> float | None:
        """`10/s` in 1/s."""
        return self._unit(key, parse_rate, default)

    def _unit(self, key: str, parse: Callable[[str], T], default: T) -> T:
        text = self.text(key)
        if text is None:
            return default
        try:
            return parse(text)
        except UnitError as error:
            self.found.error(self.at(key), error.message, error.hint)
            return default

    def view(self, key: str) -> View | None:
        """The mapping below a key."""
        node = self.node(key)
        return View(node, self.at(key), self.found, self.folder) if isinstance(node, Tree) else None

    def section(self, key: str) -> View:
        """The mapping below a key; an empty one when there is none, so that all defaults hold."""
        return self.view(key) or View(Tree(line=0, column=0), self.at(key), self.found, self.folder)

    def items(self, key: str) -> Iterator[tuple[Node, Where]]:
        """The items of a list; a single value counts as a list of one."""
        node, where = self.node(key), self.at(key)
        if isinstance(node, Sequence):
            for index, item in enumerate(node.items):
                yield item, self._where(item.line, item.column, join(where.path, index))
        elif node is not None:
            yield node, where

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, or one text."""
        values = (node.value for node, _ in self.items(key) if isinstance(node, Scalar))
        return tuple(str(value) for value in values if isinstance(value, str) and not isinstance(value, Trap))

    def numbers(self, key: str) -> frozenset[int]:
        """A list of whole numbers."""
        values = (node.value for node, _ in self.items(key) if isinstance(node, Scalar))
        return frozenset(int(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool))

    def path(self, key: str) -> Path | None:
        """A file; a relative one starts at the config folder."""
        text = self.text(key)
        if text and not text.isprintable():
            self.found.error(self.at(key), "a path holds a control character", "write the path in one line")
            return None
        return self.folder / text if text else None

    def secret(self, key: str) -> SecretRef | None:
        """`{secret: NAME}`, `{env: NAME}` or `{file: PATH}`."""
        ref = self.view(key)
        if ref is None:
            return None
        for kind in ("secret", "env", "file"):
            name = ref.text(kind)
            if name is not None:
                return SecretRef(kind=kind, name=name, where=self.at(key))
        return None
