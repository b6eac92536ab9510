from __future__ import annotations

import gzip

import pytest

from agent.config.model import Batch
from agent.errors import RecordError, SourceError
from tests.support.rendering import bodies, documents, drafts, make_job, render, strict


@pytest.fixture
def csv_file(tmp_path):
    def write(content, name="devices.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def failure(job, path):
    with pytest.raises(SourceError) as caught:
        render(job, path)
    return caught.value


def test_columns_are_text_and_an_empty_field_is_null_but_a_quoted_one_is_empty_text(csv_file):
    path = csv_file('id,name\n007,\n1e5,""\n')
    assert documents(make_job("csv", path), path) == [{"id": "007", "name": None}, {"id": "1e5", "name": ""}]


def test_types_and_sniffing_make_numbers(csv_file):
    path = csv_file("id,lat,on\n007,52.50,true\n8,,false\n")
    typed = make_job("csv", path, types={"lat": "DECIMAL(9,4)", "on": "BOOLEAN"})
    assert documents(typed, path) == [
        {"id": "007", "lat": 52.5, "on": True},
        {"id": "8", "lat": None, "on": False},
    ]
    assert b"52.5000" in bodies(render(typed, path))[0]
    assert documents(make_job("csv", path, sniff=True), path)[0] == {"id": "007", "lat": 52.5, "on": True}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_byte_order_mark_and_line_endings_do_not_matter(csv_file, ending):
    path = csv_file("\ufeff" + ending.join(["a,b", "1,x", '2,"y z"']))
    assert documents(make_job("csv", path), path) == [{"a": "1", "b": "x"}, {"a": "2", "b": "y z"}]


@pytest.mark.parametrize(
    ("encoding", "codec"), [("latin-1", "latin-1"), ("utf-16", "utf-16"), ("utf-16", "utf-16-le")]
)
def test_other_encodings_are_read(csv_file, encoding, codec):
    path = csv_file("plaats,n\nCuraçao é,2\n".encode(codec))
    assert documents(make_job("csv", path, encoding=encoding), path) == [{"plaats": "Curaçao é", "n": "2"}]


def test_a_gzipped_file_is_unpacked_while_it_is_read(csv_file):
    path = csv_file(gzip.compress(b"a;b\n1;2\n"), "x.csv.gz")
    assert documents(make_job("csv", path, delimiter=";"), path) == [{"a": "1", "b": "2"}]


def test_without_a_header_columns_have_numbers(csv_file):
    path = csv_file("1,2\n3,4\n")
    assert documents(make_job("csv", path, header=False, map={"x": "=column1"}), path) == [
        {"x": "2"},
        {"x": "4"},
    ]


def test_glob_characters_in_a_name_mean_nothing(csv_file):
    path = csv_file("a\n1\n", "x[1]*?.csv")
    assert documents(make_job("csv", path), path) == [{"a": "1"}]


def test_a_header_alone_gives_nothing(csv_file):
    path = csv_file("a,b\n")
    assert render(make_job("csv", path, map={"x": "=a"}), path) == []


def test_empty_column_names_and_names_that_differ_in_case_are_sent_as_they_are(csv_file):
    path = csv_file(",id,ID\n1,2,3\n")
    assert documents(make_job("csv", path), path) == [{"": "1", "id": "2", "ID": "3"}]
    assert (
        "the columns id, ID differ in case only"
        in failure(make_job("csv", path, map={"x": "=id"}), path).message
    )


def test_five_thousand_columns(csv_file):
    names = [f"c{n}" for n in range(5000)]
    path = csv_file(",".join(names) + "\n" + ",".join("v" for _ in names) + "\n")
    assert documents(make_job("csv", path), path, memory=2_000_000_000) == [dict.fromkeys(names, "v")]


def test_a_thousand_columns_sent_as_they_are_fit_into_the_memory_there_is_by_default(csv_file):
    names = [f"c{n}" for n in range(1000)]
    lines = [",".join(names), *(",".join(f"value {row}-{n}" for n in range(1000)) for row in range(2100))]
    path = csv_file("\n".join(lines) + "\n")
    found = documents(make_job("csv", path), path, memory=256_000_000)
    assert len(found) == 2100
    assert found[2099] == {f"c{n}": f"value 2099-{n}" for n in range(1000)}


@pytest.mark.parametrize("on_bad_row", ["fail", "dead_letter"])
def test_a_bad_record_of_many_columns_is_named(csv_file, on_bad_row):
    names = [f"c{n}" for n in range(400)]
    good, bad = ",".join("1" for _ in names), ",".join("1" if n != 300 else "x" for n in range(400))
    path = csv_file("\n".join([",".join(names), good, bad, good, good + ",2"]) + "\n")
    job = make_job("csv", path, types={"c300": "INTEGER"}, on_bad_row=on_bad_row)
    if on_bad_row == "fail":
        path.write_text(path.read_text().removesuffix(",2\n"))
        assert (
            failure(job, path).message == 'devices.csv record 2 (line 3): column c300: "x" is not a INTEGER'
        )
        return
    chunks = render(job, path)
    assert [bad.line for chunk in chunks for bad in chunk.bad] == [3, 5]
    assert sum(draft.records for chunk in chunks for draft in chunk.drafts) == 2


def test_a_field_of_ten_megabytes(csv_file):
    path = csv_file("a,b\n" + "x" * 10_000_000 + ",2\n3,4\n")
    job = make_job("csv", path, map={"n": "=length(a)", "b": "=b"})
    assert documents(job, path) == [{"n": 10_000_000, "b": "2"}, {"n": 1, "b": "4"}]


def test_nul_bytes_in_a_field_arrive_escaped(csv_file):
    path = csv_file(b"a,b\n1,x\x00y\n")
    assert documents(make_job("csv", path), path) == [{"a": "1", "b": "x\x00y"}]


def test_columns_that_differ_in_case_only_are_told_where_one_is_named(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("Lat,lat,id\n1,2,3\n")
    assert documents(make_job("csv", path, map={"id": "=id"}), path) == [{"id": "3"}]
    with pytest.raises(SourceError, match="the columns Lat, lat differ in case only"):
        render(make_job("csv", path, map={"lat": "=lat"}), path)


def test_a_missing_column_is_named_with_its_yaml_line_and_the_columns_there_are(csv_file):
    path = csv_file("id,plate\n1,A\n")
    error = failure(make_job("csv", path, map={"x": "=platte"}), path)
    assert error.message == (
        "jobs/j.yaml:7:9: body.map.x: =platte: there is no column platte\n"
        "  hint: did you mean plate? columns there are: id, plate"
    )
    assert error.lasting
    error = failure(make_job("csv", path, columns=("id", "plat")), path)
    assert (error.message, error.hint) == (
        "devices.csv: missing column plat",
        "did you mean plate? columns there are: id, plate",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "devices.csv is empty: there is no header"),
        ("a,b,a\n1,2,3\n", "devices.csv: the column 'a' is there twice"),
        ("a,b\n1,2\n3\n", "devices.csv line 3: 1 fields instead of 2"),
        ("a,b\n1,2\n3,4,5\n", "devices.csv line 3: 3 fields instead of 2"),
        (b"a,b\n1,2\n3,\xff\n", "devices.csv line 3: not UTF-8"),
        ('a,b\n1,2\n3,"x\n5,6\n', "devices.csv line 3: a quote that does not end"),
        (b"a\xff,b\n1,2\n", "devices.csv line 1: the byte ff is not utf-8"),
        (
            "a,b\r\n1,2\n3,4\r\n",
            "devices.csv: cannot be read as CSV: quotes are not RFC 4180, or line endings are mixed",
        ),
    ],
)
def test_a_bad_file_is_named_with_its_line(csv_file, content, message):
    path = csv_file(content)
    assert failure(make_job("csv", path), path).message.startswith(message)


