"""Which sources read windows of time, and which send them as a whole."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agent.config.model import (
    HttpSource,
    JsonSource,
    SettledRows,
    SqlSource,
    holds_window,
    uses_window,
    window_delay,
)
from agent.config.model.source import Files
from tests.support.schedules import WHERE

JSON = JsonSource(files=Files(paths=()), where=WHERE)


def sql(query, *cursor):
    return SqlSource(connection="db", query=query, cursor=cursor, where=WHERE)


def http(*query):
    return HttpSource(connection="api", endpoint="trips", query=query, reading=JSON, where=WHERE)


@pytest.mark.parametrize(
    ("source", "uses", "holds"),
    [
        (sql("SELECT 1 FROM t WHERE ts >= :since AND ts < :until"), True, True),
        (sql("SELECT 1 FROM t WHERE id > :id AND ts < :until", "id"), True, False),
        (sql("SELECT ':since', 1 FROM t -- :until"), False, True),
        (sql("SELECT since FROM t WHERE since > :since ORDER BY since", "since"), False, False),
        (http(("from", "{since}"), ("to", "{until:date}")), True, False),
        (http(("q", "{{since}}")), False, False),
        (JSON, False, False),
    ],
)
def test_what_a_source_has_to_do_with_windows(source, uses, holds):
    assert (uses_window(source), holds_window(source)) == (uses, holds)


def test_a_window_waits_as_long_as_its_rows_may_be_late():
    settle = SettledRows(column="", age=timedelta(seconds=10))
    source = SqlSource(connection="db", query="SELECT :since", settle=settle, where=WHERE)
    assert window_delay(source) == 10.0
    assert window_delay(JSON) == 0.0
