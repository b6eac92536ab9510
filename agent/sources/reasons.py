"""Why a record became no body, as SQL text. Pure."""

from __future__ import annotations

from agent import mapping
from agent.config.model import MapNode, XmlBody
from agent.mapping import SqlType, literal, spliced
from agent.receipt_keys import MOST_KEYS
from agent.sources.asked import Wanted

_SAID = {
    "path": "the path is empty or leaves its segment",
    "lane": "delivery.order.by cannot be computed",
    "as_of": "delivery.expire.of is no time",
    "subject": "delivery.latest_by cannot be computed",
    **{f"k{number}": "receipt.keys cannot be computed" for number in range(MOST_KEYS)},
}


def why(ours: str, reasons: list[str], extras: list[tuple[str, str]], troubles: dict[str, str]) -> str:
    """What is wrong with a bad row. `troubles`: SQL that knows more about one of the extras, by its name."""
    reasons = [f"{ours}bad", *reasons]
    for name, _ in extras:
        said = literal(_SAID.get(name, "a header is not allowed"))
        if name in troubles:
            said = f"coalesce(TRY({troubles[name]}), {said})"
        reasons.append(f"CASE WHEN {ours}{name} IS NULL THEN {said} END")
    return f"concat_ws('; ', {', '.join(reasons)})"


def reasons(wanted: Wanted, tree: MapNode | None, types: dict[str, SqlType]) -> list[str]:
    """SQL of what is wrong with a bad row, per expression: by its place in the YAML, or by its column."""
    said = []
    mapped = wanted.body.map is not None
    for expr in mapping.expressions(tree):
        name = f"{expr.where.path}: ={expr.sql}" if mapped else f"column {expr.where.path}"
        written = mapping.leaf(wanted.body, expr, types[expr.sql])
        unwritable = literal(f"{name} cannot be written")
        if isinstance(wanted.body, XmlBody):
            text = f"CAST({spliced(expr.sql)} AS VARCHAR)"
            unwritable = f"coalesce(TRY(__xml_bad({text}, {literal(expr.where.path)})), {unwritable})"
        said.append(
            f"CASE WHEN TRY(struct_pack(v := {spliced(expr.sql)})) IS NULL "
            f"THEN {literal(f'{name} cannot be computed')} "
            f"WHEN TRY(struct_pack(v := {written})) IS NULL THEN {unwritable} END"
        )
    for expr in (*wanted.fillings(), *wanted.dealt()):
        computed = literal(f"{expr.where.path}: ={expr.sql} cannot be computed")
        said.append(f"CASE WHEN TRY(struct_pack(v := {spliced(expr.sql)})) IS NULL THEN {computed} END")
    return said
