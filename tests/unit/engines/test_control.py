from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from nexusd.definitions.execution import Invocation
from nexusd.definitions.model import Field, FieldType
from nexusd.definitions.registry import Registry
from nexusd.definitions.workflow import Connection, DeclaredInput, Node, Retry, Workflow
from nexusd.engines.engine import Run
from nexusd.engines.inline import InlineEngine
from nexusd.errors import DeadlineExceeded, InvalidInput, NodeFailed, RecordNotFound
from nexusd.events import ignore
from nexusd.nodes.control import control_node_types
from nexusd.planning.registry import compile_registry
from tests.support.runs import CallNode
from tests.unit.engines.test_inline import OUTSIDE, NoDatabase, echoes, gives

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.databases.database import Database
    from nexusd.nodes.node import NodeContext, NodeType
    from tests.support.runs import Body


async def run(
    bodies: Mapping[str, Body],
    *nodes: Node,
    inputs: bytes = b"{}",
    others: tuple[Workflow, ...] = (),
    edges: tuple[Connection, ...] = (),
    declared: tuple[str, ...] = (),
) -> dict[str, object]:
    types: dict[str, NodeType] = {each.name: each for each in control_node_types()}
    taken = {name: DeclaredInput(Field(name=name, type=FieldType.JSON)) for name in declared}
    main = Workflow(name="w", nodes=nodes, connections=edges, inputs=taken)
    workflows = {each.name: each for each in (main, *others)}
    plan = compile_registry(Registry(workflows=workflows), types | {"CallNode": CallNode(bodies, OUTSIDE)})["w"]
    return await InlineEngine().run(
        Run(
            id="run",
            plan=plan,
            inputs=plan.decode(inputs),
            invocation=Invocation(workflow="w", inputs=inputs, channel="test", request_id="r"),
            now="2026-01-31T00:00:00.000000Z",
            deadline=asyncio.get_running_loop().time() + 5,
            database=cast("Database", NoDatabase()),
            observe=ignore,
        )
    )


def pointers(error: InvalidInput) -> list[str]:
    return [fault.pointer for fault in error.faults]


def call(name: str, /, **keys: object) -> Node:
    return Node(id=name, type="CallNode", **keys)  # type: ignore[arg-type]


def failing(times: int, calls: list[str]) -> Body:
    async def body(_params: Mapping[str, object], context: NodeContext) -> object:
        calls.append(context.place)
        if len(calls) <= times:
            raise RecordNotFound
        return "done"

    return body


async def test_what_depends_on_a_skipped_node_is_skipped_and_a_merge_takes_what_there_is() -> None:
    outputs = await run(
        {"a": gives({"x": 1}), "b": echoes, "c": gives("c")},
        call("a", when="inputs.go"),
        call("b", params={"x": "{{ a.x }}"}),
        call("c", when="!inputs.go"),
        Node(id="d", type="MergeNode", options={"from": ["b", "c"]}),
        inputs=b'{"go": false}',
    )

    assert outputs == {"a": None, "b": None, "c": "c", "d": "c"}


async def test_a_merge_of_nodes_that_were_all_skipped_is_skipped_too() -> None:
    outputs = await run(
        {"a": gives(1)}, call("a", when="false"), Node(id="d", type="MergeNode", options={"from": ["a"]})
    )

    assert outputs == {"a": None, "d": None}


