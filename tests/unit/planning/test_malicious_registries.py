"""Registries that a stranger wrote: whatever they say, loading ends soon, with an error at its place."""

from __future__ import annotations

import pytest

from tests.support.plans import problems

MANY = 20_000

PARAMS = {
    "filter that does not exist": ("'{{ a | shell }}'", "there is no filter"),
    "filter that would be code": ("'{{ a.__class__.__mro__ }}'", ""),
    "call": ("'{{ a() }}'", "not a template"),
    "arithmetic": ("'{{ 9**9**9 }}'", "not a template"),
    "statement": ("'{% for x in y %}{{ x }}{% endfor %}{{'", "not a template"),
    "deep literal": ("'{{ a | default(" + "[" * MANY + "]" * MANY + ") }}'", "one JSON literal"),
    "literal without an end": ("'{{ a | default(" + ")" * MANY + "'", "expected }}|one JSON literal"),
    "text without an end": ("'{{ a | default(\"" + ")" * MANY + "'", "one JSON literal"),
    "braces without an end": ("'{{ " + "a." * MANY + "'", "not a template"),
    "blanks without an end": ("'{{" + " " * MANY + "'", "not a template"),
    "index": ("'{{ a[99999999999999999999] }}'", "not a template"),
    "path": ("'{{ nodes.z" + ".a" * MANY + " }}'", "there is no node"),
    "deep params": ("{a: " * 70 + "1" + "}" * 70, "levels deep"),
    "tag": ("!!python/object/apply:os.system ['true']", "is not allowed"),
}


pytestmark = pytest.mark.usefixtures("in_folder")


@pytest.mark.parametrize("name", [name for name, (_, told) in PARAMS.items() if told])
def test_hostile_params_are_told_with_their_place(name: str) -> None:
    text, told = PARAMS[name]
    found = problems(f"      a: {{type: TransformNode, params: {{x: {text}}}}}\n")
    assert [line for line in found if any(each in line for each in told.split("|"))], [line[:200] for line in found]


CONDITIONS = {
    "code": "__import__('os').system('true')",
    "unknown function": "exec('true')",
    "deep": "(" * 1000 + "true" + ")" * 1000,
    "long": "true && " * 1000 + "true",
    "nested": "tags.all(a, tags.all(b, tags.all(c, a == b)))",
    "not": "!" * 3000 + "(",
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_hostile_conditions_are_told_with_their_place(name: str) -> None:
    (found,) = problems(f'      a: {{type: TransformNode, when: "{CONDITIONS[name]}"}}\n')
    assert found.startswith("14:38 not a condition: ")
    assert len(found) < 400


@pytest.mark.parametrize(
    "node",
    [
        "type: SqlNode, sql: 'DROP TABLE contact'",
        "type: SqlNode, sql: 'SELECT 1; DELETE FROM contact'",
        "type: SqlNode, sql: 'DELETE FROM contact'",
        "type: SqlNode, sql: 'ATTACH DATABASE x AS y'",
        f"type: SqlNode, sql: '{'/*' * MANY}'",
        "type: HttpRequestNode, params: {url: 'http://169.254.169.254/latest'}",
        "type: HttpRequestNode, params: {url: 'file:///etc/passwd'}",
        "type: HttpRequestNode, params: {url: 'http://localhost:5432/{{x}}'}",
        "type: FunctionNode, call: '../../etc:passwd'",
        "type: FunctionNode, call: 'builtins:__import__.__globals__'",
    ],
)
def test_hostile_nodes_are_refused_at_load(node: str) -> None:
    assert problems(f"      a: {{{node}}}\n")
