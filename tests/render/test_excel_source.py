"""`type: excel`: sheets, made by hand: a workbook is a zip archive of XML."""

from __future__ import annotations

import sys
import zipfile
from xml.sax.saxutils import escape

import pytest

from agent.errors import SourceError
from tests.support.rendering import documents, make_job, render

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
DATE = "date"  # a number with the format of a date


def cell(value) -> str:
    match value:
        case None:
            return "<c/>"
        case bool():
            return f'<c t="b"><v>{int(value)}</v></c>'
        case (kind, number) if kind == DATE:
            return f'<c s="1"><v>{number}</v></c>'
        case int() | float():
            return f"<c><v>{value!r}</v></c>"
    return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def workbook(path, **sheets):
    """Sheets by name, each a list of rows."""
    names = list(sheets)
    listed = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in enumerate(names, 1))
    links = "".join(
        f'<Relationship Id="r{n}" Type="{REL}/worksheet" Target="worksheets/s{n}.xml"/>'
        for n in range(1, len(names) + 1)
    )
    links += f'<Relationship Id="s" Type="{REL}/styles" Target="styles.xml"/>'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{PACKAGE}/relationships">'
            f'<Relationship Id="a" Type="{REL}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        )
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{MAIN}" xmlns:r="{REL}"><sheets>{listed}</sheets></workbook>',
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{PACKAGE}/relationships">{links}</Relationships>',
        )
        archive.writestr(
            "xl/styles.xml",
            f'<styleSheet xmlns="{MAIN}"><cellXfs><xf numFmtId="0"/><xf numFmtId="22"/></cellXfs></styleSheet>',
        )
        for number, rows in enumerate(sheets.values(), 1):
            data = "".join(f"<row>{''.join(cell(value) for value in row)}</row>" for row in rows)
            archive.writestr(
                f"xl/worksheets/s{number}.xml",
                f'<worksheet xmlns="{MAIN}"><sheetData>{data}</sheetData></worksheet>',
            )
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "plan.xlsx"


def test_cells_keep_their_types_and_dates_are_dates(path):
    rows = [
        ["id", "name", "lat", "at", "active", "mixed"],
        [7, "Curaçao & co <1>", 52.5, (DATE, 46322.4375), True, 1],
        [8, None, 4, (DATE, 46323), False, "x"],
        [None] * 6,
    ]
    workbook(path, Sheet1=rows)
    assert documents(make_job("excel", path), path) == [
        {
            "id": 7,
            "name": "Curaçao & co <1>",
            "lat": 52.5,
            "at": "2026-10-27T10:30:00",
            "active": True,
            "mixed": "1",
        },
        {"id": 8, "name": None, "lat": 4.0, "at": "2026-10-28T00:00:00", "active": False, "mixed": "x"},
    ]


def test_a_sheet_and_the_row_of_its_header_are_chosen(path):
    workbook(path, First=[["a"], [1]], Plan=[["made by", "x"], [None], ["trip", "stop"], ["t1", 1]])
    job = make_job("excel", path, sheet="Plan", header_row=3, types={"stop": "VARCHAR"})
    assert documents(job, path) == [{"trip": "t1", "stop": "1"}]


@pytest.mark.parametrize("sheet", ["Plan", 2])
def test_a_range_of_cells_of_a_sheet_by_its_name_or_number_is_read(path, sheet):
    rows = [
        ["made by", "x"],
        [None, "trip", "stop", "note"],
        [1, "t1", 1, "a"],
        [2, "t2", 2, "b"],
        [3, "sum", 3, "c"],
    ]
    workbook(path, First=[["a"], [1]], Plan=rows)
    job = make_job("excel", path, sheet=sheet, range="B2:C4")
    assert documents(job, path) == [{"trip": "t1", "stop": 1}, {"trip": "t2", "stop": 2}]
    for cells, told in (("B9:C20", "plan.xlsx row 9: there is no header"), ("A2:B4", "column 1 has no name")):
        with pytest.raises(SourceError) as caught:
            render(make_job("excel", path, sheet=sheet, range=cells), path)
        assert told in caught.value.message
    with pytest.raises(SourceError) as caught:
        render(make_job("excel", path, sheet=3), path)
    assert caught.value.message == "plan.xlsx: there is no sheet 3"


def test_the_map_and_the_types_are_those_of_every_source(path):
    workbook(path, S=[["id", "seen"], ["007", "2026-10-27T11:00:00+02:00"]])
    job = make_job("excel", path, map={"id": "=id", "at": "=utc(seen)"})
    assert documents(job, path) == [{"id": "007", "at": "2026-10-27T09:00:00Z"}]


@pytest.mark.parametrize(
    ("rows", "options", "told"),
    [
        ([["id"], [1]], {"sheet": "Plan"}, "plan.xlsx: there is no sheet 'Plan'"),
        ([["id"], [1]], {"header_row": 9}, "plan.xlsx row 9: there is no header"),
        ([["id", None, "v"], [1, 2, 3]], {}, "plan.xlsx row 1: column 2 has no name"),
        ([["id", "id"], [1, 2]], {}, "plan.xlsx: the column 'id' is there twice"),
        ([["id"], [1]], {"columns": ("plate",)}, "plan.xlsx: missing column plate"),
    ],
)
def test_a_sheet_that_does_not_fit_is_told(path, rows, options, told):
    workbook(path, S=rows)
    with pytest.raises(SourceError) as caught:
        render(make_job("excel", path, **options), path)
    assert caught.value.message == told


def test_what_is_no_workbook_or_half_of_one_is_told(path):
    whole = workbook(path, S=[["id"], *([n] for n in range(500))]).read_bytes()
    for damaged in (b"", b"id;v\n", whole[: len(whole) // 2], whole[:-10]):
        path.write_bytes(damaged)
        with pytest.raises(SourceError, match=r"plan\.xlsx: cannot be read as a workbook"):
            render(make_job("excel", path), path)


def test_sec_18_a_bomb_is_refused_before_it_is_unpacked(path):
    workbook(path, S=[["id"], [1]])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/media/x", "w") as part:
        for _ in range(600):
            part.write(bytes(1_000_000))
    with pytest.raises(SourceError, match=r"plan\.xlsx: unpacks to 60\d MB, more than 500 MB"):
        render(make_job("excel", path), path)


def test_a_column_without_any_value_fits_every_expression(path):
    workbook(path, S=[["id", "name", "km"], [1, None, None], [2, None, None]])
    job = make_job("excel", path, map={"id": "=id", "name": "=upper(name)", "m": "=km * 1000"})
    assert documents(job, path) == [{"id": id_, "name": None, "m": None} for id_ in (1, 2)]


@pytest.mark.parametrize("far", ["XFD1048576", "ZZ900000"])
def test_sec_18_a_cell_far_away_from_all_others_ends_its_reading_and_not_the_agent(path, far):
    workbook(path, S=[["id"], [1]])
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = parts["xl/worksheets/s1.xml"]
    row = f'<row r="{far.lstrip("XFDZ")}"><c r="{far}"><v>1</v></c></row></sheetData>'
    parts["xl/worksheets/s1.xml"] = sheet.replace(b"</sheetData>", row.encode())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(
        SourceError, match=r"^plan\.xlsx: cannot be read as a workbook within 2 GB of memory$"
    ):
        render(make_job("excel", path), path)


def test_without_the_extra_it_says_what_to_install(path, monkeypatch):
    workbook(path, S=[["id"], [1]])
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(SourceError, match=r"type: excel needs an extra: pip install 'push-agent\[excel\]'"):
        render(make_job("excel", path), path)