async def test_comparing_values_of_different_types_names_the_node() -> None:
    with pytest.raises(InvalidInput, match="node a: text < number cannot be compared") as caught:
        await run({"a": gives(1)}, call("a", when="inputs.x < inputs.p.y"), inputs=b'{"x": "1", "p": {"y": 1}}')

    assert caught.value.node == "a"
    assert pointers(caught.value) == ["/inputs/x", "/inputs/p/y"]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("inputs.z == inputs.x || inputs.x < inputs.y", ["/inputs/z", "/inputs/x"]),
        ("size(inputs.y) > 1", ["/inputs/y"]),
        ("inputs.x in [1] || inputs.p.no == 'a'", ["/inputs/p/no"]),
        ("inputs.p.a.b in ['a']", ["/inputs/p/a/b"]),
        ("inputs.y in inputs.x", ["/inputs/y", "/inputs/x"]),
        ("inputs.x == 'a' || inputs.x == 1", ["/inputs/x"]),
        ("inputs.y + inputs.x == 1", ["/inputs/y", "/inputs/x"]),
        ("inputs.x.startsWith('a') && inputs.y.startsWith('b')", ["/inputs/x", "/inputs/y"]),
    ],
)
async def test_condition_that_cannot_be_answered_names_the_inputs_that_it_reads(
    condition: str, expected: list[str]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await run(
            {"a": gives(1), "b": echoes},
            call("a", when=condition),
            call("b", params={"x": "{{ x }}", "y": "{{ y }}", "z": "{{ z }}", "p": "{{ p }}"}, when="false"),
            inputs=b'{"x": "aa", "y": 7, "z": 1, "p": {"a": {}}}',
            declared=("x", "y", "z", "p"),
        )

    assert pointers(caught.value) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ x | int }}", ["/inputs/x"]),
        ("no. {{ y }}{{ x | int }}", ["/inputs/x"]),
        ("of {{ inputs.p.xs }}", ["/inputs/p/xs"]),
        ("{{ inputs.p.xs[1] }}", ["/inputs/p/xs/1"]),
        ("{{ inputs.p.xs[0] | lower }}", ["/inputs/p/xs/0"]),
    ],
)
async def test_template_that_cannot_be_rendered_names_its_input(template: str, expected: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        await run(
            {"a": echoes, "b": echoes},
            call("a", params={"v": template}),
            call("b", params={"x": "{{ x }}", "y": "{{ y }}", "p": "{{ p }}"}, when="false"),
            inputs=b'{"x": "aa", "y": 7, "p": {"xs": [7]}}',
            declared=("x", "y", "p"),
        )

    assert pointers(caught.value) == expected


@pytest.mark.parametrize("template", ["{{ item.n | int }}", "no. {{ item.n | int }}"])
async def test_template_that_cannot_be_rendered_names_the_item(template: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await run(
            {"a": echoes},
            call("a", foreach="{{ inputs.p.xs }}", params={"v": template}),
            inputs=b'{"p": {"xs": [{"n": "1"}, {"n": "x"}]}}',
        )

    assert pointers(caught.value) == ["/inputs/p/xs/1/n"]


async def test_a_path_that_a_condition_asks_for_may_be_left_out() -> None:
    outputs = await run({"a": gives(1)}, call("a", when="has(inputs.x) && inputs.x > 1.5"))

    assert outputs == {"a": None}


async def test_a_failed_node_is_tried_again() -> None:
    calls: list[str] = []
    retry = Retry(attempts=3, backoff_s=0.001)

    assert await run({"a": failing(2, calls)}, call("a", retry=retry)) == {"a": "done"}
    assert len(calls) == 3


async def test_a_node_is_tried_no_more_often_than_declared() -> None:
    calls: list[str] = []

    with pytest.raises(RecordNotFound):
        await run({"a": failing(9, calls)}, call("a", retry=Retry(attempts=2, backoff_s=0.001)))
    assert len(calls) == 2


async def test_a_node_that_takes_too_long_fails_and_the_run_can_go_on() -> None:
    async def hangs(_params: Mapping[str, object], _context: NodeContext) -> object:
        return await asyncio.Event().wait()

    outputs = await run({"a": hangs}, call("a", timeout_s=0.01, on_error="continue"))
    assert outputs == {"a": None}

    with pytest.raises(DeadlineExceeded, match=r"longer than its 0\.01 s"):
        await run({"a": hangs}, call("a", timeout_s=0.01))


async def test_a_node_that_takes_over_is_skipped_when_nothing_failed() -> None:
    outputs = await run({"a": gives(1), "b": echoes}, call("a", on_error="b"), call("b"))

    assert outputs == {"a": 1, "b": None}


async def test_conditions_and_lists_can_read_what_is_connected_to_input() -> None:
    nodes = (
        call("a"),
        call("b", when="size(input.xs) == 2"),
        call("c", when="size(input.xs) == 3"),
        call("d", foreach="{{ input.xs }}", params={"x": "{{ item }}"}),
        call("e", on_error="f"),
        call("f", when="input.code == 'record_not_found'"),
        call("g", when="input.code == 'timeout'"),
        call("h", on_error="g"),
    )
    edges = tuple(Connection("a", "result", name, "input") for name in "bcd")

    outputs = await run(
        {"a": gives({"xs": [1, 2]}), "d": echoes, "e": failing(9, []), "h": failing(9, [])}
        | {name: gives(name) for name in "bcfg"},
        *nodes,
        edges=edges,
    )

    assert {name: outputs[name] for name in "bcfg"} == {"b": "b", "c": None, "f": "f", "g": None}
    items = outputs["d"]
    assert isinstance(items, list)
    assert [item["x"] for item in items] == [1, 2]


async def test_foreach_gives_results_in_the_order_of_the_list_and_keeps_to_its_concurrency() -> None:
    running, most = 0, 0

    async def body(params: Mapping[str, object], context: NodeContext) -> object:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return [params["n"], context.place]

    outputs = await run(
        {"a": body},
        call("a", foreach="{{ ns }}", params={"n": "{{ item.n }}"}, concurrency=2),
        inputs=b'{"ns": [{"n": 3}, {"n": 1}, {"n": 2}]}',
    )

    assert outputs == {"a": [[3, "a[0]"], [1, "a[1]"], [2, "a[2]"]]}
    assert most == 2


async def test_the_first_item_that_fails_cancels_the_others() -> None:
    ended: list[object] = []

    async def body(params: Mapping[str, object], _context: NodeContext) -> object:
        if params["n"] == 1:
            raise RecordNotFound
        try:
            return await asyncio.Event().wait()
        finally:
            ended.append(params["n"])

    with pytest.raises(RecordNotFound):
        await run({"a": body}, call("a", foreach=[0, 1, 2], params={"n": "{{ item }}"}, concurrency=2))
    assert ended == [0]


async def test_a_list_of_too_many_items_is_refused() -> None:
    many = b'{"ns": [' + b"1," * 10_000 + b"1]}"

    with pytest.raises(InvalidInput, match="at most 10000 items"):
        await run({"a": echoes}, call("a", foreach="{{ ns }}"), inputs=many)


async def test_the_uuid_of_each_item_is_its_own_and_the_same_on_replay() -> None:
    node = call("a", foreach=[1, 2], params={"id": "{{ uuid }}"})
    first, second = [await run({"a": echoes}, node) for _ in range(2)]

    assert first == second
    results = first["a"]
    assert isinstance(results, list)
    assert results[0] != results[1]


async def test_a_failure_inside_another_workflow_says_where() -> None:
    inner = Workflow(name="inner", nodes=(call("x"),))

    with pytest.raises(NodeFailed, match="the workflow inner failed: No record matches") as caught:
        await run(
            {"x": failing(1, [])}, Node(id="a", type="WorkflowNode", options={"workflow": "inner"}), others=(inner,)
        )

    assert caught.value.node == "a.x"
