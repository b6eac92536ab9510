"""The cutter alone: any frame, any texts, any limits."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.bodies import Cut, Cutter, TooLarge
from agent.mapping import Frame
from tests.support.values import quick

short = st.text("[],é\n", max_size=3).map(str.encode)
frames = st.builds(Frame, head=short, separator=short, tail=short)
limits = st.tuples(st.integers(1, 6), st.integers(0, 40))


@quick
@given(
    lengths=st.lists(st.integers(0, 12), max_size=40),
    frame=frames,
    limit=limits,
    fit=st.none() | st.integers(1, 40),
    pieces=st.lists(st.integers(0, 9), max_size=9),
    kind=st.sampled_from([pa.string(), pa.large_string()]),
)
def test_bodies_are_cut_in_order_as_late_as_the_limits_allow(*, lengths, frame, limit, fit, pieces, kind):
    texts = [chr(97 + number % 26).encode() * length for number, length in enumerate(lengths)]
    records, size = limit
    cutter = Cutter(records=records, size=size, frame=frame, fit=fit)
    found, at = [], 0
    for piece in [*pieces, len(texts)]:
        part = texts[at : at + piece]
        column = pa.array([(text + frame.separator).decode() for text in part], type=kind)
        found += cutter.feed(column, range(at + 1, at + 1 + len(part)))
        at += len(part)
    found += cutter.rest()
    assert found == list(expected(texts, frame, records, size, size if fit is None else min(size, fit)))


def expected(texts, frame, records, size, fit):
    """The same, one text after the other. Above `fit`, a record is a batch of its own."""

    def body(some):
        return frame.head + frame.separator.join(texts[row - 1] for row in some) + frame.tail

    rows = []
    for row in range(1, len(texts) + 1):
        if len(body([row])) > size:
            yield from [cut(body, rows)] if rows else []
            rows = []
            yield TooLarge(row=row, text=texts[row - 1].decode(), size=len(body([row])))
            continue
        if rows and (len(rows) == records or len(body([*rows, row])) > fit):
            yield cut(body, rows)
            rows = []
        rows.append(row)
    yield from [cut(body, rows)] if rows else []


def cut(body, rows):
    return Cut(body=body(rows), records=len(rows), first=rows[0], last=rows[-1])


@pytest.mark.parametrize("rows", [[3, 5], range(3, 5)])
def test_rows_have_the_numbers_that_they_were_given(rows):
    cutter = Cutter(records=9, size=99, frame=Frame(head=b"[", separator=b",", tail=b"]"))
    assert list(cutter.feed(pa.array(["1,", "2,"]), rows)) == []
    (found,) = cutter.rest()
    assert found == Cut(body=b"[1,2]", records=2, first=rows[0], last=rows[1])
