"""Where the parameters of a query stand, and what makes a text no query to read with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.sql_text import read_sql, trouble


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("SELECT a FROM t WHERE (a, b) > (:a, :b)", ("a", "b")),
        ("SELECT :b, :a, :b", ("b", "a")),
        ("SELECT ':a', \":b\", `:c`, [:d] , 'it''s :e' FROM t WHERE x=:f", ("d", "f")),
        ("SELECT [a :x b] FROM t WHERE a = :a", ("x", "a")),
        ("SELECT [a b] FROM t WHERE a = :a", ("a",)),
        ("SELECT a::date, b :: int, '10:30'::time, :a::bigint", ("a",)),
        ("SELECT 1 -- :a\n, /* :b /* :c */ :d */ :e", ("e",)),
        ("SELECT $$ :a $$, $t$ :b $$ $t$, $1, :c", ("c",)),
        (r"SELECT E'\':a', e'\\', :b, N'x:y', q'[it's :c]', nq'!:d!' || :e", ("b", "e")),
        ("SELECT arr[1:2], arr[:n], @v := 5, a:b", ("n",)),
        ("SELECT 'never ends :a", ()),
        ("SELECT /* never ends :a", ()),
        ("SELECT $x$ never ends :a", ()),
        ("SELECT ::a, :1, : b, :_c9", ("_c9",)),
        ("", ()),
    ],
)
def test_a_parameter_is_what_is_no_text_no_comment_and_no_cast(text, names):
    assert read_sql(text).names == names


def test_the_text_is_kept_to_the_letter_around_its_parameters():
    text = "\n  SELECT ':x', a::int -- :y\n FROM t WHERE a > :a AND b < :abc ; -- the end"
    found = read_sql(text)
    assert found.written(lambda name: f"<{name}>") == (
        "SELECT ':x', a::int -- :y\n FROM t WHERE a > <a> AND b < <abc>\n"
    )
    assert not found.several


@pytest.mark.parametrize(
    ("text", "limit", "limited"),
    [
        ("SELECT a FROM t LIMIT 50", 50, True),
        ("SELECT a FROM t limit 10 OFFSET 5", 10, True),
        ("SELECT TOP 7 a FROM t", 7, True),
        ("SELECT TOP (7) a FROM t", 7, True),
        ("SELECT a FROM t ORDER BY a FETCH FIRST 12 ROWS ONLY", 12, True),
        ("SELECT a FROM t LIMIT :n", None, True),
        ("SELECT a FROM t LIMIT ALL", None, True),
        ("SELECT a FROM (SELECT a FROM t LIMIT 5) x", None, False),
        ("SELECT 'LIMIT 5' FROM t -- LIMIT 6", None, False),
        ("SELECT limits FROM t", None, False),
    ],
)
def test_the_limit_of_the_query_itself_is_known(text, limit, limited):
    found = read_sql(text)
    assert (found.limit, found.limited) == (limit, limited)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT 1; SELECT 2", "holds more than one statement"),
        ("SELECT 1;; ", None),
        ("select 1; -- done", None),
        ("( SELECT 1 ) UNION SELECT 2", None),
        ("WITH x AS (SELECT 1) SELECT * FROM x", None),
        ("VALUES (1)", None),
        ("delete FROM t", "DELETE writes: a source only reads"),
        ("CALL f()", "CALL writes: a source only reads"),
        ("EXPLAIN SELECT 1", "must be a SELECT (or WITH … SELECT)"),
        ("-- only a comment", "holds no statement"),
    ],
)
def test_one_statement_that_reads_is_what_a_source_takes(text, said):
    found = trouble(read_sql(text))
    assert (found[0] if found else None) == said


@given(st.text(alphabet="ab:;'\"`$[](){}<>-/*\\ \nqQeE=.1x", max_size=60))
def test_any_text_comes_out_as_it_went_in(text):
    found = read_sql(text)
    assert found.written(lambda name: f":{name}") == found.text + "\n"
    assert found.text in text
