"""Given records become requests as a run would make them, and are held against what is expected."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from agent.sources.given import stand_in, write_given
from tests.support.job_tests import Trials
from tests.support.rendering import bodies, make_job, render

MAP = "body: {format: json, per: record, map: {id: =id, lat: =lat}}\n"
CSV = "source: {type: csv, path: /data/*.csv, types: {lat: DOUBLE}}\n"


@pytest.fixture
def tested(tmp_path):
    return Trials(tmp_path)


def test_a_column_of_a_csv_source_is_text_until_its_type_says_otherwise(tested):
    tested.put(
        CSV
        + MAP
        + """\
tests:
  - {name: t, given: [{id: 007, lat: 52}], expect: [{json: {id: "007", lat: 52.0}}]}
""".replace("007,", '"007",')
    )
    assert tested.bodies() == ['{"id":"007","lat":52.0}']
    assert tested.told() == []


@pytest.mark.parametrize("kind", ["json", "ndjson", "parquet"])
def test_a_source_with_types_of_its_own_takes_the_values_as_they_are(tested, kind):
    tested.put(
        f"source: {{type: {kind}, path: /data/*}}\n"
        """\
body: {format: json, per: record, map: {id: =id, twice: =id * 2, flag: =flag, when: =utc(seen), none: =none}}
tests:
  - name: t
    given: [{id: 7, flag: true, seen: "2021-10-27T11:00:31+02:00", none: null}]
    expect: [{json: {id: 7, twice: 14, flag: true, when: "2021-10-27T09:00:31Z", none: null}}]
"""
    )
    assert tested.told() == []


def test_every_kind_of_text_survives_the_way_through_a_csv_file(tested):
    texts = ['"', "a;b", "line\nline", " padded ", "", "ünï ☃ 𝄞", "'", "\t", "=1", "\r\n", "null"]
    given = json.dumps([{"id": text, "lat": None} for text in texts], ensure_ascii=False)
    expect = json.dumps([{"json": {"id": text, "lat": None}} for text in texts], ensure_ascii=False)
    tested.put(
        "source: {type: csv, path: /data/*.csv, delimiter: ';', types: {lat: DOUBLE}}\n"
        + MAP
        + f"tests: [{{name: t, given: {given}, expect: {expect}}}]\n"
    )
    assert tested.told() == []


def test_columns_of_the_source_that_are_not_given_are_null_and_others_are_missing(tested):
    tested.put(CSV + MAP + "tests:\n  - {name: t, given: [{id: a}], expect: [{json: {lat: null}}]}\n")
    assert tested.told() == []
    tested.put(CSV + MAP + "tests:\n  - {name: t, given: [{lat: 1}], expect: [{json: {lat: 1}}]}\n")
    ((what, _, _, got),) = tested.told()
    assert what == "the test"
    assert "there is no column id" in got


def test_an_object_may_hold_more_than_expected_unless_the_test_is_exact(tested):
    test = "tests:\n  - {name: t, given: [{id: a, lat: 1}], expect: [{json: {id: a}}]EXACT}\n"
    tested.put(CSV + MAP + test.replace("EXACT", ""))
    assert tested.told() == []
    tested.put(CSV + MAP + test.replace("EXACT", ", exact: true"))
    assert tested.told() == [("request 1", "lat", "(nothing)", "1.0")]


def test_what_differs_is_told_with_its_place_in_the_document(tested):
    tested.put(
        CSV
        + """\
body: {format: json, per: record, map: {a: {b: [{c: =id}, {c: 2}]}, "x y": =lat}}
tests:
  - name: t
    given: [{id: z, lat: 1}]
    expect: [{json: {a: {b: [{c: q}, {c: "2", d: 1}]}, "x y": true}}]
"""
    )
    assert tested.told() == [
        ("request 1", "a.b[0].c", '"q"', '"z"'),
        ("request 1", "a.b[1].c", '"2"', "2"),
        ("request 1", "a.b[1].d", "1", "(nothing)"),
        ("request 1", '"x y"', "true", "1.0"),
    ]


def test_one_request_too_many_or_too_few_is_told(tested):
    tested.put(CSV + MAP + "tests:\n  - {name: t, given: [{id: a}, {id: b}], expect: [{json: {id: a}}]}\n")
    assert tested.told() == [("the test", "", "1 request", "2 requests")]


def test_a_batch_is_one_list_and_its_records_are_counted(tested):
    tested.put(
        CSV
        + """\
