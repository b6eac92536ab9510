from __future__ import annotations

import gzip
from datetime import timedelta

import duckdb
import pytest

from agent.check import check_job
from agent.errors import SourceError
from agent.sources import duck
from tests.support.rendering import bodies, context, documents, drafts, make_job, render, template


@pytest.fixture
def plates(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id,plate\n1,AA\n2,BB\n")
    return path


@pytest.mark.parametrize(
    "sql",
    [
        "(SELECT content FROM read_text('/etc/passwd'))",
        "1) FROM x --",
        "1; SELECT 2",
        "1, 2",
        "1 FROM read_text('/etc/passwd')",
        "plate AS id",
        "sum(id)",
        "count(*)",
        "row_number() OVER ()",
        "unnest([1, 2])",
        "*",
        "COLUMNS('.*')",
        "$1",
        "getenv('HOME')",
        "1 /* no end",
        "EXISTS (FROM glob('/etc/*'))",
        "plate WHERE true",
        "",
        "'lone \ud800'",
    ],
)
def test_an_expression_is_one_scalar_expression_and_nothing_else(plates, sql):
    job = make_job("csv", plates, map={"a": "=" + sql})
    with pytest.raises(SourceError, match=r"jobs/j.yaml:7:9: body.map.a: ="):
        render(job, plates)
    assert check_job(job, context(plates.parent))[0].path == "body.map.a"


@pytest.mark.parametrize("sql", ["plate -- the plate", "plate /* ) */", "plate || ')'", "'--' || plate"])
def test_comments_and_brackets_in_an_expression_swallow_nothing(plates, sql):
    assert len(documents(make_job("csv", plates, map={"a": "=" + sql, "b": "=id"}), plates)) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('{other}')",
        "SELECT * FROM '{other}'",
        "SELECT * FROM glob('/etc/*')",
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "COPY (SELECT 1) TO '{own}'",
        "ATTACH '{folder}/db'",
        "EXPORT DATABASE '{folder}/all'",
        "SET threads=1",
        "SET enable_external_access=true",
        "RESET allowed_paths",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM table_of_python",
        "SELECT getenv('HOME')",
    ],
)
def test_duckdb_reaches_the_file_and_nothing_else(plates, statement):
    other = plates.parent / "other.csv"
    other.write_text("secret\n1\n")
    table_of_python = duckdb.connect().sql("SELECT 1")
    spill = plates.parent / "spill"
    con = duck.connect(file=str(plates), temp=spill, memory=100_000_000, threads=1, timezone="UTC")
    assert len(duck.rows(con, f"SELECT * FROM read_csv('{plates}')")) == 2
    with pytest.raises(duckdb.Error):
        con.execute(statement.format(other=other, folder=plates.parent, own=plates))
    assert table_of_python is not None
    con.close()


def test_types_are_names_of_types(plates):
    for bad in ("DOUBLE) AS x, (SELECT 1", "NOSUCH", "INT; SELECT 1"):
        job = make_job("csv", plates, types={"id": bad})
        assert [problem.path for problem in check_job(job, context(plates.parent))] == ["source.types.id"]
        with pytest.raises(SourceError, match=r"source\.types\.id"):
            render(job, plates)


@pytest.mark.parametrize(
    ("value", "timezone", "expected"),
    [
        ("2021-10-27T11:00:31+02:00", "UTC", "2021-10-27T09:00:31Z"),
        ("2021-10-27T11:00:31.250Z", "UTC", "2021-10-27T11:00:31.25Z"),
        ("2021-10-27T11:00:31", "Europe/Amsterdam", "2021-10-27T09:00:31Z"),
        ("2021-12-27 11:00", "Europe/Amsterdam", "2021-12-27T10:00:00Z"),
        ("2021-10-27", "Europe/Amsterdam", "2021-10-26T22:00:00Z"),
        ("0044-03-15T00:00:00Z", "UTC", "0044-03-15T00:00:00Z"),
        ("", "UTC", None),
    ],
)
def test_utc_gives_rfc_3339_in_utc(tmp_path, value, timezone, expected):
    path = tmp_path / "x.csv"
    path.write_text(f"t,u\n{value},\n")
    types = {"t": "TIMESTAMP"} if "+" not in value and "Z" not in value else {}
    for given in ({}, types):
        assert documents(make_job("csv", path, map="=utc(t)", timezone=timezone, types=given), path) == [
            expected
        ]


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("a b/é?#", "/devices/a%20b%2F%C3%A9%3F%23/x"),
        ("..", None),
        (".", None),
        ("", None),
        ("a..", "/devices/a../x"),
    ],
)
def test_a_record_cannot_leave_its_path_segment(tmp_path, value, path):
    file = tmp_path / "x.csv"
    file.write_text(f"id\n{value}\nok\n" if value else 'id\n""\nok\n')
    target = {"path": template("/devices/", "=id", "/x")}
    job = make_job("csv", file, per="record", target=target, on_bad_row="dead_letter")
    chunks = render(job, file)
    assert [draft.path for draft in drafts(chunks)] == ([path] if path else []) + ["/devices/ok/x"]
    said = "target.path: a piece of the path is . or .." if value else "target.path: {id} is empty"
    assert [bad.reason for chunk in chunks for bad in chunk.bad] == ([said] if path is None else [])
    if path is None:
        with pytest.raises(SourceError, match=r"x.csv record 1 \(line 2\): target.path: "):
            render(make_job("csv", file, per="record", target=target), file)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\x00b", "a\x7f"])
