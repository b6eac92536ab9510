"""`type: excel`: a workbook that takes for ever ends with its limit, or with the run; nothing stays behind."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from agent.errors import SourceError
from agent.render import render_file
from agent.sources import excel
from tests.render.test_excel_source import workbook
from tests.support.rendering import context, listed, make_job, render

ROW = b"<row><c><v>1</v></c><c><v>2.5</v></c><c><v>3</v></c><c><v>4</v></c></row>"


@pytest.fixture
def path(tmp_path):
    return workbook(tmp_path / "plan.xlsx", S=[["a", "b", "c", "d"], [1, 2, 3, 4]])


@pytest.fixture
def endless(tmp_path, monkeypatch):
    """In place of what reads workbooks, a process that says its pid and never ends; the file with the pid."""
    begun = tmp_path / "begun"
    text = f"import os, signal\nopen({str(begun)!r} + '.new', 'w').write(str(os.getpid()))\n"
    text += f"os.rename({str(begun)!r} + '.new', {str(begun)!r})\nwhile True: signal.pause()\n"
    (tmp_path / "endless.py").write_text(text)
    monkeypatch.setattr(excel, "_WORKBOOK", tmp_path / "endless.py")
    return begun


def is_gone(begun: Path) -> bool:
    """Dead, and waited for."""
    try:
        os.kill(int(begun.read_text()), 0)
    except ProcessLookupError:
        return True
    return False


def test_sec_18_a_workbook_that_takes_too_long_is_refused(path, monkeypatch):
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = parts["xl/worksheets/s1.xml"]
    parts["xl/worksheets/s1.xml"] = sheet.replace(b"</sheetData>", ROW * 1_500_000 + b"</sheetData>")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    monkeypatch.setattr(excel, "PROCESSOR_SECONDS", 1)
    told = r"^plan\.xlsx: cannot be read as a workbook within .* minutes of processor time$"
    with pytest.raises(SourceError, match=told) as caught:
        render(make_job("excel", path), path)
    assert caught.value.lasting
    assert caught.value.hint == "save the sheet as CSV"


def test_one_that_waits_for_ever_is_given_up_and_tried_again(path, endless, monkeypatch):
    monkeypatch.setattr(excel, "SECONDS", 0.0)
    with pytest.raises(SourceError, match=r"^plan\.xlsx: cannot be read as a workbook within") as caught:
        render(make_job("excel", path), path)
    assert not caught.value.lasting
    assert not endless.exists() or is_gone(endless)


def test_one_that_is_not_wanted_any_more_is_ended_at_once(path, endless):
    with pytest.raises(SourceError, match=r"^plan\.xlsx: reading was cancelled$"):
        list(
            render_file(make_job("excel", path), listed(path), context(path.parent, cancelled=endless.exists))
        )
    assert is_gone(endless)
