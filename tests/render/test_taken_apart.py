"""A part of a rendered batch is, byte by byte, what a batch of these records alone would be."""

from __future__ import annotations

import gzip
import random

import pytest

from agent.config.model import Batch, CsvBody, JsonBody, NdjsonBody, XmlBody, XmlRoot
from agent.parts import Apart, Form
from tests.support.rendering import bodies, drafts, make_job, render, tree

CHARACTERS = 'ab,;"\\\r\n\t[]{}<>&é\u2028 '
DICE = random.Random(4711)
ROWS = [["".join(DICE.choices(CHARACTERS, k=DICE.randrange(9))) for _ in "ab"] for _ in range(300)]
MAP = tree({"a": "=a", "b": ["=b", {"c": "=a"}]})
BODIES = {
    "json": JsonBody(map=MAP),
    "wrapped": JsonBody(map=MAP, wrap=tree({"é": [1], "in": {"here": "=records", "x": "],"}}, "body.wrap")),
    "ndjson": NdjsonBody(map=MAP),
    "csv": CsvBody(map=tree({"a": "=a", "é\n": "=b"}), delimiter=";"),
    "csv without a header": CsvBody(map=tree({"a": "=a"}), header=False),
    "csv, all quoted": CsvBody(quoting="all"),
    "xml": XmlBody(root=XmlRoot(name="all"), each="r", map=tree({"@a": "=a", "b": "=b"})),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_part_is_what_a_batch_of_its_records_would_be(tmp_path, name):
    path = tmp_path / "x.csv"
    lines = [",".join('"' + value.replace('"', '""') + '"' for value in row) for row in ROWS]
    path.write_text("a,b\n" + "".join(line + "\n" for line in lines), encoding="utf-8", newline="")
    made = {
        size: make_job("csv", path, body=BODIES[name], batch=Batch(records=size), on_bad_row="dead_letter")
        for size in (300, 1)
    }
    (draft,) = drafts(render(made[300], path))
    assert draft.records == 300
    apart = Apart(gzip.decompress(draft.body), Form.read(draft.form), draft.records)
    parts = [apart.body(((number, number),)) for number in range(1, draft.records + 1)]
    assert parts == bodies(render(made[1], path))


def test_a_request_of_one_record_has_no_form(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a\n1\n2\n")
    for body in (JsonBody(per="record"), NdjsonBody(per="record"), CsvBody(per="record")):
        assert {draft.form for draft in drafts(render(make_job("csv", path, body=body), path))} == {""}
