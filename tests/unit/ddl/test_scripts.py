from __future__ import annotations

import pytest

from nexusd.ddl.scripts import first_word, split_statements


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" ; ;\n-- nothing\n/* ; */", []),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1;SELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';'; SELECT \"a;b\"", ["SELECT ';'", 'SELECT "a;b"']),
        ("SELECT 'it''s;' -- ; no end\n; SELECT 2", ["SELECT 'it''s;' -- ; no end", "SELECT 2"]),
        ("SELECT E'\\';'; SELECT 2", ["SELECT E'\\';'", "SELECT 2"]),
        ("/* a /* ; */ ; */ SELECT 1;", ["/* a /* ; */ ; */ SELECT 1"]),
        ("DO $$ BEGIN; END $$; SELECT 2", ["DO $$ BEGIN; END $$", "SELECT 2"]),
        ("DO $a$ $$;$$ $a$; SELECT 2", ["DO $a$ $$;$$ $a$", "SELECT 2"]),
        ("SELECT $1; SELECT 2", ["SELECT $1", "SELECT 2"]),
        ("SELECT 'open; SELECT 2", ["SELECT 'open", "SELECT 2"]),
        (
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET x = CASE WHEN 1 THEN 2 END; DELETE FROM b; END; SELECT 2",
            [
                "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET x = CASE WHEN 1 THEN 2 END; DELETE FROM b; END",
                "SELECT 2",
            ],
        ),
    ],
)
def test_a_file_is_cut_where_statements_end(text: str, expected: list[str]) -> None:
    assert split_statements(text, dollar_quotes=True) == expected


def test_dollars_quote_nothing_in_sqlite() -> None:
    assert split_statements("SELECT $$; SELECT $$", dollar_quotes=False) == ["SELECT $$", "SELECT $$"]


@pytest.mark.parametrize(
    ("statement", "word"),
    [("begin", "BEGIN"), ("-- x\n /* y */ Commit work", "COMMIT"), ("(SELECT 1)", "SELECT"), ("-- only", "")],
)
def test_the_first_word_is_found_behind_comments(statement: str, word: str) -> None:
    assert first_word(statement) == word
