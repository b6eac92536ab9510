"""`body.schema`: a document that breaks it is set aside with the reason, the rest is sent."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agent.config.model import Batch, Contract, SchemaFile
from agent.errors import SpoolFull
from agent.render import render_file
from agent.spool import Pending, Reader
from tests.support.collecting import job_of
from tests.support.rendering import bodies, context, listed, make_job, render, where

EVEN = {"properties": {"id": {"type": "integer", "multipleOf": 2}}}


def with_contract(job, schema=None, check="all"):
    file = SchemaFile(path="/etc/schemas/even.json", text=json.dumps(schema or EVEN).encode())
    contract = Contract(kind="json", files=(file,), check=check, where=where("body.schema"))
    return replace(job, body=replace(job.body, contract=contract))


def job_over(path, **more):
    return make_job("csv", path, map={"id": "=id"}, types={"id": "INTEGER"}, **more)


def write(path, ids):
    path.write_text("id\n" + "".join(f"{one}\n" for one in ids))
    return path


def bad(chunks):
    return [record for chunk in chunks for record in chunk.bad]


@pytest.mark.parametrize("per", ["record", "batch"])
def test_what_breaks_the_schema_is_set_aside_with_its_line_and_reason(tmp_path, per):
    path = write(tmp_path / "a.csv", [2, 3, 4, 5, 6])
    chunks = render(with_contract(job_over(path, per=per)), path)
    sent = [json.loads(body) for body in bodies(chunks)]
    assert (sent if per == "record" else sent[0]) == [{"id": 2}, {"id": 4}, {"id": 6}]
    assert [(one.line, one.text, one.reason) for one in bad(chunks)] == [
        (3, '{"id":3}', "breaks even.json: id: 3 is not a multiple of 2"),
        (5, '{"id":5}', "breaks even.json: id: 5 is not a multiple of 2"),
    ]


def test_a_batch_is_filled_with_the_records_that_are_left(tmp_path):
    path = write(tmp_path / "a.csv", range(1, 21))
    chunks = render(with_contract(job_over(path, batch=Batch(records=4))), path)
    assert [[one["id"] for one in json.loads(body)] for body in bodies(chunks)] == [
        [2, 4, 6, 8],
        [10, 12, 14, 16],
        [18, 20],
    ]


def test_paths_and_headers_stay_with_their_records(tmp_path):
    path = write(tmp_path / "a.csv", [1, 2, 3, 4])
    from tests.support.rendering import template  # noqa: PLC0415 - beside its use

    target = {"path": template("/x/", "=id"), "headers": (("X-Id", template("=id", path="target.headers")),)}
    chunks = render(with_contract(job_over(path, per="record", target=target)), path)
    assert [(one.path, dict(one.headers), one.first) for chunk in chunks for one in chunk.drafts] == [
        ("/x/2", {"X-Id": "2"}, 2),
        ("/x/4", {"X-Id": "4"}, 4),
    ]


def test_a_sample_is_the_first_record_and_every_hundredth_from_there(tmp_path):
    path = write(tmp_path / "a.csv", [1] * 1000)
    chunks = render(with_contract(job_over(path, per="record"), check="sample"), path)
    assert [one.line for one in bad(chunks)] == list(range(2, 1002, 100))
    assert len(bodies(chunks)) == 990


def test_none_checks_nothing_in_a_run_and_all_where_all_is_asked_for(tmp_path):
    path = write(tmp_path / "a.csv", [1, 2])
    spill = tmp_path / "spill"
    spill.mkdir()
    for check in ("none", "sample"):
        job = with_contract(job_over(path, per="record"), check=check)
        assert len(bodies(render(job, path))) == (2 if check == "none" else 1)
        write(path, [2, 1])
        thorough = replace(context(spill), thorough=True)
        assert len(bad(render_file(job, listed(path), thorough))) == 1
        write(path, [1, 2])


def test_a_file_where_every_record_breaks_the_schema_is_given_away_in_chunks(tmp_path):
    path = write(tmp_path / "a.csv", [1] * 10_000)
    chunks = render(with_contract(job_over(path)), path)
    assert len(chunks) > 1
    assert len(bad(chunks)) == 10_000
    assert [chunk.rows for chunk in chunks] == sorted({chunk.rows for chunk in chunks})
    half = chunks[0].rows
    assert len(bad(render(with_contract(job_over(path)), path, start_row=half))) == 10_000 - half


def test_a_run_buries_what_breaks_the_schema_and_sends_the_rest_also_where_a_bad_row_fails(place, inbox):
    path = write(inbox / "a.csv", [1, 2, 3, 4])
    job = with_contract(job_of("csv", path, map={"id": "=id"}, types={"id": "INTEGER"}, on_bad_row="fail"))
    result = place.run(job)
    assert (result.state, result.records) == ("done", 2)
    assert place.ids() == [2, 4]
    with Reader.open(place.temp.parent / "state") as reader:
        letters = reader.dead("j")
    assert [(one.reason, one.origin, one.answer.reason) for one in letters] == [
        ("bad record", "a.csv line 4", "breaks even.json: id: 3 is not a multiple of 2"),
        ("bad record", "a.csv line 2", "breaks even.json: id: 1 is not a multiple of 2"),
    ]
    assert place.run(job).records == 0


def test_thousands_of_bad_records_are_all_kept_in_order_also_while_the_spool_is_full(place, inbox):
    path = write(inbox / "a.csv", [1] * 3000)
    add, refused = place.spool.add_dead, []

    def add_or_refuse(letter):
        if letter.origin.endswith("line 7") and not refused:
            refused.append(letter)
            full = Pending()
            full.set_exception(SpoolFull("full"))
            return full
        return add(letter)

    place.spool.add_dead = add_or_refuse
    job = with_contract(job_of("csv", path, map={"id": "=id"}, types={"id": "INTEGER"}, on_bad_row="fail"))
    assert place.run(job).state == "done"
    assert len(refused) == 1
    with Reader.open(place.temp.parent / "state") as reader:
        letters = reader.dead("j", limit=10_000)
    assert len(letters) == 3000
    assert [one.origin for one in letters][-8:-1] == [
        f"a.csv line {number}" for number in (10, 9, 8, 6, 5, 4, 3)
    ]
