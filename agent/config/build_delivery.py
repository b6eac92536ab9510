"""`delivery:` → Delivery."""

from __future__ import annotations

from datetime import timedelta

from agent.config.document import Scalar
from agent.config.model import ByKey, Delivery, Expire, Expr, Order, Strict, Unordered
from agent.config.view import View


def build_delivery(delivery: View, *, whole_files: bool) -> Delivery:
    """`whole_files`: there are no records, so no expression has columns to look at."""
    default = Delivery()
    return Delivery(
        order=_order(delivery, default.order, whole_files=whole_files),
        expire=_expire(delivery, whole_files=whole_files),
        on_refusal=delivery.word("on_refusal", default.on_refusal),
        on_misdirected=delivery.word("on_misdirected", default.on_misdirected),
        latest_by=_latest_by(delivery, whole_files=whole_files),
    )


def build_receipt_keys(receipt: View, *, whole_files: bool) -> tuple[Expr, ...]:
    """`receipt.keys`."""
    exprs = tuple(
        Expr(sql=node.value.removeprefix("=").strip(), where=where)
        for node, where in receipt.items("keys")
        if isinstance(node, Scalar) and isinstance(node.value, str) and node.value.removeprefix("=").strip()
    )
    if exprs and whole_files:
        hint = "a whole file is found by its Idempotency-Key; or read it by its records, with `type: csv`"
        receipt.found.error(exprs[0].where, "a whole file has no columns that could be a key", hint)
    return exprs


def _order(delivery: View, default: Order, *, whole_files: bool) -> Order:
    order = delivery.view("order")
    if order is None:
        words: dict[str, Order] = {"strict": Strict(), "none": Unordered()}
        return words.get(delivery.word("order", ""), default)
    expr = _expression(order, "by")
    if expr is None:
        return default
    if whole_files:
        hint = "write `order: strict`, or `order: none` where any order will do"
        order.found.error(order.at("by"), "a whole file has no columns that could be a key", hint)
    return ByKey(expr=expr, lanes=order.number("lanes", ByKey(expr=expr).lanes))


def _expire(delivery: View, *, whole_files: bool) -> Expire | None:
    expire = delivery.view("expire")
    if expire is None:
        return None
    of = _expression(expire, "of")
    if of is not None and whole_files:
        hint = "delete `of`: its age then counts from when it was spooled"
        expire.found.error(expire.at("of"), "a whole file has no columns that could be a time", hint)
    return Expire(after=expire.duration("after", timedelta(days=1)), of=of)


def _latest_by(delivery: View, *, whole_files: bool) -> Expr | None:
    expr = _expression(delivery, "latest_by")
    if expr is None:
        return None
    where, found = delivery.at("latest_by"), delivery.found
    if whole_files:
        found.error(where, "a whole file has no columns that could be a key", "delete `latest_by`")
        return expr
    order = delivery.view("order")
    by = _expression(order, "by") if order is not None else None
    if by is not None and by.sql != expr.sql:
        hint = f"write `order: {{by: ={expr.sql}}}`, or `order: strict`"
        found.error(where, f"={expr.sql} is not what the lanes are made by (order.by: ={by.sql})", hint)
    elif order is None and delivery.word("order", "") == "none":
        hint = f"write `order: {{by: ={expr.sql}}}`: the newest could be overtaken by an older one"
        found.error(where, "latest_by needs an order", hint)
    return expr


def _expression(view: View, key: str) -> Expr | None:
    """`=plate`. The schema has seen to the sign."""
    text = view.text(key)
    sql = text.removeprefix("=").strip() if text is not None else ""
    return Expr(sql=sql, where=view.at(key)) if sql else None
