"""What is found out about a JSON file before its records are read: keys, types, what is no JSON, how long."""

from __future__ import annotations

import gzip
import json
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.model import Batch, ByKey, Delivery
from agent.errors import RecordError, SourceError
from agent.mapping import literal
from agent.render import render_file
from agent.sources import duck
from agent.sources import json as json_source
from agent.sources.files import PIECE
from agent.sources.relation import Opened, Uses
from agent.sources.shapes import FIRST, MOST_KEYS
from tests.render.test_json_documents import quick
from tests.support.rendering import bodies, context, documents, drafts, listed, make_job, render, tree

MANY = FIRST + 500
BROAD = {f"k{number}": number for number in range(MOST_KEYS + 1)}


def written(path, records):
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    text = "\n".join(lines) if path.suffix == ".ndjson" else f"[{','.join(lines)}]"
    path.write_text(text)
    return path


@pytest.fixture(params=["ndjson", "json"])
def kind(request):
    return request.param


@pytest.fixture
def file(tmp_path, kind):
    return partial(written, tmp_path / f"x.{kind}")


tokens = st.sampled_from(
    [
        *("{", "}", "[", "]", ",", ":", " ", "\n", "-", "1", "1e5", '"a"', "null", "true"),
        *("NaN", "nan", "-NaN", "nAn", "Infinity", "inf", "-INF", "-infinity"),
        *('"NaN"', '", nan"', r'"\",inf"', '":inf"', '"[NaN"', '",]"', '", }"', '"naïve: infinite, nanny"'),
    ]
)
loose = st.recursive(
    tokens.filter(lambda token: len(token) > 1 or token == "1"),
    lambda inner: st.one_of(
        st.tuples(st.lists(inner, max_size=4), st.sampled_from([",", ", ", ",\n"]), st.booleans()).map(
            lambda made: f"[{made[1].join(made[0])}{made[1] if made[2] else ''}]"
        ),
        st.tuples(st.lists(inner, max_size=4), st.sampled_from([":", " : "]), st.booleans()).map(
            lambda made: "{" + ",".join(f'"k"{made[1]}{v}' for v in made[0]) + (" ,\t" * made[2]) + "}"
        ),
    ),
    max_leaves=8,
)


def is_strict(text):
    try:
        json.loads(text, parse_constant=lambda word: json.loads(f"{word} is no JSON"))
    except ValueError:
        return False
    return True


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    temp = tmp_path_factory.mktemp("spill")
    with closing(duck.connect(file="", temp=temp, memory=100_000_000, threads=1, timezone="UTC")) as opened:
        yield opened


@quick
@given(texts=st.lists(loose | st.lists(tokens, max_size=9).map("".join), min_size=20, max_size=40))
def test_what_is_taken_for_json_is_what_rfc_8259_says(con, texts):
    rows = f"SELECT unnest([{', '.join(map(literal, texts))}]) AS x"
    found = duck.rows(
        con, f"SELECT x, CASE WHEN json_valid(x) THEN __json_ok(x) ELSE false END FROM ({rows})"
    )
    assert found == [(text, is_strict(text)) for text in texts]


@pytest.mark.parametrize(("first", "count"), [({"a": 1}, MANY), (BROAD, 3)], ids=["few keys", "many keys"])
def test_a_key_that_only_the_last_record_has_is_a_column(file, kind, first, count):
    path = file([first] * count + [{"late": 2.5, "a": 3}])
    found = documents(make_job(kind, path, map={"late": "=late", "more": "=late * 2"}), path)
    assert found == [{"late": None, "more": None}] * count + [{"late": 2.5, "more": 5}]


def test_nor_is_a_key_missing_that_no_other_record_has(file, kind):
    path = file([{"a": 1}] * MANY + [{"b": 1}])
    with pytest.raises(SourceError, match=r"missing column c") as caught:
        render(make_job(kind, path, map={"a": "=a"}, columns=("a", "c")), path)
    assert "columns there are: a, b" in str(caught.value.hint)


def test_keys_that_differ_in_case_are_told_however_late_they_come(file, kind):
    path = file([{"a": 1}] * MANY + [{"A": 2}])
    with pytest.raises(SourceError, match="the keys 'A' and 'a' differ in case only"):
        render(make_job(kind, path, map={"a": "=a"}), path)
    assert documents(make_job(kind, path), path)[-1] == {"A": 2}


def test_a_type_holds_for_all_values_however_late_they_come(file, kind):
    path = file([{"n": 1, "m": 1}] * MANY + [{"n": 0.5, "m": "text"}])
    found = documents(make_job(kind, path, map={"n": "=n / 2", "m": "=CAST(m AS VARCHAR)"}), path)
    assert found[0] == {"n": 0.5, "m": "1"}
    assert found[-1] == {"n": 0.25, "m": '"text"'}


