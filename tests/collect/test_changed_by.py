"""`only: {changed_by: …}`: what is new or changed is sent, once, in order; whatever happens in between."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest

from agent.config.model import Batch, Only
from agent.spool import Spool
from tests.support.collecting import bodies_of, job_of
from tests.support.rendering import tree, where
from tests.support.spool import receipt


def only(*names, deleted="ignore", deleted_map=None):
    return Only(
        changed_by=names or ("id",),
        deleted="send" if deleted_map is not None else deleted,
        deleted_map=None if deleted_map is None else tree(deleted_map, "source.only.deleted.map"),
        where=where("source.only"),
    )


def devices(path, *rows):
    path.write_text("id;plate\n" + "".join(f"{key};{plate}\n" for key, plate in rows))


def job(path, *, per="record", **more):
    fields = {"map": {"id": "=id", "plate": "=plate"}, "delimiter": ";", "only": only(), **more}
    return job_of("csv", path, per=per, batch=Batch(records=10), **fields)


def sent(place) -> list:
    """What waits, and leaves with this."""
    found = []
    while messages := place.spool.oldest("j", 0, limit=1000, max_bytes=10**9).result():
        for message in messages:
            document = json.loads(gzip.decompress(message.body))
            found += document if isinstance(document, list) else [document]
            place.spool.ack(message, receipt(message)).result()
    return [(one["id"], one.get("plate")) for one in found]


@pytest.mark.parametrize("per", ["record", "batch"])
def test_only_new_and_changed_records_are_sent_in_the_order_of_the_file(place, inbox, per):
    path = inbox / "devices.csv"
    devices(path, *((f"{n:05}", "AA") for n in range(9000, 0, -1)))
    assert place.run(job(path, per=per)).records == 9000
    assert [key for key, _ in sent(place)] == [f"{n:05}" for n in range(9000, 0, -1)]

    rows = [(f"{n:05}", "BB" if n % 1000 == 7 else "AA") for n in range(9000, 0, -1)]
    devices(path, ("new", "CC"), *rows, ("last", "DD"))
    assert place.run(job(path, per=per)).state == "done"
    changed = [(f"{n}007".zfill(5), "BB") for n in range(8, -1, -1)]
    assert sent(place) == [("new", "CC"), *changed, ("last", "DD")]


def test_a_record_that_goes_back_to_what_it_was_is_sent_again(place, inbox):
    path = inbox / "a.csv"
    for plate in ("AA", "BB", "AA"):
        devices(path, ("1", plate), ("2", "ZZ"))
        place.run(job(path))
    assert sent(place) == [("1", "AA"), ("2", "ZZ"), ("1", "BB"), ("1", "AA")]


def test_a_record_that_comes_back_unchanged_is_not_sent_again_where_deletions_are_ignored(place, inbox):
    path = inbox / "a.csv"
    for rows in ([("1", "AA"), ("2", "BB")], [("1", "AA")], [("2", "BB"), ("1", "AA"), ("3", "CC")]):
        devices(path, *rows)
        assert place.run(job(path)).state == "done"
    assert sent(place) == [("1", "AA"), ("2", "BB"), ("3", "CC")]


def test_files_of_one_job_know_of_each_other_in_the_order_in_which_they_are_read(place, inbox):
    for name, plate in (("a", "AA"), ("b", "BB"), ("c", "BB"), ("d", "AA")):
        devices(inbox / f"{name}.csv", ("1", plate))
    assert place.run(job(inbox / "*.csv")).state == "done"
    assert sent(place) == [("1", "AA"), ("1", "BB"), ("1", "AA")]


def test_what_would_be_sent_counts_not_columns_that_the_job_does_not_use(place, inbox):
    path = inbox / "a.csv"
    text = "id;plate;seen_at\n1;AA;10:00\n2;BB;10:00\n"
    path.write_text(text)
    place.run(job(path))
    path.write_text(text.replace("10:00", "11:00"))
    result = place.run(job(path))
    assert (result.state, result.records) == ("done", 0)
    assert sent(place) == [("1", "AA"), ("2", "BB")]


def test_a_path_and_a_header_of_a_record_count_as_what_is_sent(place, inbox):
    from tests.support.rendering import template  # noqa: PLC0415

    target = {
        "endpoint": "e",
        "path": template("/devices/", "=plate"),
        "headers": (("X-Id", template("=id", path="target.headers.X-Id")),),
    }
    path = inbox / "a.csv"
    one = job(path, map={"id": "=id"}, target=target)
    devices(path, ("1", "AA"), ("2", "BB"))
    place.run(one)
    devices(path, ("1", "AA"), ("2", "CC"))
    place.run(one)
    paths = [message.path for message in place.spool.oldest("j", 0).result()]
    assert paths == ["/devices/AA", "/devices/BB", "/devices/CC"]


def test_a_changed_map_sends_what_it_changes(place, inbox):
    path = inbox / "a.csv"
    devices(path, ("1", "AA"), ("2", "BB"))
    place.run(job(path))
    devices(path, ("1", "AA"), ("2", "BB"), ("3", "CC"))
    other = job(path, map={"id": "=id", "plate": "=CASE WHEN id = '1' THEN lower(plate) ELSE plate END"})
    place.run(replace(other, sha256="v2"))
    assert sent(place) == [("1", "AA"), ("2", "BB"), ("1", "aa"), ("3", "CC")]


def test_a_key_that_is_there_twice_fails_the_file_and_names_both_records(place, inbox):
    path = inbox / "a.csv"
    devices(path, ("1", "AA"), ("2", "BB"), ("1", "CC"))
    result = place.run(job(path))
    assert result.state == "failed"
    assert result.reason == "a.csv record 3 (line 4): the same id as record 1 (only.changed_by)"
    assert sent(place) == []
    devices(path, ("1", "AA"), ("2", "BB"))
    place.run(job(path))
    assert sent(place) == [("1", "AA"), ("2", "BB")]


def test_with_dead_letters_the_later_ones_of_a_key_and_empty_keys_are_set_aside(place, inbox):
    path = inbox / "a.csv"
    devices(path, ("1", "AA"), ("", "XX"), ("2", "BB"), ("1", "CC"))
    one = job(path, on_bad_row="dead_letter")
    assert place.run(one).state == "done"
    assert sent(place) == [("1", "AA"), ("2", "BB")]
    assert {(letter.origin, letter.answer.reason) for letter in dead(place)} == {
        ("a.csv line 3", "column id: the key is empty (only.changed_by)"),
        ("a.csv line 5", "the same id as record 1 (only.changed_by)"),
    }
    devices(path, ("1", "CC"), ("2", "BB"))
    place.run(one)
    assert sent(place) == [("1", "CC")]


def dead(place):
    from agent.spool import Reader  # noqa: PLC0415

    with Reader.open(place.spool.folder) as reader:
        return reader.dead("j")[::-1]


def test_an_empty_key_fails_the_file_and_is_named(place, inbox):
    path = inbox / "a.csv"
    devices(path, ("1", "AA"), ("", "XX"))
    result = place.run(job(path))
    assert result.reason == "a.csv record 2 (line 3): column id: the key is empty (only.changed_by)"
    assert sent(place) == []


def test_a_file_without_a_column_of_the_key_is_refused(place, inbox):
    path = inbox / "a.csv"
    devices(path, ("1", "AA"))
    result = place.run(job(path, only=only("id", "carrier")))
    assert result.reason == "a.csv: missing column carrier"


def test_a_bad_record_does_not_become_known(place, inbox):
    path = inbox / "a.csv"
    one = job(path, map={"id": "=id", "plate": "=CAST(plate AS INTEGER)"}, on_bad_row="dead_letter")
    for plate in ("7", "x", "7", "x", "8"):
        devices(path, ("1", plate))
        place.run(one)
    assert sent(place) == [("1", 7), ("1", 8)]
    assert len(dead(place)) == 2


def test_keys_that_are_gone_are_sent_with_their_own_map_behind_the_others(place, inbox):
    path = inbox / "a.csv"
    one = job(path, only=only(deleted_map={"id": "=id", "plate": "=upper('gone')"}))
    devices(path, *((f"{n}", "AA") for n in range(1, 31)))
    place.run(one)
    sent(place)
    devices(path, *((f"{n}", "AA") for n in range(1, 31) if n not in {3, 20, 25}), ("31", "NN"))
    assert place.run(one).records == 4
    assert sent(place) == [("31", "NN"), ("3", "GONE"), ("20", "GONE"), ("25", "GONE")]
    devices(path, *((f"{n}", "AA") for n in range(1, 31) if n != 20), ("31", "NN"))
    place.run(one)
    assert sent(place) == [("3", "AA"), ("25", "AA")]


def test_deletions_without_a_map_are_the_key_columns(place, inbox):
    path = inbox / "a.csv"
    one = job(path, only=only("id", "plate", deleted="send"), map=None, types={"id": "BIGINT"})
    devices(path, ("1", "AA"), ("2", "BB"))
    place.run(one)
    sent(place)
    devices(path, ("1", "AA"))
    place.run(one)
    assert sent(place) == [(2, "BB")]


def test_a_bad_record_is_no_deletion(place, inbox):
    path = inbox / "a.csv"
    one = job(
        path,
        map={"id": "=id", "plate": "=CAST(plate AS INTEGER)"},
        on_bad_row="dead_letter",
        only=only(deleted_map={"id": "=id"}),
    )
    devices(path, ("1", "1"), ("2", "2"), ("3", "3"))
    place.run(one)
    sent(place)
    devices(path, ("1", "1"), ("2", "x"))
    place.run(one)
    assert sent(place) == [("3", None)]
    path.write_text("id;plate\n1;1\nbroken\n")  # whose record was it?
    place.run(one)
    assert sent(place) == []
    devices(path, ("1", "1"))
    place.run(one)
    assert sent(place) == [("2", None)]


def test_a_file_without_records_does_not_delete_everything(place, inbox):
    path = inbox / "a.csv"
    one = job(path, only=only(deleted="send"))
    devices(path, ("1", "AA"), ("2", "BB"))
    place.run(one)
    devices(path)
    result = place.run(one)
    assert result.reason == "a.csv holds no record: that would delete all 2 keys"
    devices(path, ("2", "BB"))
    place.run(one)
    assert sent(place) == [("1", "AA"), ("2", "BB"), ("1", None)]


def test_deletions_are_told_from_the_first_file_read_with_them(place, inbox):
    path = inbox / "a.csv"
    devices(path, ("1", "AA"), ("2", "BB"), ("3", "CC"))
    place.run(job(path))
    sending = job(path, only=only(deleted="send"))
    devices(path, ("2", "BB"), ("3", "CC"))
    place.run(sending)
    devices(path, ("3", "CC"))
    place.run(sending)
    assert sent(place) == [("1", "AA"), ("2", "BB"), ("3", "CC"), ("2", None)]


def test_another_key_and_lost_marks_mean_that_all_is_sent_again(place, inbox):
    path = inbox / "a.csv"
    devices(path, ("1", "AA"), ("2", "BB"))
    place.run(job(path))
    sent(place)
    path.write_text(path.read_text() + "3;CC\n")
    place.run(job(path, only=only("id", "plate")))
    assert sent(place) == [("1", "AA"), ("2", "BB"), ("3", "CC")]
    (marks,) = (place.spool.folder / "seen" / "j").iterdir()
    marks.write_bytes(marks.read_bytes()[:-20] + bytes(20))
    path.write_text(path.read_text() + "4;DD\n")
    assert place.run(job(path, only=only("id", "plate"))).state == "done"
    assert len(sent(place)) == 4


def test_a_job_that_sends_everything_for_a_while_forgets_what_was_sent_before(place, inbox):
    path = inbox / "a.csv"
    for plate, how in (("AA", only()), ("BB", None), ("AA", only())):
        devices(path, ("1", plate))
        place.run(job(path, only=how))
    assert sent(place) == [("1", "AA"), ("1", "BB"), ("1", "AA")]


def test_unnamed_marks_are_swept(place, inbox):
    path = inbox / "a.csv"
    for plate in "ABCDE":
        devices(path, ("1", plate), ("2", "same"))
        place.run(job(path))
        folder = place.spool.folder / "seen" / "j"
        (folder / "left-by-a-kill.parquet").write_bytes(b"x")
    place.run(job(path))
    assert len(list(folder.iterdir())) == 1
    assert isinstance(place.spool, Spool)
    assert len(bodies_of(place.spool, "j")) == 6


@pytest.mark.parametrize("kind", ["ndjson", "json", "parquet"])
def test_every_kind_of_records_can_be_told_by_a_key(place, inbox, kind):
    path = inbox / f"a.{kind}"
    one = job_of(kind, path, per="record", only=only("id"), map={"id": "=id", "plate": "=plate"})
    for rows in ([(1, "AA"), (2, "BB")], [(2, "BC"), (1, "AA"), (3, "CC")]):
        write(kind, path, [{"id": key, "plate": plate} for key, plate in rows])
        assert place.run(one).state == "done"
    assert sent(place) == [(1, "AA"), (2, "BB"), (2, "BC"), (3, "CC")]


def write(kind, path, records):
    if kind == "parquet":
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        pq.write_table(pa.Table.from_pylist(records), path)
    elif kind == "json":
        path.write_text(json.dumps(records))
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_a_deletion_knows_the_key_columns_only_and_says_so_before_anything_is_sent(place, inbox):
    path = inbox / "a.csv"
    devices(path, ("1", "AA"))
    result = place.run(job(path, only=only(deleted_map={"id": "=id", "plate": "=plate"})))
    assert result.state == "failed"
    assert "source.only.deleted.map.plate: =plate: there is no column plate" in result.reason
    assert sent(place) == []


def test_records_of_a_line_cannot_be_larger_than_a_batch_and_stay_unknown(place, inbox):
    path = inbox / "a.csv"
    one = replace(job(path, per="batch", on_bad_row="dead_letter"), batch=Batch(bytes=60))
    devices(path, ("1", "x" * 100), ("2", "BB"))
    place.run(one)
    devices(path, ("1", "x" * 100), ("2", "BB"), ("3", "CC"))
    place.run(replace(one, batch=Batch(bytes=600)))
    assert [key for key, _ in sent(place)] == ["2", "1", "3"]
