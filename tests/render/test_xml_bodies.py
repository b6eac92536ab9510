"""XML bodies, read back by a parser that we did not write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from agent.config.model import Batch, XmlBody, XmlRoot
from agent.config.xml_names import forbidden
from agent.errors import RecordError, SourceError
from tests.support.rendering import bodies, drafts, make_job, render, template, tree
from tests.support.values import parquet_rows, plain, quick, text, write_parquet

NAMESPACE = "http://api.transportcloud.io/schemas/carrier/v1/realisation"
ROOT = XmlRoot(name="all")
HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n'


def xml(map=None, *, root=ROOT, each="r", **options):  # noqa: A002 - the word of the YAML
    return XmlBody(root=root, each=each, map=None if map is None else tree(map), **options)


def parsed(body):
    return etree.fromstring(body, etree.XMLParser(resolve_entities=False))


def write_csv(path, rows):
    lines = [",".join('"' + value.replace('"', '""') + '"' for value in row) for row in rows]
    path.write_text("a,b\n" + "".join(line + "\n" for line in lines), encoding="utf-8", newline="")


def texts_of(body):
    return [[(child.tag, child.get("at"), child.text or "") for child in record] for record in parsed(body)]


@quick
@given(rows=st.lists(st.tuples(text, text), min_size=1, max_size=20), size=st.integers(1, 7))
def test_any_text_comes_back_or_its_record_is_bad_with_the_character_named(tmp_path, rows, size):
    path = tmp_path / "x.csv"
    write_csv(path, rows)
    body = xml({"v": {"@at": "=a", "#text": "=b"}, "w": "=a"})
    job = make_job("csv", path, body=body, batch=Batch(records=size), on_bad_row="dead_letter")
    chunks = render(job, path)
    good = [row for row in rows if not any(map(forbidden, row))]
    read = [record for found in bodies(chunks) for record in texts_of(found)]
    assert read == [[("v", a, b), ("w", None, a)] for a, b in good]
    reasons = [bad.reason for chunk in chunks for bad in chunk.bad]
    refused = [[char for char in map(forbidden, row) if char] for row in rows if any(map(forbidden, row))]
    assert len(reasons) == len(refused)
    assert all(
        f"{chars[0]} cannot stand in XML" in said for said, chars in zip(reasons, refused, strict=True)
    )


def element(row, *, drop):
    """A record as `read_back` gives it; the table is in the docstring of agent/mapping/xml.py."""
    inner = {key: found for key, value in row.items() if (found := content(value, drop=drop))}
    return inner or ""


def content(value, *, drop):
    """The elements of one name: a list of texts, or of elements by their names."""
    if isinstance(value, list):
        return [one for item in value for one in content(item, drop=drop)]
    if isinstance(value, dict):
        return [element(value, drop=drop)]
    told = plain(value)
    return [told or ""] if told is not None or not drop else []


def read_back(node):
    """A text, or the elements below by their names: the order of unlike ones says nothing."""
    if not len(node):
        return node.text or ""
    found = {}
    for child in node:
        found.setdefault(child.tag, []).append(read_back(child))
    return found


@quick
@given(rows=st.lists(parquet_rows, min_size=1, max_size=8), drop=st.booleans())
def test_values_of_every_type_come_back(tmp_path, rows, drop):
    path = tmp_path / "x.parquet"
    write_parquet(path, rows)
    job = make_job("parquet", path, body=xml(nulls="drop" if drop else "keep"), on_bad_row="dead_letter")
    expected = []
    for row in rows:
        if any(forbidden(str(part)) for part in texts_in(row)):
            continue
        pairs = dict(row)
        if pairs["m"] is not None:
            pairs["m"] = {"entry": [{"key": key, "value": value} for key, value in pairs["m"].items()]}
        expected.append(element(pairs, drop=drop))
    read = [read_back(record) for body in bodies(render(job, path)) for record in parsed(body)]
    assert read == expected


def texts_in(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)


shapes = st.fixed_dictionaries(
    {
        "s": st.none() | text,
        "n": st.integers(-(2**60), 2**60) | st.none() | st.booleans(),
        "l": st.lists(text, max_size=3),
        "o": st.fixed_dictionaries(
            {"t": text, "l": st.lists(st.fixed_dictionaries({"x": text}), max_size=2)}
        ),
    }
).filter(lambda row: not any(map(forbidden, texts_in(row))))


@quick
@given(rows=st.lists(shapes, min_size=1, max_size=8), mapped=st.booleans())
def test_json_documents_become_elements(tmp_path, rows, mapped):
    path = tmp_path / "x.ndjson"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    everything = {key: f"={key}" for key in ("s", "n", "l", "o")} if mapped else None
    job = make_job("ndjson", path, body=xml(everything))
    read = [read_back(record) for body in bodies(render(job, path)) for record in parsed(body)]
    assert read == [element(row, drop=False) for row in rows]


def test_job_4_gives_exactly_what_the_platform_takes(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(
        "trip_id,ts,heading,speed,lon,lat\n"
        'T<1>&"x",2026-01-25T10:45:00+01:00,359,12.5,4.89,52.37\n'
        "T2,2026-01-25T10:45:30+01:00,0,0,4.9,52.38\n"
    )
    body = xml(
        {
            "tripId": "=trip_id",
            "timestamp": "=utc(ts)",
            "heading": "=heading",
            "speed": "=speed",
            "x": "=lon",
            "y": "=lat",
        },
        root=XmlRoot(name="tc:realisation", namespaces=(("tc", NAMESPACE),)),
        each="tripRealisation",
    )
    job = make_job("csv", path, body=body, batch=Batch(records=100))
    (draft,) = drafts(render(job, path))
    (sent,) = bodies(render(job, path))
    assert draft.content_type == "text/xml; charset=utf-8"
    assert sent.decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<tc:realisation xmlns:tc="{NAMESPACE}">\n'
        "<tripRealisation><tripId>T&lt;1&gt;&amp;&quot;x&quot;</tripId>"
        "<timestamp>2026-01-25T09:45:00Z</timestamp>"
        "<heading>359</heading><speed>12.5</speed><x>4.89</x><y>52.37</y></tripRealisation>\n"
        "<tripRealisation><tripId>T2</tripId><timestamp>2026-01-25T09:45:30Z</timestamp>"
        "<heading>0</heading><speed>0</speed><x>4.9</x><y>52.38</y></tripRealisation>\n"
        "</tc:realisation>\n"
    )
    schema = etree.XMLSchema(etree.parse(str(Path(__file__).parent / "realisation.xsd")))
    schema.assertValid(parsed(sent))
    assert not schema.validate(parsed(sent.replace(b"tripRealisation", b"tc:tripRealisation")))


def one_row(tmp_path, header="a", row="1"):
    path = tmp_path / "x.csv"
    path.write_text(f"{header}\n{row}\n")
    return path


def sent(job, path):
    return [body.removeprefix(HEAD).decode() for body in bodies(render(job, path))]


@pytest.mark.parametrize(
    ("map_", "nulls", "expected"),
    [
        ({"v": "=nullif(a, '1')"}, "keep", "<r><v></v></r>"),
        ({"v": "=nullif(a, '1')", "w": None}, "drop", "<r></r>"),
        ({"v": {"@k": "=nullif(a, '1')", "@n": None}}, "keep", '<r><v k="" n=""></v></r>'),
        ({"v": {"@k": "=nullif(a, '1')", "@n": None, "#text": 5}}, "drop", "<r><v>5</v></r>"),
        ({"v": ["=a", None, 2.5, True]}, "keep", "<r><v>1</v><v></v><v>2.5</v><v>true</v></r>"),
        ({"v": ["=a", None, {"w": "x"}]}, "drop", "<r><v>1</v><v><w>x</w></v></r>"),
        ({"v": "=[a, NULL]", "w": "=[]::VARCHAR[]"}, "keep", "<r><v>1</v><v></v></r>"),
        ({"v": "=[a, NULL]", "w": "=NULL::VARCHAR[]"}, "drop", "<r><v>1</v></r>"),
        ({"v": "=NULL::VARCHAR[]"}, "keep", "<r><v></v></r>"),
        ({"v": "=[[a, '2'], []]"}, "keep", "<r><v><item>1</item><item>2</item></v><v></v></r>"),
        ({"v": "=[[[a]]]"}, "keep", "<r><v><item><item>1</item></item></v></r>"),
        ({"v": "=MAP {'k k': [a]}"}, "keep", "<r><v><entry><key>k k</key><value>1</value></entry></v></r>"),
        ({"v": "=row(a, 2)"}, "keep", "<r><v>1</v><v>2</v></r>"),
        ({"v": "={'@u': 'm', '#text': a, 'w': 1}"}, "keep", '<r><v u="m">1<w>1</w></v></r>'),
        ({"@id": "=a", "v": {}}, "keep", '<r id="1"><v></v></r>'),
        ({"v": {"@k": "={'n': a}"}}, "keep", '<r><v k="{&quot;n&quot;:&quot;1&quot;}"></v></r>'),
        ({"v": "='NaN'::DOUBLE", "w": "='infinity'::TIMESTAMP"}, "keep", "<r><v></v><w></w></r>"),
        (
            {"v": "='{\"x\": [1.50]}'::JSON", "w": "='\"q\"'::JSON"},
            "keep",
            "<r><v>{&quot;x&quot;: [1.50]}</v><w>q</w></r>",
        ),
        ({"v": "=NULL", "w": "='null'::JSON"}, "drop", "<r></r>"),
        ({"v": 'a\tb\nc\rd<&>"'}, "keep", "<r><v>a&#9;b&#10;c&#13;d&lt;&amp;&gt;&quot;</v></r>"),
        ({"v": "='\\x00A'::BLOB", "w": "=INTERVAL 1 day"}, "keep", "<r><v>AEE=</v><w>1 day</w></r>"),
    ],
)
def test_a_map_becomes_elements_and_attributes(tmp_path, map_, nulls, expected):
    path = one_row(tmp_path)
    job = make_job("csv", path, body=xml(map_, nulls=nulls))
    assert sent(job, path) == [f"<all>\n{expected}\n</all>\n"]


def test_a_request_per_record_is_a_document_with_its_own_path_and_headers(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id\n1\n2\n")
    target = {"path": template("/t/", "=id"), "headers": (("X-Id", template("=id")),)}
    root = XmlRoot(name="t:trip", namespaces=(("t", "urn:t"),))
    job = make_job(
        "csv", path, target=target, body=xml({"@n": "=id", "id": "=id"}, root=root, each=None, per="record")
    )
    assert sent(job, path) == [
        '<t:trip xmlns:t="urn:t" n="1"><id>1</id></t:trip>\n',
        '<t:trip xmlns:t="urn:t" n="2"><id>2</id></t:trip>\n',
    ]
    assert [(d.path, d.headers) for d in drafts(render(job, path))] == [
        ("/t/1", {"X-Id": "1"}),
        ("/t/2", {"X-Id": "2"}),
    ]
    below = make_job("csv", path, body=xml({"id": "=id"}, root=root, each="trip", per="record"))
    assert sent(below, path)[1] == '<t:trip xmlns:t="urn:t">\n<trip><id>2</id></trip>\n</t:trip>\n'


def test_no_document_is_larger_than_a_batch_may_be(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a\n" + "x\n" * 50 + "y" * 300 + "\n" + "z\n" * 3)
    frame = len(HEAD) + len("<all>\n") + len("\n</all>\n")
    one = len("<r><a>x</a></r>")
    limit = frame + 7 * one + 6
    job = make_job("csv", path, body=xml(), batch=Batch(bytes=limit), on_bad_row="dead_letter")
    chunks = render(job, path)
    assert [draft.records for draft in drafts(chunks)] == [7] * 7 + [1, 3]
    assert max(map(len, bodies(chunks))) == limit
    (bad,) = [bad for chunk in chunks for bad in chunk.bad]
    assert bad.reason == f"{frame + one + 299} bytes: larger than batch.bytes ({limit})"
    assert bad.line == 52


def test_a_character_that_xml_cannot_hold_is_named_with_its_place(tmp_path):
    path = one_row(tmp_path, row="x\x01")
    job = make_job("csv", path, body=xml({"v": ["=a"]}))
    with pytest.raises(
        RecordError, match=r"x.csv record 1 \(line 2\): body.map.v\[0\]: U\+0001 cannot stand in XML"
    ):
        render(job, path)
    nested = make_job("csv", path, body=xml({"v": "={'b': [a]}"}), on_bad_row="dead_letter")
    ((bad,),) = [chunk.bad for chunk in render(nested, path)]
    assert bad.reason == "body.map.v: U+0001 cannot stand in XML"
    as_it_is = make_job("csv", path, body=xml(), on_bad_row="dead_letter")
    ((bad,),) = [chunk.bad for chunk in render(as_it_is, path)]
    assert bad.reason == "a: U+0001 cannot stand in XML"


def test_a_year_that_cannot_be_written_is_a_bad_record(tmp_path):
    path = one_row(tmp_path)
    body = xml({"v": "=TIMESTAMPTZ '0044-03-15 (BC) 00:00:00+00'"})
    job = make_job("csv", path, body=body, on_bad_row="dead_letter")
    ((bad,),) = [chunk.bad for chunk in render(job, path)]
    assert bad.reason == ("body.map.v: =TIMESTAMPTZ '0044-03-15 (BC) 00:00:00+00' cannot be written")


@pytest.mark.parametrize(
    ("header", "map_", "message"),
    [
        ("trip ID", None, "the column 'trip ID' is not an XML name"),
        ("x:id", None, "the column 'x:id' the prefix x is not declared"),
        ("a", {"v": "={'b c': a}"}, "the field 'b c' is not an XML name"),
        ("a", {"v": "=[{'@': a}]"}, "the field '@' is not an XML name"),
    ],
)
def test_names_of_the_data_that_are_no_names_in_xml_are_told_before_anything_is_sent(
    tmp_path, header, map_, message
):
    path = one_row(tmp_path, header=header)
    with pytest.raises(SourceError) as caught:
        render(make_job("csv", path, body=xml(map_)), path)
    assert message in str(caught.value)
    assert "give each its own name in `body.map`" in str(caught.value)


def test_a_bad_record_is_told_its_own_reason_when_others_are_bad_too(tmp_path):
    path = tmp_path / "x.ndjson"
    path.write_text('{"a":"ok"}\n{"a":\n{"a":"b\\u0000c"}\n{"a":"d\\u0001"}\n')
    with pytest.raises(RecordError, match=r"x.ndjson record 2 \(line 2\): not valid JSON"):
        render(make_job("ndjson", path, body=xml()), path)
    ((*bad,),) = [
        chunk.bad for chunk in render(make_job("ndjson", path, body=xml(), on_bad_row="dead_letter"), path)
    ]
    assert [one.reason for one in bad] == [
        "not valid JSON",
        "a: U+0000 cannot stand in XML",
        "a: U+0001 cannot stand in XML",
    ]


def test_values_whose_shape_differs_between_records_are_json_text(tmp_path):
    path = tmp_path / "x.ndjson"
    path.write_text('{"a":{"b":[1,{"c":2}]},"n":12345678901234567890123}\n{"a":"text","n":null}\n')
    assert sent(make_job("ndjson", path, body=xml(nulls="drop")), path) == [
        (
            "<all>\n<r><a>{&quot;b&quot;:[1,{&quot;c&quot;:2}]}</a><n>12345678901234567890123</n></r>\n"
            "<r><a>text</a></r>\n</all>\n"
        )
    ]


def test_an_empty_key_is_told(tmp_path):
    path = tmp_path / "x.ndjson"
    path.write_text('{"":1}\n')
    with pytest.raises(SourceError, match="a key of a record is the empty text"):
        render(make_job("ndjson", path, body=xml()), path)
