"""Every row of `tests/faults/rows.toml` has a test of its name, and the document shows them as they are."""

from __future__ import annotations

from tests.faults.table import BEGIN, DOCUMENT, END, ids_of, named, rows, with_table, without

KINDS = {"AUTH": 60, "DEL": 50, "YML": 16, "SIG": 5, "CLK": 5, "RES": 7, "SEC": 25}
LATER = {"AUTH-35", "CLK-05", "DEL-10", "DEL-11", "RES-06", "SEC-23"}


def shown():
    return {row for one in named() for row in one.ids}


def test_the_list_of_faults_is_whole():
    whole = [f"{kind}-{number:02}" for kind, count in KINDS.items() for number in range(1, count + 1)]
    assert sorted(row.id for row in rows()) == sorted(whole)


def test_every_fault_has_a_test_of_its_name():
    missing = [f"{row.id}: {row.fault}" for row in rows() if row.id not in shown() | set(without())]
    assert missing == []


def test_no_test_names_a_fault_that_is_not_in_the_list():
    assert shown() <= {row.id for row in rows()}


def test_a_test_that_is_named_after_a_fault_asserts_something():
    assert [f"{one.file}: {one.name}" for one in named() if not one.judges] == []


def test_an_exception_ends_when_its_test_comes():
    assert set(without()) & shown() == set()
    assert set(without()) <= LATER
    assert all(without().values())


def test_the_table_in_the_document_is_that_of_the_tests():
    text = DOCUMENT.read_text()
    assert text.count(BEGIN) == text.count(END) == 1
    assert text == with_table(text), "python -m tests.faults.table --write"


def test_a_name_can_hold_several_rows():
    assert ids_of("test_del_12_del_13_on_a_full_disk") == ("DEL-12", "DEL-13")
    assert ids_of("test_auth_08_09_10_an_end") == ("AUTH-08", "AUTH-09", "AUTH-10")
    assert ids_of("test_del_30_auth_46_a_redirect") == ("DEL-30", "AUTH-46")
    assert ids_of("test_del_39_tls_1_2_is_too_old") == ("DEL-39",)
    assert ids_of("test_a_redirect_12") == ()
