"""The documents of a reading against the job's schema: those that break it are not sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from agent.config.model import Contract, RecordBody, XmlBody, contract_of
from agent.contracts import compiled
from agent.mapping import Frame

SAMPLED = 100
"""`check: sample` looks at the first record and at every hundredth from there."""


class ContractCheck:
    """For one reading, in its thread.

    This is the one place where Python sees each record, and only of jobs that ask for it. The texts of an
    Arrow batch are parsed as one document where that can be (a JSON list, an XML document of many records);
    only when something is wrong there is each record asked alone.
    """

    def __init__(self, contract: Contract, body: RecordBody, frame: Frame, *, thorough: bool) -> None:
        """`frame`: what stands around the texts of the column `body`."""
        files = tuple((file.path, file.text) for file in contract.files)
        self._checker = compiled(contract.kind, files)
        self._name = files[0][0].rpartition("/")[2]
        self._sampled = contract.check == "sample" and not thorough
        self._separator = "" if body.per == "record" else frame.separator.decode()
        self._head, self._tail = ("", "")
        if isinstance(body, XmlBody):  # of JSON the record's own document counts, whatever stands around it
            self._head, self._tail = frame.head.decode(), frame.tail.decode()
        self._together = isinstance(body, XmlBody) and body.each is not None

    def sift(
        self, table: pa.RecordBatch, rows: Sequence[int], put_aside: Callable[[int, str, str], None]
    ) -> tuple[pa.RecordBatch, Sequence[int]]:
        """What is to be sent; what breaks the schema is put aside, whatever `on_bad_row` says."""
        texts = table.column("body")
        broken = self._broken(texts, rows)
        if not broken:
            return table, rows
        for index, reason in broken.items():
            put_aside(rows[index], self._record(texts[index].as_py()), reason)
        good = [index not in broken for index in range(len(rows))]
        return table.filter(pa.array(good)), [row for row, fine in zip(rows, good, strict=True) if fine]

    def _broken(self, texts: pa.Array, rows: Sequence[int]) -> dict[int, str]:
        """Index → reason."""
        picked: Sequence[int] = range(len(texts))
        if self._sampled:
            # by the number of the row: read a second time, the same records are looked at
            picked = [index for index in picked if rows[index] % SAMPLED == 1]
            texts = texts.take(pa.array(picked, pa.int64()))
        records = [self._record(text) for text in texts.to_pylist()]
        if not records or self._all_good(records):
            return {}
        reasons = [self._checker.reason(self._document(record)) for record in records]
        return {
            index: f"breaks {self._name}: {reason}"
            for index, reason in zip(picked, reasons, strict=True)
            if reason
        }

    def _all_good(self, records: list[str]) -> bool:
        if self._together:
            return not self._checker.reason(self._document("".join(records)))
        return self._checker.all_good([self._document(record) for record in records])

    def _record(self, text: str) -> str:
        return text.removesuffix(self._separator) if self._separator else text

    def _document(self, record: str) -> str:
        return f"{self._head}{record}{self._tail}"


def contract_check(body: RecordBody, frame: Frame, *, thorough: bool) -> ContractCheck | None:
    """None where nothing is to be checked. `thorough`: see `Context`."""
    contract = contract_of(body)
    if contract is None or (contract.check == "none" and not thorough):
        return None
    return ContractCheck(contract, body, frame, thorough=thorough)