def test_wrong_encoding_names_the_file(csv_file):
    path = csv_file(b"a,b\n1,\xe9\n\n")
    assert failure(make_job("csv", path, encoding="utf-16"), path).message.startswith(
        "devices.csv line 1: the byte 0a is not utf-16"
    )


def test_a_value_that_is_not_of_its_type_is_named_with_record_line_and_value(csv_file):
    path = csv_file('id,lat\n"1\n2",5\n2,north\n')
    error = failure(make_job("csv", path, types={"lat": "DOUBLE"}), path)
    assert isinstance(error, RecordError)
    assert error.message == 'devices.csv record 2 (line 4): column lat: "north" is not a DOUBLE'
    assert error.hint == 'the record: ["2","north"]'


def test_an_expression_that_fails_is_named_with_record_and_value(csv_file):
    path = csv_file("t\n" + "2021-10-27T11:00:31+02:00\n" * 9000 + "yesterday\n")
    error = failure(make_job("csv", path, map={"at": "=utc(t)"}), path)
    assert error.message.startswith(
        "devices.csv record 9001 (line 9002): body.map.at: =utc(t) cannot be computed"
    )
    assert "yesterday" in error.message


def test_bad_rows_become_bad_records_and_good_ones_go_on_in_order(csv_file):
    path = csv_file("id,n\n1,10\n2\n3,x\n4,40\n")
    job = make_job(
        "csv", path, types={"n": "INTEGER"}, on_bad_row="dead_letter", map={"id": "=id", "n": "=n"}
    )
    chunks = render(job, path)
    assert [strict(b) for b in bodies(chunks)] == [[{"id": "1", "n": 10}, {"id": "4", "n": 40}]]
    found = [(bad.line, bad.text, bad.reason) for chunk in chunks for bad in chunk.bad]
    assert found == [
        (4, '["3","x"]', 'column n: "x" is not a INTEGER'),
        (3, "2", "1 fields instead of 2"),
    ]


