"""Where something stands in a file, in the user's words: `schedule[1].cron`, line 7, column 5."""

from __future__ import annotations

from collections.abc import Sequence as Steps
from typing import NamedTuple

from agent.config.document import Node, Sequence, Tree


class Place(NamedTuple):
    """A node, its path, and the position of its key (of itself in a list)."""

    node: Node
    path: str
    line: int
    column: int


def place_of(root: Node, steps: Steps[str | int]) -> Place:
    """The place at the end of the steps; the last one on the way when there is no more."""
    node, path, line, column = root, "", root.line, root.column
    for step in steps:
        if isinstance(node, Tree) and isinstance(step, str) and step in node.entries:
            line, column, node = node.entries[step]
        elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            line, column = node.line, node.column
        else:
            break
        path = join(path, step)
    return Place(node, path, line, column)


def join(path: str, step: str | int) -> str:
    """One step deeper. Keys that are no plain words are quoted."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    shown = step if step and step.isprintable() and not set(step) & set('.[]" ') else f'"{ascii(step)[1:-1]}"'
    return f"{path}.{shown}" if path else shown