def test_the_order_of_columns_is_that_in_which_they_are_met(file, kind):
    from agent.config.model import CsvBody  # noqa: PLC0415

    path = file([{"b": 1}, {"c": 1, "a": 2}] * FIRST + [{"0": 3, "b": 1}])
    sent = bodies(render(make_job(kind, path, body=CsvBody(), batch=Batch(records=9_999)), path))
    assert sent[0].startswith(b"b,c,a,0\r\n1,,,\r\n,1,2,\r\n")


@pytest.mark.parametrize("bad", ['{"n":NaN,"x":1}', '{"n":-inf,"x":1}', '{"n":"text","x":1,}'])
def test_a_bad_record_has_neither_keys_nor_types(file, kind, bad):
    path = file(['{"n":1}', bad, '{"n":3}'])
    job = partial(make_job, kind, path, on_bad_row="dead_letter")
    assert bodies(render(job(map={"n": "=n + 1"}), path)) == [b'[{"n":2},{"n":4}]']
    with pytest.raises(SourceError, match="there is no column x"):
        render(job(map={"x": "=x"}), path)


@pytest.mark.parametrize("number", ["9223372036854775808", "18446744073709551615"])
def test_a_number_beyond_64_bits_is_sent_as_it_is_and_is_no_integer_to_reckon_with(file, kind, number):
    path = file([f'{{"n":{number}}}'])
    assert bodies(render(make_job(kind, path, map=["=n"]), path)) == [f"[[{number}]]".encode()]
    with pytest.raises(RecordError, match=f'column n: "{number}" is not a BIGINT'):
        render(make_job(kind, path, map=["=n + 1"]), path)


def test_what_else_is_asked_of_a_record_counts_too(file, kind):
    path = file([{"p": {"q": n % 3}} for n in (0, 1, 2, 0, 1, 2)])
    order = ByKey(expr=tree("=p.q", "delivery.order.by"), lanes=4)
    job = make_job(kind, path, delivery=Delivery(order=order), batch=Batch(records=2))
    lanes = {
        draft.lane: {r["p"]["q"] for r in json.loads(gzip.decompress(draft.body))}
        for draft in drafts(render(job, path))
    }
    assert sorted(q for found in lanes.values() for q in found) == [0, 1, 2]


def relation_of(path, temp):
    file = Opened(path=str(path), reading=str(path), gzipped=False)
    source = make_job("json", path).source
    uses = Uses(record=True)
    memory = 500_000_000
    with closing(duck.connect(file=str(path), temp=temp, memory=memory, threads=2, timezone="UTC")) as con:
        return json_source.relation(con, file, source, uses)


@pytest.mark.parametrize(
    ("records", "length", "room"),
    [(70_000, 1_000, json_source.USUAL_OBJECT), (1, 33_999_989, 34_000_000)],
    ids=["a large file of usual records", "a large record"],
)
def test_memory_for_an_array_depends_on_its_records_and_not_on_its_length(tmp_path, records, length, room):
    path = written(tmp_path / "x.json", [{"a": "x" * length}] * records)
    assert f"maximum_object_size={room}," in relation_of(path, tmp_path).base


def test_a_record_that_is_too_long_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(json_source, "LARGEST_OBJECT", json_source.USUAL_OBJECT)
    path = written(tmp_path / "x.json", [{"a": "y" * 34_000_000}])
    with pytest.raises(SourceError, match=r"^x\.json: a record of more than 64 MB"):
        render(make_job("json", path), path)


@pytest.mark.parametrize("end", ["", ",", ',{"a":', "}", ',{"a":1}}'])
@pytest.mark.parametrize("mapped", [None, ["=a"]], ids=["as it is", "mapped"])
def test_nothing_of_an_array_whose_end_is_broken_is_given_away(tmp_path, end, mapped):
    path = tmp_path / "x.json"
    path.write_text("[" + ",".join(['{"a":1}'] * 60_000) + end)
    job = make_job("json", path, map=mapped, on_bad_row="dead_letter")
    spill = Path(tmp_path, "spill")
    spill.mkdir()
    with pytest.raises(
        RecordError,
        match=r"x\.json( at byte \d+ in record/value \d+: not valid JSON|: the array does not end)",
    ):
        next(iter(render_file(job, listed(path), context(spill))))


@pytest.mark.parametrize("space", ["", " \n" * (PIECE // 2 + 1)], ids=["", "space"])
def test_the_end_of_an_array_is_looked_for_in_packed_files_too(tmp_path, space):
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(f'[{{"a":1}}]{space}'.encode()))
    assert documents(make_job("json", path), path) == [{"a": 1}]
    path.write_bytes(gzip.compress(f'[{{"a":1}},{space}'.encode()))
    with pytest.raises(RecordError, match=r"^x\.json\.gz: the array does not end"):
        render(make_job("json", path), path)
    plain = tmp_path / "x.json"
    plain.write_text(f'[{{"a":1}}]{space}')
    assert documents(make_job("json", plain), plain) == [{"a": 1}]
