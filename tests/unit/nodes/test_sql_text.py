from __future__ import annotations

import pytest

from nexusd.nodes.sql_text import SqlProblem, read_sql


@pytest.mark.parametrize(
    ("sql", "numbered", "names"),
    [
        ("SELECT :a, :b, :a", "SELECT $1, $2, $1", ("a", "b")),
        ("select ':a', E'\\':b', \":c\", :d", "select ':a', E'\\':b', \":c\", $1", ("d",)),
        ("SELECT 'it''s :a' || :b", "SELECT 'it''s :a' || $1", ("b",)),
        ("SELECT :a::text, b::int -- :c\n, :d;", "SELECT $1::text, b::int \n, $2", ("a", "d")),
        ("SELECT /* :a /* :b */ */ :c", "SELECT  $1", ("c",)),
        ("SELECT $$ :a $$, $x$ :b $$ $x$, :c", "SELECT $$ :a $$, $x$ :b $$ $x$, $1", ("c",)),
        ("SELECT a[1:2], x:=1, :é", None, None),
        ("SELECT data ? 'k', data @> :a", "SELECT data ? 'k', data @> $1", ("a",)),
        ("VALUES (:a)\n;\n-- the end ; \n", "VALUES ($1)\n\n\n", ("a",)),
        ('SELECT 1.5e3, a1, "we""ird"', 'SELECT 1.5e3, a1, "we""ird"', ()),
    ],
)
def test_parameters_are_found_where_sql_has_none_of_its_own(
    sql: str, numbered: str | None, names: tuple[str, ...] | None
) -> None:
    text = read_sql(sql)
    if numbered is not None:
        assert (text.numbered(), text.names) == (numbered, names)


def test_each_place_of_a_parameter_has_its_mark() -> None:
    text = read_sql("SELECT :a, ':a', :b, :a")

    assert (text.marked(), text.places) == ("SELECT ?, ':a', ?, ?", ("a", "b", "a"))


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("", "no statement"),
        (" -- nothing\n;", "no statement"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("SELECT 1; DROP TABLE x", "one statement"),
        ("SELECT $1", "written :name, not \\$1"),
        ("SELECT ?1", "written :name, not \\?1"),
        ("SELECT @a", "written :name, not @a"),
        ("SELECT 'a", "a quote has no end"),
        ('SELECT "a', "a quote has no end"),
        ("SELECT $x$ a $y$", "has no end"),
        ("SELECT /* /* */", "a comment has no end"),
        ("DROP TABLE contact", "tables are changed by migrations"),
        ("BEGIN", "begin with"),
        ("PRAGMA query_only = OFF", "begin with"),
        ("SET transaction_read_only = off", "begin with"),
        ("COPY contact TO PROGRAM 'x'", "begin with"),
        ("EXPLAIN ANALYZE DELETE FROM contact", "begin with"),
    ],
)
def test_what_is_not_one_statement_of_rows_is_refused(sql: str, why: str) -> None:
    with pytest.raises(SqlProblem, match=why):
        read_sql(sql)


@pytest.mark.parametrize(
    ("sql", "writes"),
    [
        ("INSERT INTO a VALUES (1)", True),
        ("/* x */ update a SET b = 1", True),
        ("WITH x AS (DELETE FROM a RETURNING *) SELECT * FROM x", True),
        ("WITH x AS (SELECT 'delete from') SELECT * FROM x", False),
        ("SELECT * FROM a WHERE b = 'insert into'", False),
    ],
)
def test_statement_that_surely_writes_is_known(sql: str, *, writes: bool) -> None:
    assert read_sql(sql).writes is writes


def test_long_hostile_text_is_read_in_linear_time() -> None:
    for hostile in ("'" * 99_999, "/*" * 50_000, "$" * 100_000, ":" * 100_000, "SELECT " + "(" * 100_000):
        try:
            read_sql(hostile)
        except SqlProblem:
            continue
