"""What a job asks of each record: its body, path and headers, its lane, its time, its keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent import mapping
from agent.config.model import ByKey, Delivery, Expr, RecordBody, Target
from agent.errors import Problem
from agent.sources import expressions, frames

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What of a job goes into the query."""

    body: RecordBody
    target: Target
    dead_letter: bool
    delivery: Delivery = field(default_factory=Delivery)
    keys: tuple[Expr, ...] = ()
    """By which its receipts are found (`receipt.keys`)."""
    carried: tuple[tuple[str, str], ...] = ()
    """More columns of the stream: name and SQL over the record's columns, which must not fail."""

    @property
    def per_record(self) -> bool:
        """One request per record: only then are there paths and headers of records."""
        return self.body.per == "record"

    def leaves(self) -> list[Expr]:
        """The expressions of the map."""
        return list(mapping.expressions(self.body.map))

    def fillings(self) -> list[Expr]:
        """The expressions in the path and the headers."""
        templates = [self.target.path] if self.target.path else []
        templates += [template for _, template in self.target.headers]
        return [part for template in templates for part in template.parts if isinstance(part, Expr)]

    def dealt(self) -> list[Expr]:
        """The expressions of the delivery and of the receipts: keys and the time of a record."""
        order, expire, latest = self.delivery.order, self.delivery.expire, self.delivery.latest_by
        key = [order.expr] if isinstance(order, ByKey) else []
        key += [expire.of] if expire is not None and expire.of is not None else []
        return [*key, *([latest] if latest is not None else []), *self.keys]


def parsed(
    con: DuckDBPyConnection, wanted: Wanted
) -> tuple[list[expressions.Parsed], list[expressions.Parsed], list[Problem]]:
    """The leaves of the map and all other expressions, parsed; and what is wrong with anything."""
    both: list[list[expressions.Parsed]] = []
    problems: list[Problem] = []
    for exprs in (wanted.leaves(), [*wanted.fillings(), *wanted.dealt()]):
        results = [expressions.parse(con, expr) for expr in exprs]
        problems += [result for result in results if isinstance(result, Problem)]
        both.append([result for result in results if not isinstance(result, Problem)])
    problems += frames.check(con, wanted.body)
    if wanted.fillings() and not wanted.per_record:
        where = wanted.fillings()[0].where
        problems.append(
            Problem(
                file=where.file,
                line=where.line,
                column=where.column,
                path=where.path,
                message="an {expression} needs a record, and a batch holds many",
                hint="set body.per to record",
            )
        )
    return both[0], both[1], problems
