from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

import pytest

from nexusd.channels.cli.inputs import InputOption, kinds_of
from nexusd.channels.cli.run_command import input_options
from nexusd.definitions.field_schema import portable

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT: Final = {"type": "string"}
TEXT_OR_NULL: Final = {"anyOf": [{"type": "string"}, {"type": "null"}]}
INTEGER: Final = {"type": "integer", "minimum": 0}
NUMBER: Final = {"type": "number"}
FLAG: Final = {"type": "boolean"}
LIST: Final = {"type": "array", "items": {"type": "string"}}
TEXT_OR_OBJECT: Final = {"anyOf": [{"type": "string"}, {"type": "object"}]}
INTEGER_OR_NULL: Final = {"anyOf": [{"type": "integer"}, {"type": "null"}]}
ANYTHING: Final[Mapping[str, object]] = {}


def option(schema: Mapping[str, object], name: str = "value") -> InputOption:
    return InputOption(name, schema, required=False, taken=())


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        (TEXT, "5", "5"),
        (TEXT, "null", "null"),
        (TEXT, "", ""),
        (TEXT_OR_NULL, "null", "null"),
        (TEXT_OR_NULL, "true", "true"),
        (INTEGER, "5", 5),
        (INTEGER, "-1", -1),
        (INTEGER, "9007199254740993", 9007199254740993),
        (INTEGER, "five", "five"),
        (INTEGER, "", ""),
        (INTEGER_OR_NULL, "null", None),
        (NUMBER, "1.10", Decimal("1.10")),
        (FLAG, "true", True),
        (FLAG, "True", "True"),
        (LIST, '["a"]', ["a"]),
        (LIST, "a,b", "a,b"),
        (TEXT_OR_OBJECT, '{"$gt": "a"}', {"$gt": "a"}),
        (TEXT_OR_OBJECT, "5", "5"),
        (TEXT_OR_OBJECT, '"quoted"', "quoted"),
        (ANYTHING, "5", 5),
        *((portable({}), text, value) for text, value in (("5", 5), ("-1.5", Decimal("-1.5")), ("true", True))),
        *((portable({}), text, value) for text, value in (("null", None), ('{"a": [1]}', {"a": [1]}), ('"5"', "5"))),
        *((portable({}), text, text) for text in ("hello", "05", "")),
        (ANYTHING, "hello", "hello"),
    ],
)
def test_text_means_json_of_a_kind_the_input_takes_and_else_itself(
    schema: Mapping[str, object], text: str, value: object
) -> None:
    assert option(schema).value(text) == value


def test_kinds_of_alternatives_are_all_of_theirs() -> None:
    assert kinds_of({"anyOf": [{"type": "string"}, {"anyOf": [INTEGER, {"type": "null"}]}]}) == {
        "string",
        "integer",
        "null",
    }
    assert kinds_of({"type": ["object", "null"]}) == {"object", "null"}


@pytest.mark.parametrize(
    ("schema", "metavar"),
    [
        (TEXT_OR_NULL, "TEXT"),
        (INTEGER, "INTEGER"),
        (NUMBER, "NUMBER"),
        (FLAG, "[true|false]"),
        (LIST, "JSON"),
        (ANYTHING, "JSON"),
        ({"type": "string", "enum": ["free", "pro"]}, "[free|pro]"),
        ({"anyOf": [{"type": "string", "enum": ["free", "pro"]}, {"type": "null"}]}, "[free|pro]"),
    ],
)
def test_help_says_what_an_option_takes(schema: Mapping[str, object], metavar: str) -> None:
    assert option(schema).option.metavar == metavar


def test_only_booleans_are_switches() -> None:
    assert [option(schema).is_switch for schema in (FLAG, {"anyOf": [FLAG, {"type": "null"}]}, TEXT, ANYTHING)] == [
        True,
        True,
        False,
        False,
    ]


def test_input_with_the_name_of_a_shared_option_gets_another_flag() -> None:
    names = ("company_id", "output", "input_output", "help", "dry_run")
    found = input_options({"inputs": {"properties": dict.fromkeys(names, TEXT)}})
    assert [(each.name, each.flag) for each in found] == [
        ("company_id", "--company-id"),
        ("output", "--input-output"),
        ("input_output", "--input-input-output"),
        ("help", "--input-help"),
        ("dry_run", "--input-dry-run"),
    ]


def test_help_tells_description_need_and_default() -> None:
    schema = {"type": "integer", "description": "How many.", "default": 3}
    assert InputOption("n", schema, required=True, taken=()).option.text == "How many. [required; default: 3]"
    assert option(FLAG | {"default": False}).option.text == "[default: false]"
