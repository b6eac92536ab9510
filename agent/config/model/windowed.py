"""What a source has to do with windows of time: whether it reads `:since` and `:until`, and how."""

from __future__ import annotations

from agent.config.model.source import Source, SqlSource
from agent.config.sql_text import read_sql

_WORDS = frozenset({"since", "until"})


def uses_window(source: Source) -> bool:
    """Whether it reads `:since` and `:until`: its runs are then about windows of time."""
    if not isinstance(source, SqlSource):
        return False
    return not _WORDS.isdisjoint(set(read_sql(source.query).names) - set(source.cursor))


def holds_window(source: Source) -> bool:
    """Whether what it gives has no cursor of its own: a window is then sent as a whole or not at all."""
    return not (isinstance(source, SqlSource) and source.cursor)


def window_delay(source: Source) -> float:
    """Seconds after its end at which a window may be pulled: what is written late is in it, too."""
    settle = source.settle if isinstance(source, SqlSource) else None
    return settle.age.total_seconds() if settle is not None else 0.0
