"""Records are dealt out to lanes by their key, and know their time: in SQL and Arrow, a batch at a time."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from agent.config.model import Batch, ByKey, Delivery, Expire, Expr, Only, Unordered
from agent.errors import RecordError, SourceError
from agent.render import lanes, render_file
from agent.render.lanes import EDGE_ROWS
from agent.sources.seen import Layer, Seen
from tests.support.rendering import (
    bodies,
    context,
    documents,
    drafts,
    listed,
    make_job,
    render,
    strict,
    where,
)

MAP = {"n": "=n", "p": "=p"}


def by(sql="p", number=4):
    return Delivery(order=ByKey(expr=Expr(sql=sql, where=where("delivery.order.by", 9)), lanes=number))


def expiring(sql="t", **more):
    of = Expr(sql=sql, where=where("delivery.expire.of", 10))
    return Delivery(expire=Expire(after=timedelta(minutes=30), of=of), **more)


def lane_of(key, number=4):
    return int(hashlib.md5(key.encode()).hexdigest()[:8], 16) % number


def positions(path, count, keys, header="n,p", key="plate {}"):
    lines = [f"{n},{key.format(n * 7919 % keys)}\n" for n in range(count)]
    path.write_text(f"{header}\n" + "".join(lines))
    return path


def by_lane(chunks):
    """Lane → records in the order in which they would leave."""
    found = defaultdict(list)
    for draft, body in zip(drafts(chunks), bodies(chunks), strict=True):
        record = strict(body)
        found[draft.lane] += record if isinstance(record, list) else [record]
    return found


def test_a_lane_is_the_md5_of_the_key_so_that_it_is_the_same_for_ever(tmp_path):
    keys = ["AA-BB-CC", "é", "", "plate 1", "plate 2", "007", "7"]
    path = tmp_path / "a.csv"
    path.write_text("n,p\n" + "".join(f"{n},{key}\n" for n, key in enumerate(keys)))
    found = drafts(render(make_job("csv", path, map=MAP, per="record", delivery=by(number=1000)), path))
    assert [draft.lane for draft in found] == [lane_of(key, 1000) for key in keys]
    assert lane_of("AA-BB-CC", 1000) == 0xBC348FA0 % 1000


def test_a_record_without_a_key_has_the_empty_text_for_one(tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_text('{"n": 1, "p": null}\n{"n": 2}\n{"n": 3, "p": ""}\n{"n": 4, "p": "x"}\n')
    found = drafts(render(make_job("ndjson", path, map=MAP, per="record", delivery=by()), path))
    assert [draft.lane for draft in found] == [lane_of("")] * 3 + [lane_of("x")]


@pytest.mark.parametrize("per", ["record", "batch"])
def test_all_records_of_a_key_are_in_its_lane_and_in_order(tmp_path, per):
    path = positions(tmp_path / "a.csv", 10_000, 100)
    batch = Batch(records=50) if per == "batch" else None
    chunks = render(make_job("csv", path, map=MAP, per=per, batch=batch, delivery=by(number=16)), path)
    found = by_lane(chunks)
    assert sorted(int(one["n"]) for records in found.values() for one in records) == list(range(10_000))
    for lane, records in found.items():
        assert {lane_of(one["p"], 16) for one in records} == {lane}
        assert [int(one["n"]) for one in records] == sorted(int(one["n"]) for one in records)


def test_batches_of_lanes_are_full_but_for_one_in_each_lane(tmp_path):
    path = positions(tmp_path / "a.csv", 10_000, 100)
    chunks = render(make_job("csv", path, map=MAP, batch=Batch(records=50), delivery=by()), path)
    assert len(chunks) == 1
    sizes = defaultdict(list)
    for draft in drafts(chunks):
        sizes[draft.lane].append(draft.records)
        assert draft.size <= Batch().bytes
    assert len(sizes) == 4
    assert all(size == 50 for each in sizes.values() for size in each[:-1])


def test_no_batch_of_a_lane_is_larger_than_it_may_be(tmp_path):
    path = positions(tmp_path / "a.csv", 5_000, 40, key="plate {}" + "x" * 50)
    job = make_job("csv", path, map=MAP, batch=Batch(records=500, bytes=1000), delivery=by())
    chunks = render(job, path)
    assert max(draft.size for draft in drafts(chunks)) <= 1000
    assert min(draft.records for draft in drafts(chunks)[:-4]) >= 10
    assert sum(draft.records for draft in drafts(chunks)) == 5_000


def test_first_is_another_row_for_every_message(tmp_path):
    path = positions(tmp_path / "a.csv", 9_000, 100)
    found = drafts(render(make_job("csv", path, map=MAP, batch=Batch(records=70), delivery=by()), path))
    assert len({draft.first for draft in found}) == len(found)


def test_a_chunk_never_ends_before_a_record_that_waits_in_a_lane(tmp_path, monkeypatch):
    monkeypatch.setattr(lanes, "EDGE_BYTES", 200_000)
    path = positions(tmp_path / "a.csv", 30_000, 100)
    chunks = render(make_job("csv", path, map=MAP, batch=Batch(records=500), delivery=by()), path)
    assert len(chunks) > 3
    done = 0
    for chunk in chunks:
        rows = sorted(int(one["n"]) for one in documents_of(chunk))
        assert rows == list(range(done, chunk.rows))
        assert chunk is chunks[-1] or chunk.rows % EDGE_ROWS == 0
        done = chunk.rows
    assert done == 30_000


def documents_of(chunk):
    return [one for body in bodies([chunk]) for one in strict(body)]


def test_a_reading_that_goes_on_at_a_chunk_gives_the_same_messages_as_one_that_never_stopped(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(lanes, "EDGE_BYTES", 200_000)
    path = positions(tmp_path / "a.csv", 30_000, 100)
    job = make_job("csv", path, map=MAP, batch=Batch(records=500), delivery=by())
    whole = render(job, path)
    for at in range(1, len(whole)):
        rest = render(job, path, start_row=whole[at - 1].rows)
        assert drafts(rest) == drafts(whole[at:])


def test_chunks_end_though_the_record_at_their_edge_is_not_sent(tmp_path, monkeypatch):
    """With `changed_by` only some records are sent: what was taken before must not pile up in memory."""
    monkeypatch.setattr(lanes, "EDGE_BYTES", 60_000)
    path = positions(tmp_path / "a.csv", 30_000, 100)
    only = Only(changed_by=("n",), where=where("source.only"))
    job = make_job("csv", path, map=MAP, batch=Batch(records=500), delivery=by(), only=only)
    keep = tmp_path / "seen"
    keep.mkdir()
    ctx = context(keep)
    first = list(render_file(job, listed(path), ctx, seen=Seen(keep=keep)))
    seen = Seen(layers=(Layer(path=keep / first[-1].marks.name),), keep=keep)
    numbered = enumerate(path.read_text().splitlines(keepends=True))  # the record of row n is line n
    path.write_text("".join(line.replace("plate", "PLATE") if n % 2 else line for n, line in numbered))
    whole = list(render_file(job, listed(path), ctx, seen=seen))
    assert len([chunk for chunk in whole if chunk.drafts]) > 3
    assert sum(draft.records for draft in drafts(whole)) == 15_000
    for at in range(1, len(whole)):
        rest = render_file(job, listed(path), ctx, seen=seen, start_row=whole[at - 1].rows)
        assert drafts(rest) == drafts(whole[at:])


def test_bad_records_leave_their_lanes_as_they_are(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("n,p\n" + "".join(f"{'x' if n % 10 == 3 else n},plate {n % 7}\n" for n in range(9_000)))
    job = make_job(
        "csv",
        path,
        map=MAP,
        batch=Batch(records=100),
        delivery=by(),
        types={"n": "INTEGER"},
        on_bad_row="dead_letter",
    )
    chunks = render(job, path)
    assert sum(len(chunk.bad) for chunk in chunks) == 900
    for records in by_lane(chunks).values():
        numbers = [one["n"] for one in records]
        assert numbers == sorted(numbers)
    assert sum(draft.records for draft in drafts(chunks)) == 8_100


@pytest.mark.parametrize("per", ["record", "batch"])
def test_without_order_messages_are_spread_over_many_lanes(tmp_path, per):
    path = positions(tmp_path / "a.csv", 1_000, 10)
    batch = Batch(records=5) if per == "batch" else None
    job = make_job("csv", path, map=MAP, per=per, batch=batch, delivery=Delivery(order=Unordered()))
    chunks = render(job, path)
    assert {draft.lane for draft in drafts(chunks)} == set(range(64))
    assert sum(draft.records for draft in drafts(chunks)) == 1_000
    assert all(draft.records == (1 if per == "record" else 5) for draft in drafts(chunks))


def test_files_of_one_batch_are_spread_too(tmp_path):
    found = set()
    for number in range(40):
        path = positions(tmp_path / f"{number}.csv", 3, 3)
        job = make_job("csv", path, map=MAP, delivery=Delivery(order=Unordered()))
        found |= {draft.lane for draft in drafts(render(job, path))}
    assert len(found) > 10


def test_whole_files_are_spread_too(tmp_path):
    found = set()
    for number in range(40):
        path = tmp_path / f"{number}.csv"
        path.write_text("a\n1\n")
        found |= {draft.lane for draft in drafts(render(make_job("file", path), path))}
        job = make_job("file", path, delivery=Delivery(order=Unordered()))
        found |= {draft.lane for draft in drafts(render(job, path))}
    assert len(found) > 10


def test_a_key_that_names_a_missing_column_is_told_at_its_line(tmp_path):
    path = positions(tmp_path / "a.csv", 3, 3)
    with pytest.raises(SourceError) as caught:
        render(make_job("csv", path, map=MAP, delivery=by("plat")), path)
    assert "jobs/j.yaml:9:9: delivery.order.by: =plat: there is no column plat" in str(caught.value)
    assert "columns there are: n, p" in str(caught.value)


@pytest.mark.parametrize("per", ["record", "batch"])
def test_a_key_that_cannot_be_computed_makes_a_bad_record(tmp_path, per):
    path = tmp_path / "a.csv"
    path.write_text("n,p\n1,2\n2,x\n3,4\n")
    job = make_job("csv", path, map=MAP, per=per, delivery=by("CAST(p AS INTEGER)"))
    with pytest.raises(RecordError) as caught:
        render(job, path)
    assert "a.csv record 2 (line 3): delivery.order.by: =CAST(p AS INTEGER) cannot be computed" in str(
        caught.value
    )
    kept = make_job(
        "csv", path, map=MAP, per=per, delivery=by("CAST(p AS INTEGER)"), on_bad_row="dead_letter"
    )
    chunks = render(kept, path)
    assert [bad.line for chunk in chunks for bad in chunk.bad] == [3]
    assert sum(draft.records for draft in drafts(chunks)) == 2


# ---------------------------------------------------------------------- the time of a record


def moment(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


TIMES = "n,t\n1,2026-10-27T11:00:31+02:00\n2,2026-10-27 09:00:32.5\n3,2026-10-27T09:00:30Z\n"


def test_the_time_of_a_record_is_read_as_utc_reads_it(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(TIMES)
    found = drafts(render(make_job("csv", path, map={"n": "=n"}, per="record", delivery=expiring()), path))
    assert [draft.as_of for draft in found] == [
        moment("2026-10-27T09:00:31"),
        moment("2026-10-27T09:00:32.5"),
        moment("2026-10-27T09:00:30"),
    ]


def test_a_time_without_a_zone_is_of_the_jobs_timezone(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("t\n2026-01-02 03:04:05\n")
    for sql in ("t", "CAST(t AS TIMESTAMP)", "CAST(t AS TIMESTAMP_NS)"):
        job = make_job("csv", path, map={"t": "=t"}, timezone="Europe/Amsterdam", delivery=expiring(sql))
        assert [draft.as_of for draft in drafts(render(job, path))] == [moment("2026-01-02T02:04:05")]


def test_a_batch_is_as_old_as_its_youngest_record(tmp_path):
    path = tmp_path / "a.csv"
    lines = [f"{n},{datetime.fromtimestamp(n * 37 % 1000, UTC).isoformat()}\n" for n in range(10_000)]
    path.write_text("n,t\n" + "".join(lines))
    for order in (by("n").order, Delivery().order):
        job = make_job("csv", path, map={"n": "=n"}, batch=Batch(records=7), delivery=expiring(order=order))
        chunks = render(job, path)
        for draft, body in zip(drafts(chunks), bodies(chunks), strict=True):
            assert draft.as_of == max(int(one["n"]) * 37 % 1000 for one in strict(body))


def test_a_record_without_a_time_makes_its_batch_count_from_when_it_is_spooled(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("n,t\n" + "1,1970-01-01T00:00:10Z\n" * 3 + "2,\n" + "3,1970-01-01T00:00:20Z\n" * 2)
    job = make_job("csv", path, map={"n": "=n"}, batch=Batch(records=2), delivery=expiring())
    assert [draft.as_of for draft in drafts(render(job, path))] == [10.0, None, 20.0]
    endless = make_job("csv", path, map={"n": "=n"}, delivery=expiring("CAST('infinity' AS TIMESTAMP)"))
    assert [draft.as_of for draft in drafts(render(endless, path))] == [None]


def test_too_large_records_do_not_shift_the_times_of_the_others(tmp_path):
    path = tmp_path / "a.csv"
    texts = ["a", "b" * 200, "c", "d", "e" * 200]
    path.write_text("n,t\n" + "".join(f"{n},1970-01-01T00:00:{i:02}Z\n" for i, n in enumerate(texts)))
    job = make_job(
        "csv", path, map={"n": "=n"}, batch=Batch(bytes=100), delivery=expiring(), on_bad_row="dead_letter"
    )
    chunks = render(job, path)
    assert [(one["n"], draft.as_of) for draft, body in zip(drafts(chunks), bodies(chunks), strict=True)
            for one in strict(body)] == [("a", 0.0), ("c", 3.0), ("d", 3.0)]  # fmt: skip
    assert sum(len(chunk.bad) for chunk in chunks) == 2


def test_text_that_is_no_time_makes_a_bad_record(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("n,t\n1,2026-01-01\n2,yesterday\n")
    with pytest.raises(RecordError) as caught:
        render(make_job("csv", path, map={"n": "=n"}, delivery=expiring()), path)
    assert "a.csv record 2 (line 3): delivery.expire.of is no time" in str(caught.value)
    kept = make_job("csv", path, map={"n": "=n"}, delivery=expiring(), on_bad_row="dead_letter")
    [chunk] = render(kept, path)
    assert [(bad.line, bad.reason) for bad in chunk.bad] == [(3, "delivery.expire.of is no time")]


def test_a_type_that_is_no_time_is_told_at_its_line(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("n,t\n1,2\n")
    with pytest.raises(SourceError) as caught:
        render(make_job("csv", path, map={"n": "=n"}, delivery=expiring(), types={"t": "BIGINT"}), path)
    assert "jobs/j.yaml:10:9: delivery.expire.of: =t: is no time, it is a BIGINT" in str(caught.value)


def test_columns_that_are_called_as_ours_are_the_users(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("lane,as_of,body\n77,1970-01-01T00:00:05Z,b\n")
    delivery = expiring("as_of", order=by("lane").order)
    job = make_job("csv", path, map={"l": "=lane", "a": "=as_of", "b": "=body"}, delivery=delivery)
    assert documents(job, path) == [{"l": "77", "a": "1970-01-01T00:00:05Z", "b": "b"}]
    [draft] = drafts(render(job, path))
    assert (draft.lane, draft.as_of) == (lane_of("77"), 5.0)