def test_control_characters_never_reach_a_header(tmp_path, value):
    file = tmp_path / "x.csv"
    file.write_text(f'id\n"{value}"\nfine\n', newline="")
    target = {
        "headers": (("X-Id", template("id-", "=id", path="target.headers.X-Id")), ("X-Fixed", template("x")))
    }
    job = make_job("csv", file, per="record", target=target, on_bad_row="dead_letter")
    chunks = render(job, file)
    assert [dict(draft.headers) for draft in drafts(chunks)] == [{"X-Id": "id-fine"}]
    assert [bad.reason for chunk in chunks for bad in chunk.bad] == [
        "target.headers.X-Id: the header X-Id would hold a control character"
    ]
    with pytest.raises(SourceError, match="control character"):
        render(make_job("csv", file, per="record", target=target), file)


def test_check_finds_every_problem_at_its_place(plates):
    job = make_job(
        "csv", plates, map={"a": "=plaet", "b": "=id +", "c": "=id"}, target={"path": template("/", "=id")}
    )
    found = check_job(job, context(plates.parent))
    assert [problem.path for problem in found] == ["body.map.b", "target.path"]
    assert found[1].hint == "set body.per to record"
    job = make_job("csv", plates, map={"a": "=plaet", "b": "=upper(1, 2, 3)", "c": "=id"})
    assert [problem.path for problem in check_job(job, context(plates.parent))] == [
        "body.map.a",
        "body.map.b",
    ]
    assert check_job(make_job("csv", plates, map={"c": "=id"}), context(plates.parent)) == []


def test_check_without_a_file_looks_at_the_syntax_only(tmp_path):
    job = make_job("csv", tmp_path / "none.csv", map={"a": "=anything", "b": "=)("})
    assert [problem.path for problem in check_job(job, context(tmp_path))] == ["body.map.b"]
    assert job.source.files.settle == timedelta(0)


@pytest.mark.parametrize("column", ["body", "PATH", "h0", "why", "shown", "__body", "__bad", "___bad", "__n"])
@pytest.mark.parametrize("on_bad_row", ["fail", "dead_letter"])
def test_sec_15_a_column_of_the_file_cannot_take_the_place_of_what_is_computed(tmp_path, column, on_bad_row):
    path = tmp_path / "x.csv"
    path.write_text(f"id,{column}\n1,../../%0d%0aX-Evil:1\n2,\n")
    job = make_job(
        "csv",
        path,
        map={"n": "=id"},
        per="record",
        types={"id": "BIGINT"},
        on_bad_row=on_bad_row,
        target={"path": template("/d/", "=id"), "headers": (("X-Id", template("v", "=id")),)},
    )
    sent = drafts(render(job, path))
    assert [(draft.path, dict(draft.headers)) for draft in sent] == [
        ("/d/1", {"X-Id": "v1"}),
        ("/d/2", {"X-Id": "v2"}),
    ]
    assert [gzip.decompress(draft.body) for draft in sent] == [b'{"n":1}', b'{"n":2}']


def test_sec_15_a_column_with_a_name_of_ours_does_not_hide_a_bad_record(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id,__bad\nno number,\n2,looks bad\n")
    job = make_job(
        "csv", path, map={"n": "=id"}, per="record", types={"id": "BIGINT"}, on_bad_row="dead_letter"
    )
    chunks = render(job, path)
    assert bodies(chunks) == [b'{"n":2}']
    assert [bad.line for chunk in chunks for bad in chunk.bad] == [2]


def test_a_result_is_computed_no_more_than_five_megabytes_ahead(tmp_path):
    con = duck.connect(file=[], temp=tmp_path, memory=64_000_000, threads=2, timezone="UTC")
    try:
        (said,) = duck.rows(con, "SELECT current_setting('streaming_buffer_size')")
    finally:
        con.close()
    assert said == ("4.7 MiB",)
