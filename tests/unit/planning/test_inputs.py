"""What the inputs of a workflow are: their defaults, and what conditions say of them."""

from __future__ import annotations

import pytest

from nexusd.definitions.field_schema import portable
from nexusd.errors import InvalidInput
from tests.support.plans import plan

pytestmark = pytest.mark.usefixtures("in_folder")


def test_an_input_with_a_default_may_stand_anywhere_its_type_fits() -> None:
    found = plan(
        "      a: {type: ContactCreateNode, params: {name: '{{name}}', email: '{{name}}@{{host}}', age: '{{p.age}}'}}\n"
        "      b: {type: ContactBulkDeleteNode, params: {filter: {company: '{{company}}'}}, when: 'sure'}\n"
        "      c: {type: TransformNode, foreach: '{{xs}}', params: {x: '{{name}}'}}\n",
        "    inputs:\n      name: {type: str, default: Zed}\n      host: {type: str, default: a.b, required: false}\n"
        "      company: {type: str, nullable: true, default: Acme}\n      sure: {type: bool, default: false}\n"
        "      xs: {type: array, items: str, default: [a]}\n      p: {type: json, default: {age: 3}}\n"
        "    outputs: {name: '{{name}}'}\n",
    )
    defaults = {"name": "Zed", "host": "a.b", "company": "Acme", "sure": False, "xs": ["a"], "p": {"age": 3}}
    properties = found.inputs_schema["properties"]

    assert "required" not in found.inputs_schema
    assert isinstance(properties, dict)
    assert {name: schema["default"] for name, schema in properties.items()} == defaults
    assert found.decode(b"{}") == defaults
    assert found.decode(b'{"name": "Ann"}') == {**defaults, "name": "Ann"}
    assert found.outputs.properties["name"].check(None, "")


def test_the_schema_shows_no_default_that_does_not_count() -> None:
    found = plan(
        "      a: {type: ContactCreateNode, params: {name: x, email: y, score: '{{score}}'}}\n"
        "      b: {type: ContactCountNode, params: {filter: {score: '{{least}}'}}}\n"
        "      c: {type: ContactUpdateNode, params: {id: x, score: '{{other}}'}}\n",
        "    inputs: {other: {type: decimal, default: '7'}}\n",
    )
    properties = found.inputs_schema["properties"]

    assert isinstance(properties, dict)
    assert found.inputs.required == {"least"}
    assert found.decode(b'{"least": "1"}')["other"] == "7"
    assert {name: schema.get("default") for name, schema in properties.items()} == {
        "other": "7",
        "score": "0.00",
        "least": None,
    }


def test_the_parts_of_an_input_have_no_defaults_of_columns() -> None:
    found = plan(
        "      a: {type: ContactCreateNode, foreach: '{{rows}}',"
        " params: {name: x, email: '{{inputs.p.email}}', score: '{{item.score}}'}}\n"
        "      b: {type: ContactCreateNode, foreach: '{{scores}}', params: {name: x, email: y, score: '{{item}}'}}\n"
    )
    properties = found.inputs_schema["properties"]

    assert isinstance(properties, dict)
    item = properties["rows"]["items"]
    assert item["required"] == ["score"]
    assert "default" not in item["properties"]["score"]
    assert "default" not in properties["scores"]["items"]


OR_NULL = {kind: {"anyOf": [{"type": kind}, {"type": "null"}]} for kind in ("string", "number", "boolean")}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("n > 3", {"n": {"type": "number"}}),
        ("-0.5 <= inputs.n", {"n": {"type": "number"}}),
        ("n >= 'a'", {"n": {"type": "string"}}),
        ("n == 'a' || n == 'b'", {"n": OR_NULL["string"]}),
        ("n != 3 && m == true", {"n": OR_NULL["number"], "m": OR_NULL["boolean"]}),
        ("n != 3 && n > 2", {"n": {"type": "number"}}),
        ("n", {"n": {"type": "boolean"}}),
        ("!n || !(m && n)", {"n": {"type": "boolean"}, "m": {"type": "boolean"}}),
        ("n == null || n == 'a'", {"n": OR_NULL["string"]}),
        ("n == null || n > 2", {"n": OR_NULL["number"]}),
        ("n == 'a' || n == 3", {"n": portable({})}),
        ("n in ['a'] || m == null", {"n": portable({}), "m": portable({})}),
        ("n == m", {"n": portable({}), "m": portable({})}),
    ],
)
def test_conditions_say_what_inputs_are(condition: str, expected: dict[str, object]) -> None:
    nodes = f'      a: {{type: ContactCountNode, when: "{condition}"}}\n'
    cases = f'      a: {{type: SwitchNode, cases: {{x: "{condition}"}}}}\n'

    assert plan(nodes).inputs_schema["properties"] == expected
    assert plan(cases).inputs_schema["properties"] == expected


def test_conditions_say_what_parts_of_inputs_are_and_nothing_against_what_else_says_it() -> None:
    found = plan(
        "      a: {type: ContactCreateNode, params: {name: '{{name}} {{note}}', email: '{{e}}', score: '{{score}}'},"
        " when: \"score > 3 && inputs.p.kind == 'a' && inputs.p.ages[0] > 1 && e == 'a' && note == 'b' && any > 3\"}\n",
        "    inputs: {any: json}\n",
    )
    properties = found.inputs_schema["properties"]

    assert isinstance(properties, dict)
    assert properties["p"]["properties"]["kind"] == OR_NULL["string"]
    assert properties["p"]["properties"]["ages"] == {"type": "array", "items": portable({})}
    assert properties["score"]["type"] == "string"
    assert properties["e"]["maxLength"] == 320
    assert properties["note"] == {"type": "string"}
    assert properties["any"] == portable({})
    with pytest.raises(InvalidInput) as caught:
        plan("      a: {type: ContactCountNode, when: 'n > 3'}\n").decode(b'{"n": "5"}')
    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [("/inputs/n", "type")]
