"""What `find` asks: the text that is read is what SQLAlchemy makes of the questions, and no index is missed."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from agent.spool import look, questions, views
from agent.spool.readonly import connect_readonly
from agent.spool.tables import metadata

FILE = Path(look.__file__).with_name("find.sql")


def test_the_text_is_what_comes_out_of_the_questions():
    if os.environ.get("WRITE_EXPECTED"):
        FILE.write_text(questions.written(), encoding="utf-8")
    assert FILE.read_text(encoding="utf-8") == questions.written()
    assert list(look.texts()) == list(questions.QUESTIONS)
    assert {name: text.strip() for name, text in look.texts().items()} == {
        name: questions.text_of(one) for name, one in questions.QUESTIONS.items()
    }


def test_the_views_are_what_comes_out_of_their_statements():
    text = FILE.with_name("views.sql")
    if os.environ.get("WRITE_EXPECTED"):
        text.write_text(views.written(), encoding="utf-8")
    assert text.read_text(encoding="utf-8") == views.written()


def test_a_view_has_the_columns_of_its_table_in_their_order():
    for name in ("messages", "jobs", "files"):
        columns = [column.name for column in views.VIEWS[name].selected_columns]
        assert columns == [column.name for column in metadata.tables[name].columns]


@pytest.mark.usefixtures("spool")
@pytest.mark.parametrize(
    ("question", "plan"),
    [
        ("waiting_keys", "USING COVERING INDEX messages_with_keys"),  # and not the bodies
        ("dead_keys", "USING COVERING INDEX dead_with_keys"),
        ("receipts", "USING INDEX receipts_of_key (key>? AND key<?)"),
        ("dead", "USING INDEX dead_of_key (key>? AND key<?)"),
        ("pages_of_part", "USING INDEX key_pages_of_part (part=? AND first<?)"),
        ("key_pages", "USING COVERING INDEX key_pages_of_part (part=? AND first<?)"),
        ("key_pages", "USING COVERING INDEX key_pages_of_part (part<?)"),
    ],
)
def test_a_question_reads_no_more_than_it_must(state, question, plan):
    with closing(connect_readonly(state / "state.db").raw) as db:
        names = ("key", "part", "behind", "mark", "mark_bytes", "of_part")
        steps = db.execute(f"EXPLAIN QUERY PLAN {look.texts()[question]}", dict.fromkeys(names, 1)).fetchall()
    assert any(plan in step[3] for step in steps), steps