body: {format: json, map: {id: =id}}
batch: {records: 2}
tests:
  - name: t
    given: [{id: a}, {id: b}, {id: c}]
    expect: [{records: 2, json: [{id: a}, {id: b}]}, {records: 2, text: '[{"id":"c"}]'}]
"""
    )
    assert tested.told() == [("request 2", "records", "2", "1")]


def test_method_url_path_and_headers_are_those_of_the_request(tested):
    tested.put(
        CSV
        + MAP
        + """\
tests:
  - name: good
    given: [{id: a/b, lat: 1}]
    expect:
      - method: PUT
        url: http://127.0.0.1:9/api/devices/a%2Fb
        path: /devices/a%2Fb
        headers: {x-id: a/b, Content-Type: application/json}
  - name: bad
    given: [{id: a, lat: 1}]
    expect: [{method: POST, url: "http://x.example", path: /b, headers: {X-Id: b, X-None: z}}]
""",
        target='target: {connection: open, path: "/devices/{id}", method: PUT, headers: {X-Id: "{id}"}}\n',
    )
    good, bad = tested.results()
    assert good.failures == ()
    assert [(one.path, one.expected, one.got) for one in bad.failures] == [
        ("method", "POST", "PUT"),
        ("url", "http://x.example", "http://127.0.0.1:9/api/devices/a"),
        ("path", "…/b", "http://127.0.0.1:9/api/devices/a"),
        ("header X-Id", "b", "a"),
        ("header X-None", "z", "(nothing)"),
    ]


def test_a_record_that_may_not_die_fails_the_test_and_one_that_must_passes_it(tested):
    source = CSV.replace("types:", "on_bad_row: dead_letter, types:")
    given = "given: [{id: a, lat: north}, {id: b, lat: 1}], expect: [{json: {id: b}}]"
    tested.put(source + MAP + f"tests:\n  - {{name: t, {given}}}\n")
    ((what, _, expected, got),) = tested.told()
    assert (what, expected) == ("dead letter 1", "(nothing)")
    assert '"north" is not a DOUBLE' in got
    tested.put(source + MAP + f"tests:\n  - {{name: t, {given}, expect_dead: [{{reason: not a DOUBLE}}]}}\n")
    assert tested.told() == []
    tested.put(source + MAP + f"tests:\n  - {{name: t, {given}, expect_dead: [{{reason: too far}}]}}\n")
    ((what, _, expected, got),) = tested.told()
    assert (what, expected) == ("dead letter 1", "a reason with the words: too far")


def test_where_a_bad_row_fails_the_whole_the_error_can_be_expected(tested):
    given = "given: [{id: a, lat: north}]"
    tested.put(CSV + MAP + f"tests:\n  - {{name: t, {given}, expect_error: is not a DOUBLE}}\n")
    assert tested.told() == []
    tested.put(CSV + MAP + f"tests:\n  - {{name: t, {given}, expect_error: something else}}\n")
    ((_, _, expected, got),) = tested.told()
    assert expected == "an error with the words: something else"
    assert "is not a DOUBLE" in got
    tested.put(CSV + MAP + "tests:\n  - {name: t, given: [{id: a}], expect_error: is not a DOUBLE}\n")
    assert tested.told()[0][3] == "1 request"


def test_a_given_file_is_read_as_the_source_reads_files(tested):
    (tested.config / "jobs/sample.csv").write_bytes("id;lat\nä;1\n".encode("latin-1"))
    tested.put(
        "source: {type: csv, path: /data/*.csv, delimiter: ';', encoding: latin-1, types: {lat: DOUBLE}}\n"
        + MAP
        + "tests:\n  - {name: t, given: {file: sample.csv}, expect: [{json: {id: ä, lat: 1}}]}\n"
    )
    assert tested.told() == []


def test_a_given_file_that_is_not_there_is_told(tested):
    tested.put(CSV + MAP + "tests:\n  - {name: t, given: {file: none.csv}, expect: [{}]}\n")
    ((_, _, _, got),) = tested.told()
    assert "jobs/none.csv is not a regular file" in got


def test_a_whole_file_is_tested_with_a_file(tested):
    (tested.config / "jobs/plan.csv").write_text("trip,stop\n1,2\n")
    tested.put(
        """\
