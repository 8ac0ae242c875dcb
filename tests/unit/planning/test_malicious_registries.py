"""Registries that a stranger wrote: whatever they say, loading ends soon, with an error at its place."""

from __future__ import annotations

import json

import pytest

from nexusd.channels.mcp.view import is_uninterrupted
from nexusd.definitions.template import MAX_STEPS
from nexusd.errors import ConfigurationError
from nexusd.planning.extent import MAX_DEPTH, MAX_PARTS
from nexusd.planning.mocks import Mock, with_mocks
from tests.support.plans import plan, plans, problems

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
    "path": ("'{{ nodes.z" + ".a" * MANY + " }}'", "at most 64 steps"),
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


@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("params: {x: '{{inputs.x%s}}'}", "14:44 not a template: "),
        ("foreach: '{{inputs.x%s}}'", "14:41 not a template: "),
        ("when: 'inputs.x%s == 1'", "14:38 not a condition: "),
        ("when: 'inputs.x%s + 1 == 1'", "14:38 not a condition: "),
    ],
)
@pytest.mark.parametrize("step", [".a", "[0]"])
def test_path_of_too_many_steps_is_told_with_its_place(where: str, place: str, step: str) -> None:
    found = problems(f"      a: {{type: TransformNode, {where % (step * 500)}}}\n")

    assert f"{place}a path has at most {MAX_STEPS} steps" in found


def test_path_of_as_many_steps_as_allowed_is_an_input() -> None:
    steps = MAX_STEPS - 2
    found = plan(f"      a: {{type: TransformNode, params: {{x: '{{{{inputs.x{'.a' * steps}}}}}'}}}}\n")
    value: object = 1
    for _ in range(steps):
        value = {"a": value}

    assert found.decode(json.dumps({"x": value}).encode()) == {"x": value}


LARGE = {
    "chain": [f"v: '{{{{n{i - 1}.v}}}}'" if i else "v: 1" for i in range(1500)],
    "chain of whole results": [f"v: '{{{{n{i - 1}}}}}'" if i else "v: 1" for i in range(1500)],
    "nothing in common": ["v: 1" for _ in range(1500)],
}


@pytest.mark.parametrize("name", LARGE)
def test_workflow_of_many_nodes_is_compiled_soon(name: str) -> None:
    nodes = [f"      n{i}: {{type: TransformNode, params: {{{params}}}}}\n" for i, params in enumerate(LARGE[name])]

    assert len(plan("".join(nodes)).nodes) == len(nodes)


def test_many_connections_and_nodes_that_take_over_are_compiled_soon() -> None:
    count = 1000
    nodes = "".join(f"      n{i}: {{type: TransformNode, on_error: h{i}}}\n" for i in range(count))
    nodes += "".join(f"      h{i}: {{type: TransformNode}}\n" for i in range(count))
    edges = "".join(f"      - [n{i - 1}, result, n{i}, v]\n" for i in range(1, count))

    assert len(plan(nodes, f"    connections:\n{edges}").nodes) == 2 * count


def test_one_list_may_be_gone_through_by_many_nodes() -> None:
    nodes = [
        f"      n{i}: {{type: TransformNode, foreach: '{{{{xs}}}}', params: {{v: '{{{{item.a{i}}}}}'}}}}\n"
        for i in range(800)
    ]
    found = plan("".join(nodes))

    item = {f"a{i}": i for i in range(800)}
    assert found.decode(json.dumps({"xs": [item]}).encode()) == {"xs": [item]}


def fan(levels: int, node: str, outputs: str) -> str:
    """Workflows each of which runs the next one ten times."""
    text = ""
    for i in range(levels):
        nodes = ", ".join(f"a{k}: {{{node % (i + 1)}}}".replace("#", str(k)) for k in range(10))
        text += f"  w{i}: {{nodes: {{{nodes}}}{outputs}}}\n"
    return f"{text}  w{levels}: {{nodes: {{t: {{type: TransformNode, params: {{v: '{{{{inputs.x.z}}}}'}}}}}}}}\n"


GIVEN = "type: WorkflowNode, workflow: w%d, params: {x: '{{inputs.x}}'}"
GIVEN_PARTS = "type: WorkflowNode, workflow: w%d, params: {x: '{{inputs.x.p#}}'}"


@pytest.mark.parametrize(
    ("node", "outputs", "what"), [(GIVEN, "", "outputs"), (GIVEN_PARTS, ", outputs: {a: 1}", "inputs")]
)
def test_workflows_that_multiply_are_refused_where_they_become_too_many(node: str, outputs: str, what: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        plans(fan(7, node, outputs))

    (problem,) = caught.value.problems
    assert problem.message.startswith(f"the {what} have ")
    assert problem.message.endswith(f" parts; at most {MAX_PARTS} can be shown")
    assert problem.line == 15


def test_workflows_that_multiply_may_stand_behind_declared_outputs() -> None:
    found = plans(fan(7, GIVEN, ", outputs: {a: '{{a0}}'}"))["w0"]
    mocked = with_mocks(found, {"a0.a3": Mock(1)})

    assert found.decode(b'{"x": {"z": 1}}') == {"x": {"z": 1}}
    assert is_uninterrupted(mocked)
    assert [node.type for node in mocked.callees["w1"].nodes] == ["WorkflowNode"] * 10


def test_inputs_that_become_too_deep_are_refused() -> None:
    path = ".a" * (MAX_STEPS - 4)
    with pytest.raises(ConfigurationError) as caught:
        plans(
            "".join(
                f"  w{i}: {{nodes: {{a: {{type: WorkflowNode, workflow: w{i + 1},"
                f" params: {{x: '{{{{inputs.x{path}}}}}'}}}}}}, outputs: {{a: 1}}}}\n"
                for i in range(7)
            )
            + "  w7: {nodes: {t: {type: TransformNode, params: {v: '{{inputs.x.z}}'}}}}\n"
        )

    (problem,) = caught.value.problems
    assert problem.message.endswith(f"levels deep; at most {MAX_DEPTH} can be shown")
