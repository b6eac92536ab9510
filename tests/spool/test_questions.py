"""What `find` asks: the text that is read is what SQLAlchemy makes of the questions, and no index is missed."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from agent.spool import look, questions

FILE = Path(look.__file__).with_name("find.sql")


def test_the_text_is_what_comes_out_of_the_questions():
    if os.environ.get("WRITE_EXPECTED"):
        FILE.write_text(questions.written(), encoding="utf-8")
    assert FILE.read_text(encoding="utf-8") == questions.written()
    assert list(look.texts()) == list(questions.QUESTIONS)
    assert {name: text.strip() for name, text in look.texts().items()} == {
        name: questions.text_of(one) for name, one in questions.QUESTIONS.items()
    }


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
    with sqlite3.connect(state / "state.db") as db:
        names = ("key", "part", "behind", "mark", "mark_bytes", "of_part")
        steps = db.execute(f"EXPLAIN QUERY PLAN {look.texts()[question]}", dict.fromkeys(names, 1)).fetchall()
    assert any(plan in step[3] for step in steps), steps