source: {type: file, path: /data/*.csv, columns: [trip, stop]}
body: {format: raw, content_type: text/csv}
tests:
  - {name: t, given: {file: plan.csv}, expect: [{text: "trip,stop\\n1,2", headers: {Content-Type: text/csv}}]}
"""
    )
    assert tested.told() == []


def test_lines_of_a_text_that_differ_are_told_by_their_number(tested):
    (tested.config / "jobs/plan.csv").write_text("trip,stop\n1,2\n3,4\n")
    tested.put(
        """\
source: {type: file, path: /data/*.csv}
body: {format: raw, content_type: text/csv}
tests:
  - {name: t, given: {file: plan.csv}, expect: [{text: "trip,stop\\n1,3"}]}
"""
    )
    assert tested.told() == [
        ("request 1", "line 2", '"1,3"', '"1,2"'),
        ("request 1", "line 3", "(nothing)", '"3,4"'),
    ]


def test_a_csv_source_without_a_header_has_numbered_columns(tested):
    source = "source: {type: csv, path: /data/*.csv, header: false}\n"
    body = "body: {format: json, per: record, map: {a: =column0, c: =column2}}\n"
    tested.put(
        source
        + body
        + "tests:\n  - {name: t, given: [{column2: z, column0: x}], expect: [{json: {a: x, c: z}}]}\n"
    )
    assert tested.told() == []
    tested.put(source + body + "tests:\n  - {name: t, given: [{id: x}], expect: []}\n")
    assert "the source has no header" in tested.told()[0][3]


def test_columns_of_unlike_values_have_no_type(tested):
    tested.put(
        "source: {type: parquet, path: /data/*}\nbody: {format: json, per: record}\n"
        "tests:\n  - {name: t, given: [{a: 1}, {a: x}], expect: []}\n"
    )
    assert "the column a holds values of unlike types" in tested.told()[0][3]


def test_a_record_is_sent_as_it_is_where_there_is_no_map(tested):
    tested.put(
        "source: {type: ndjson, path: /data/*}\nbody: {format: json, per: record}\n"
        "tests:\n  - {name: t, exact: true, given: [{a: {b: [1, null]}}], expect: [{json: {a: {b: [1, null]}}}]}\n"
    )
    assert tested.told() == []


def test_values_that_yaml_readers_disagree_about_are_errors_at_their_place(tested):
    tested.put(
        CSV + MAP + "tests:\n  - {name: t, given: [{id: 012}], expect: [{json: {a: [{b: 2024-01-01}]}}]}\n"
    )
    first, second = tested.problems()
    assert "tests[0].given[0].id: 012 without quotes may mean an octal number" in first
    assert "tests[0].expect[0].json.a[0].b: 2024-01-01 without quotes may mean a date" in second


def test_the_rows_of_a_query_are_given_with_the_types_of_their_values(tmp_path):
    """A source that reads no text file, as the four things that a stand-in needs of it."""
    source = SimpleNamespace(
        on_bad_row="dead_letter",
        columns=("id",),
        types={"seen": "TIMESTAMPTZ", "flag": "BOOLEAN"},
        where=None,
    )
    reads = stand_in(source)
    path = write_given(
        reads, [{"id": 7, "seen": "2021-10-27T11:00:31+02:00"}, {"id": 8, "seen": "soon"}], tmp_path
    )
    tree = {"id": "=id", "twice": "=id * 2", "seen": "=seen", "flag": "=flag"}
    job = replace(make_job("parquet", path, map=tree, per="record"), source=reads)
    chunks = render(job, path)
    assert bodies(chunks) == [b'{"id":7,"twice":14,"seen":"2021-10-27T09:00:31Z","flag":null}']
    assert [bad.reason for chunk in chunks for bad in chunk.bad] == ["column seen: soon is not a TIMESTAMPTZ"]


def test_a_source_that_reads_files_of_text_stands_for_itself(tmp_path):
    source = make_job("csv", tmp_path / "a.csv").source
    assert stand_in(source) is source
