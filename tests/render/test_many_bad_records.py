"""More bad records than memory should hold, beside batches that are not full yet."""

from __future__ import annotations

import gzip
import json

from agent.config.model import Batch
from agent.render import render_file
from agent.render.values import LINES_TOLD
from tests.support.rendering import context, listed, make_job, render

ROWS = 40_000


def bad_csv(path, good):
    """Rows of which only those in `good` can be cast."""
    path.write_text("id\n" + "".join(f"{n if n in good else f'x{n}'}\n" for n in range(1, ROWS + 1)))
    return path


def job(path, **more):
    return make_job("csv", path, types={"id": "INTEGER"}, map={"id": "=id"}, on_bad_row="dead_letter", **more)


def sent(chunks):
    return [
        row["id"]
        for chunk in chunks
        for draft in chunk.drafts
        for row in json.loads(gzip.decompress(draft.body))
    ]


def test_bad_records_do_not_wait_for_a_batch_that_does_not_get_full(tmp_path):
    path = bad_csv(tmp_path / "a.csv", {1, ROWS - 1})
    chunks = render(job(path), path)
    assert max(len(chunk.bad) for chunk in chunks) < ROWS / 2
    texts = [record.text for chunk in chunks for record in chunk.bad]
    assert len(texts) == ROWS - 2
    assert len(set(texts)) == ROWS - 2
    assert sent(chunks) == [1, ROWS - 1]
    assert chunks[-1].rows == ROWS


def test_going_on_anywhere_sends_what_was_not_sent(tmp_path):
    """The place to go on never passes a record that waits for its batch to be full."""
    path = bad_csv(tmp_path / "a.csv", {1, 20_000, 39_000})
    plan = job(path, batch=Batch(records=2))
    chunks = render(plan, path)
    for number, chunk in enumerate(chunks):
        rest = render(plan, path, start_row=chunk.rows)
        assert sent(chunks[: number + 1]) + sent(rest) == [1, 20_000, 39_000]


def test_only_the_first_bad_records_of_a_file_are_told_their_line(tmp_path):
    """Each costs reading the file up to it: some in each chunk would cost the square of the file."""
    path = bad_csv(tmp_path / "a.csv", set())
    with_lines = [
        record.line
        for chunk in render_file(job(path), listed(path), context(tmp_path))
        for record in chunk.bad
        if record.line is not None
    ]
    assert with_lines == list(range(2, LINES_TOLD + 2))
