from __future__ import annotations

import threading

import duckdb
import pytest

from agent.sources.interrupt import interrupted_when

ENDLESS = "SELECT count(*) FROM range(1000000000000) AS t(n) WHERE n % 7 = 3"


def test_a_computation_without_end_ends_when_it_is_cancelled():
    con = duckdb.connect()
    with interrupted_when(lambda: True, con.interrupt), pytest.raises(duckdb.InterruptException):
        con.sql(ENDLESS).fetchall()


def test_nothing_watches_any_more_once_it_is_over():
    with interrupted_when(lambda: False, lambda: None):
        pass
    assert "render-interrupt" not in {thread.name for thread in threading.enumerate()}
