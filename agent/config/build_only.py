"""`only:` of a source → Only; and whether the source can tell which keys are gone."""

from __future__ import annotations

from agent.config.map_tree import build_map
from agent.config.model import HttpSource, Only, Source, SqlSource, lists_all, only_of, uses_window
from agent.config.sql_text import read_sql
from agent.config.view import View


def build_only(source: View) -> Only | None:
    """`only:`; None where it is not written."""
    only = source.view("only")
    if only is None:
        return None
    default = Only(changed_by=(), where=only.where)
    own = only.view("deleted")
    node = own.node("map") if own is not None else None
    return Only(
        changed_by=only.texts("changed_by"),
        deleted="send" if own is not None else only.word("deleted", default.deleted),
        deleted_map=build_map(node, own.at("map"), own.found) if own and node is not None else None,
        where=only.where,
    )


def whole_list(source: View, made: Source) -> None:
    """Refuse `deleted` where a reading is not the whole list: what is not in it would count as gone."""
    only = only_of(made)
    if only is None or only.deleted == "ignore":
        return
    where = source.section("only").at("deleted")
    if not lists_all(made):
        what = "a query behind its cursor gives" if isinstance(made, SqlSource) else "each page is"
        what = "a window of time gives" if uses_window(made) else what
        hint = "delete `deleted`"
        if isinstance(made, SqlSource):
            hint += ", or let the query give the whole table: without `cursor`, :since and :until"
        elif isinstance(made, HttpSource):
            hint += ", or ask for the whole list in one answer: without `paging`, {since} and {until}"
        source.found.error(where, f"{what} a part of the records: none that is not in it is gone", hint)
    elif isinstance(made, SqlSource) and read_sql(made.query).limited:
        hint = "delete the LIMIT, or `deleted`"
        source.found.error(where, "a LIMIT cuts the list: what it leaves out would count as gone", hint)
