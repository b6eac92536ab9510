"""The documents of a reading against the job's schema: those that break it are not sent."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from agent.config.model import Contract, JsonBody
from agent.contracts import compiled
from agent.render.values import LINES_TOLD, BadRecord
from agent.sources.relation import Relation

SAMPLED = 100
"""`check: sample` looks at the first record and at every hundredth from there."""


class ContractCheck:
    """For one reading, in its thread.

    This is the one place where Python sees each record, and only of jobs that ask for it: the texts of an
    Arrow batch are parsed as one JSON list and each is asked yes or no; only what is refused is asked why.
    """

    def __init__(self, contract: Contract, relation: Relation, *, thorough: bool, tail: str) -> None:
        """`tail`: what stands behind each document in its column."""
        files = tuple((file.path, file.text) for file in contract.files)
        self._checker = compiled(contract.kind, files)
        self._name = files[0][0].rpartition("/")[2]
        self._relation = relation
        self._sampled = contract.check == "sample" and not thorough
        self._tail = tail

    def sift(
        self, table: pa.RecordBatch, rows: Sequence[int], bad: list[tuple[int, BadRecord]]
    ) -> tuple[pa.RecordBatch, Sequence[int]]:
        """What is to be sent; what breaks the schema goes to `bad`, whatever `on_bad_row` says."""
        texts = table.column("body")
        broken = self._broken(texts, rows)
        if not broken:
            return table, rows
        for index, reason in broken.items():
            line = self._relation.line_of(rows[index]) if len(bad) < LINES_TOLD else None
            text = self._document(texts[index].as_py())
            bad.append((rows[index], BadRecord(line=line, text=text, reason=reason)))
        good = [index not in broken for index in range(len(rows))]
        return table.filter(pa.array(good)), [row for row, fine in zip(rows, good, strict=True) if fine]

    def _broken(self, texts: pa.Array, rows: Sequence[int]) -> dict[int, str]:
        """Index → reason."""
        picked: Sequence[int] = range(len(texts))
        if self._sampled:
            # by the number of the row: read a second time, the same records are looked at
            picked = [index for index in picked if rows[index] % SAMPLED == 1]
            texts = texts.take(pa.array(picked, pa.int64()))
        documents = [self._document(text) for text in texts.to_pylist()]
        if self._checker.all_good(documents):
            return {}
        reasons = map(self._checker.reason, documents)
        return {
            index: f"breaks {self._name}: {reason}"
            for index, reason in zip(picked, reasons, strict=True)
            if reason
        }

    def _document(self, text: str) -> str:
        return text.removesuffix(self._tail) if self._tail else text


def contract_check(body: JsonBody, relation: Relation, *, thorough: bool) -> ContractCheck | None:
    """None where nothing is to be checked. `thorough`: see `Context`."""
    contract = body.contract
    if contract is None or (contract.check == "none" and not thorough):
        return None
    tail = "" if body.per == "record" else ","
    return ContractCheck(contract, relation, thorough=thorough, tail=tail)
