"""Log lines: one event is one line, whatever the data holds."""

from __future__ import annotations

import io

import pytest

from agent.logs import BLOT, blotter, get_log, set_up_logs

HOSTILE = "x\r\n12:00:00 INFO  daemon  forged\x1b[31m\u2028\x00"


@pytest.fixture
def logged():
    out = io.StringIO()
    yield out
    set_up_logs("info", "auto")


@pytest.mark.parametrize("style", ["json", "text"])
def test_sec_17_nobody_forges_a_line_or_a_colour(logged, style):
    set_up_logs("info", style, stream=logged)
    get_log("test").info(HOSTILE, file=HOSTILE)
    lines = logged.getvalue().split("\n")
    assert len(lines) == 2
    assert lines[0].isprintable()


@pytest.mark.parametrize("style", ["json", "text"])
def test_sec_17_neither_does_the_text_of_an_exception(logged, style):
    set_up_logs("info", style, stream=logged)
    get_log("test").bug("broken", ValueError(HOSTILE))
    lines = logged.getvalue().rstrip("\n").split("\n")
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("12:00:00 INFO") for line in lines)


def test_a_secret_that_begins_with_another_is_blotted_whole():
    for secret in ("swordfish", "swordfish-and-more"):
        blotter.learn(secret)
    blotter.learn_token("swordfish-and-more-still")
    assert (
        blotter.clean("swordfish-and-more-still, swordfish-and-more, swordfish") == f"{BLOT}, {BLOT}, {BLOT}"
    )
