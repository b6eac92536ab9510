"""The keys of records (`receipt.keys`) travel beside the texts: each body has those of its own records."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agent.config.model import Batch, ByKey, Delivery, Expr, Only, Unordered
from agent.receipt_keys import keys_of, mark_of, marks_of
from agent.render import render_file
from agent.render.values import UnfitError
from agent.sources.seen import Layer, Seen
from tests.support.rendering import bodies as bodies_of
from tests.support.rendering import context, drafts, listed, make_job, render, strict, tree, where


def expr(sql, path="receipt.keys[0]"):
    return Expr(sql=sql, where=where(path))


def keyed(job, *sqls):
    return replace(job, receipt_keys=tuple(expr(sql) for sql in sqls))


def marks(*keys):
    return {mark_of(key) for key in keys}


def told(chunks, column="trip"):
    """(keys of the body's records, as the body has them; marks that came with it)."""
    texts = [[str(record[column]) for record in strict(body)] for body in bodies_of(chunks)]
    return [(text, draft.record_keys) for text, draft in zip(texts, drafts(chunks), strict=True)]


@pytest.fixture
def trips(tmp_path):
    """10,000 records of 97 vehicles: more than one Arrow batch."""
    path = tmp_path / "trips.csv"
    path.write_text("trip,plate\n" + "".join(f"T{n},P{n % 97}\n" for n in range(10_000)))
    return path


@pytest.mark.parametrize("order", [None, ByKey(expr=expr("plate"), lanes=8), Unordered()])
def test_each_batch_has_the_keys_of_its_own_records_in_their_order(trips, order):
    delivery = Delivery() if order is None else Delivery(order=order)
    job = make_job("csv", trips, batch=Batch(records=333), delivery=delivery)
    found = told(render(keyed(job, "trip", "plate || '-' || trip"), trips))
    assert sum(len(keys) for keys, _ in found) == 10_000
    for keys, blob in found:
        assert marks_of(blob) >= marks(*keys)
        assert len(blob) == 1 + 2 * 8 * len(keys)
        for at, key in [(1, keys[0]), (len(keys), keys[-1])]:
            plate = f"P{int(key[1:]) % 97}"
            assert marks_of(keys_of(blob, at, at)) == marks(key, f"{plate}-{key}")


def test_each_request_of_one_record_has_its_key(trips):
    chunks = render(keyed(make_job("csv", trips, per="record"), "trip"), trips, start_row=9_990)
    assert [marks_of(draft.record_keys) for draft in drafts(chunks)] == [
        marks(f"T{n}") for n in range(9_990, 10_000)
    ]


def test_a_job_without_keys_has_none(trips):
    assert {draft.record_keys for draft in drafts(render(make_job("csv", trips), trips))} == {b""}


def test_records_that_are_put_aside_take_their_keys_with_them(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("trip,n\na,1\nb,x\nc,3\nd," + "9" * 300 + "\ne,5\n")
    job = make_job(
        "csv",
        path,
        map={"trip": "=trip", "n": "=CASE WHEN length(n) < 9 THEN CAST(n AS INT)::VARCHAR ELSE n END"},
        batch=Batch(records=2, bytes=100),
        on_bad_row="dead_letter",
    )
    chunks = render(keyed(job, "trip"), path)
    assert [marks_of(blob) for _, blob in told(chunks)] == [marks("a", "c"), marks("e")]
    assert len([bad for chunk in chunks for bad in chunk.bad]) == 2


@pytest.mark.parametrize(
    ("value", "sql", "key"),
    [
        (4711, "v", "4711"),
        ("007", "v", "007"),
        (1.50, "v", "1.5"),
        ("a\u0000b", "v", "a\0b"),
        ("q'\"\n", "v", "q'\"\n"),
        ("x" * 10_240, "v", "x" * 10_240),
        ("deep", "d.e", "deep"),
        (True, "v", "true"),
        ({"a": 1}, "d->>'$.e.a'", "1"),
    ],
)
def test_a_key_is_the_text_of_the_value(tmp_path, value, sql, key):
    path = tmp_path / "a.ndjson"
    path.write_text(json.dumps({"v": value, "d": {"e": value}}) + "\n")
    [draft] = drafts(render(keyed(make_job("ndjson", path), sql), path))
    assert marks_of(draft.record_keys) == marks(key)


def test_a_value_of_json_is_the_text_in_it(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('v\n"""plain"""\n12.50\nnull\n""""""\n')
    job = keyed(make_job("csv", path, per="record"), "v::JSON")
    assert [marks_of(draft.record_keys) for draft in drafts(render(job, path))] == [
        marks("plain"),
        marks("12.50"),
        marks("null"),
        set(),
    ]


def test_a_key_that_names_no_column_is_told_at_its_place(trips):
    with pytest.raises(UnfitError) as caught:
        render(keyed(make_job("csv", trips), "tripp"), trips)
    assert "receipt.keys[0]" in str(caught.value)
    assert "did you mean trip?" in str(caught.value)


def test_what_is_newest_is_told_by_expression_and_value(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("plate,other\nA,B\nA,A\n,x\n")
    jobs = [
        make_job("csv", path, per="record", delivery=Delivery(latest_by=expr(sql, "delivery.latest_by")))
        for sql in ("plate", "other")
    ]
    plate, other = ([draft.subject for draft in drafts(render(job, path))] for job in jobs)
    assert plate[0] == plate[1]
    assert plate[2] is None
    assert len({*plate[:2], *other}) == 4
    assert {draft.subject for draft in drafts(render(make_job("csv", path), path))} == {None}


@pytest.mark.parametrize(("column", "kept"), [("trip", True), ("plate", False)])
def test_a_deletion_has_the_keys_that_its_key_columns_tell(tmp_path, column, kept):
    path, keep = tmp_path / "a.csv", tmp_path / "keep"
    keep.mkdir()
    only = Only(
        changed_by=("trip",), deleted="send", deleted_map=tree({"gone": "=trip"}), where=where("source.only")
    )
    job = keyed(
        make_job("csv", path, per="record", only=only, delivery=Delivery(latest_by=expr(column))), column
    )
    path.write_text("trip,plate\na,P\nb,Q\n")
    ctx = context(tmp_path)
    first = list(render_file(job, listed(path), ctx, seen=Seen(keep=keep)))
    marks_file = next(chunk.marks for chunk in reversed(first) if chunk.marks)
    path.write_text("trip,plate\nb,Q\n")
    seen = Seen(keep=keep, layers=(Layer(path=keep / marks_file.name, keys=True),))
    [gone] = drafts(list(render_file(job, listed(path), ctx, seen=seen)))
    assert marks_of(gone.record_keys) == (marks("a") if kept else set())
    assert (gone.subject is not None) == kept
