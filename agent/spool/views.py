"""The tables as who looks from outside sees them: without what is delivered and owed (see `owed`).

In SQLAlchemy Core; `views.sql` beside it is what comes out of it, since `find` cannot wait for SQLAlchemy. A
connection that only reads makes them for itself alone, under the names of the tables: all that is asked of
these is asked of the views. `WRITE_EXPECTED=1 pytest tests/spool/test_questions.py` writes the text anew.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, MetaData, Select, Subquery, Table, column, func, select, table

from agent.spool.paying import delivered
from agent.spool.questions import text_of
from agent.spool.tables import files, jobs, messages, receipts

_there = MetaData()
_jobs, _files, _messages, _receipts = (
    table.to_metadata(_there, schema="main") for table in (jobs, files, messages, receipts)
)
_OWED = delivered(_messages, _receipts)
_LESS = {"waiting": "gone", "waiting_records": "records", "waiting_bytes": "size"}
_MORE = {"delivered": "gone", "delivered_records": "good"}
_owed = table("owed", *(column(each.name) for each in _OWED.selected_columns))


def _sums(by: str) -> Subquery:
    return (
        select(
            _owed.c[by],
            func.count().label("gone"),
            *(func.sum(_owed.c[name]).label(name) for name in ("records", "size", "good")),
            func.max(_owed.c.receipt).label("receipt"),
        )
        .where(_owed.c[by].is_not(None))
        .group_by(_owed.c[by])
        .subquery("sums")
    )


def _changed(kept: Table, key: str, by: str) -> Select[Any]:
    sums = _sums(by)

    def as_seen(there: Column[Any]) -> ColumnElement[Any]:
        if there.name in _LESS:
            return (there - func.coalesce(sums.c[_LESS[there.name]], 0)).label(there.name)
        if there.name in _MORE:
            return (there + func.coalesce(sums.c[_MORE[there.name]], 0)).label(there.name)
        if there.name == "last_receipt":
            return func.coalesce(sums.c.receipt, there).label(there.name)
        return there

    rows = kept.outerjoin(sums, sums.c[by] == kept.c[key])
    return select(*map(as_seen, kept.columns)).select_from(rows)


VIEWS: dict[str, Select[Any]] = {
    "owed": _OWED,
    "messages": select(_messages).where(_messages.c.id.not_in(select(_owed.c.id))),
    "jobs": _changed(_jobs, "job", "job"),
    "files": _changed(_files, "id", "file"),
}


def written() -> str:
    """All of `views.sql`: statements with a semicolon behind each."""
    head = "-- Written by tests/spool/test_questions.py out of views.py.\n"
    return head + "".join(f"\nCREATE TEMP VIEW {name} AS\n{text_of(one)};\n" for name, one in VIEWS.items())
