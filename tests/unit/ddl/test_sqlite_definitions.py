from __future__ import annotations

import pytest

from nexusd.ddl.sqlite_definitions import checks, collation, definitions, normalised

TABLE = """CREATE TABLE "t" (
  id TEXT NOT NULL, -- the key, always
  [odd name] DECIMAL(10, 2) DEFAULT (1 + (2)) COLLATE nexusd_decimal,
  `tier` TEXT CONSTRAINT "t_tier_enum" CHECK (tier IN ('a,b', 'it''s (c)')),
  CONSTRAINT "t_pk" PRIMARY KEY ("id"),
  CHECK (length(id) > 3),
  UNIQUE (id, tier)
)"""


def test_a_table_is_cut_into_its_definitions() -> None:
    found = definitions(TABLE)

    assert [each.column for each in found] == ["id", "odd name", "tier", "", "", ""]
    assert found[1].text == "[odd name] DECIMAL(10, 2) DEFAULT (1 + (2)) COLLATE nexusd_decimal"


def test_checks_are_found_with_name_expression_and_text() -> None:
    found = [check for each in definitions(TABLE) for check in checks(each)]

    assert [(check.name, check.text) for check in found] == [
        ("t_tier_enum", "tier IN ('a,b', 'it''s (c)')"),
        ("", "length(id) > 3"),
    ]
    assert found[1].expression == "length ( id ) > 3"


def test_a_collation_is_found_and_that_of_sqlite_is_none() -> None:
    by_name = {each.column: each for each in definitions(TABLE)}

    assert collation(by_name["odd name"]) == "nexusd_decimal"
    assert collation(by_name["id"]) == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("score>=0", '( "score" >= 0 )'),
        ("Score >= 0 /* why */", "score >= 0"),
        ("((a) + (b))", "(a) + (b)"),
        ("'Free'", "'Free'"),
    ],
)
def test_expressions_that_say_the_same_are_equal(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


def test_expressions_that_differ_in_a_literal_are_not_equal() -> None:
    assert normalised("tier = 'a'") != normalised("tier = 'A'")