def test_lines_that_cannot_be_split_are_told_in_our_words(csv_file):
    path = csv_file(b'id,n\n1,\xff\n2,2,2\n3,3\n4,"x"y\n')
    chunks = render(make_job("csv", path, on_bad_row="dead_letter"), path)
    assert [(bad.line, bad.reason) for chunk in chunks for bad in chunk.bad] == [
        (2, "not UTF-8"),
        (3, "3 fields instead of 2"),
        (5, "a quote that does not end, or text after it"),
    ]


def test_bad_rows_do_not_move_the_row_to_go_on_from(csv_file):
    rows = [f"{n},{'x' if n % 7 == 0 else n}" for n in range(1, 101)]
    path = csv_file("id,n\n" + "\n".join(rows) + "\n")
    job = make_job(
        "csv",
        path,
        types={"n": "INTEGER"},
        on_bad_row="dead_letter",
        per="record",
        map={"id": "=id"},
        batch=Batch(records=3),
    )
    whole = render(job, path)
    again = render(job, path, start_row=50)
    assert bodies(again) == bodies(whole)[50 - 7 :]
    assert drafts(again)[0].origin == "devices.csv row 51"
    assert sum(len(chunk.bad) for chunk in again) == 7


@pytest.mark.parametrize("end", ["\n", ""])
@pytest.mark.parametrize("row", ["Smith, John,", "Smith, John,,", "1,2,", '"1\n",2,'])
@pytest.mark.parametrize("before", ["1,2", '"",2'])
def test_an_empty_field_too_many_is_one_too_many(tmp_path, before, row, end):
    path = tmp_path / "devices.csv"
    path.write_text(f"name,phone\n{before}\n{row}{end}")
    with pytest.raises(RecordError, match=r"devices\.csv line [34]: [34] fields instead of 2"):
        render(make_job("csv", path), path)


def test_empty_fields_are_null_with_and_without_quotes_in_the_file(tmp_path):
    path = tmp_path / "devices.csv"
    job = make_job("csv", path)
    path.write_text("a,b\n,2\n1,\n,\n")
    nulls = [{"a": None, "b": "2"}, {"a": "1", "b": None}, {"a": None, "b": None}]
    assert documents(job, path) == nulls
    path.write_text('a,b\n,2\n1,\n,\n"",\n')
    assert documents(job, path) == [*nulls, {"a": "", "b": None}]
