"""What a source has to do with windows of time: whether it reads `:since` and `:until`, and how."""

from __future__ import annotations

import re

from agent.config.model.source import HttpSource, Source, SqlSource
from agent.config.sql_text import read_sql

_WORDS = frozenset({"since", "until"})
_FILLED = re.compile(r"\{(?:since|until)[:}]")


def uses_window(source: Source) -> bool:
    """Whether it reads `:since` and `:until`: its runs are then about windows of time."""
    match source:
        case SqlSource():
            return not _WORDS.isdisjoint(set(read_sql(source.query).names) - set(source.cursor))
        case HttpSource():
            return any(_FILLED.search(text.replace("{{", "")) for _, text in source.query)
        case _:
            return False


def lists_all(source: Source) -> bool:
    """Whether one reading gives all records that there are.

    Then a key that is not in it is gone, and none is in it twice. A query behind a cursor, a window of time
    and a page give a part.
    """
    match source:
        case SqlSource():
            return not source.cursor and not uses_window(source)
        case HttpSource():
            return source.paging is None and not uses_window(source)
        case _:
            return True


def holds_window(source: Source, *, backfill: bool = False) -> bool:
    """Whether a window is sent as a whole or not at all.

    Not where a cursor says how far a window was read: a query's own, or the page of an HTTP source. A
    backfill leaves a query's cursor alone, so it cannot say that. What is told by a key (`only`) counts when
    all of a reading was compared.
    """
    return isinstance(source, SqlSource) and (backfill or not source.cursor or source.only is not None)


def window_delay(source: Source) -> float:
    """Seconds after its end at which a window may be pulled: what is written late is in it, too."""
    settle = source.settle if isinstance(source, SqlSource) else None
    return settle.age.total_seconds() if settle is not None else 0.0
