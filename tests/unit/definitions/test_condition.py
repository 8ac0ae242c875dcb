from __future__ import annotations

import pytest

from nexusd.definitions.condition import (
    MAX_DEPTH,
    MAX_LENGTH,
    Comparison,
    ConditionSyntaxError,
    Conjunction,
    Disjunction,
    Literal,
    Not,
    Reference,
    parse_condition,
)


def test_and_binds_closer_than_or_and_not_closest() -> None:
    assert parse_condition("a || !b && c") == Disjunction(
        (Reference(("a",)), Conjunction((Not(Reference(("b",))), Reference(("c",)))))
    )


def test_a_path_has_names_indexes_and_names_in_quotes() -> None:
    assert parse_condition("a.b[0]['c d'] == -1") == Comparison("==", Reference(("a", "b", 0, "c d")), Literal(-1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a value is missing at the end"),
        ("a = 1", "equality is written =="),
        ("{{ a }}", "a condition has no braces"),
        ("a < b < c", "cannot be chained"),
        ("f(a)", "there is no function 'f'"),
        ("has(1)", "has takes a path"),
        ("a b", "expected the end"),
        ("-a", "a number must follow"),
        ("'a\\q'", "no escape"),
        ("a.[", "a name must follow the point"),
        ("(" * (MAX_DEPTH + 1) + "a", "at most"),
        ("[" * 3000, "at most"),
        ("a" * (MAX_LENGTH + 1), "at most"),
        ("!" * 4000, "a value is missing"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, message: str) -> None:
    with pytest.raises(ConditionSyntaxError, match=message):
        parse_condition(text)
