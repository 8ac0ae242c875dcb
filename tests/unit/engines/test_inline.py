from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from nexusd.definitions.execution import Invocation
from nexusd.definitions.registry import Registry
from nexusd.definitions.workflow import Connection, Node, Workflow
from nexusd.engines.engine import Run
from nexusd.engines.inline import InlineEngine
from nexusd.errors import DeadlineExceeded, Fault, InvalidInput, RecordNotFound
from nexusd.events import ignore
from nexusd.nodes.node import Effects, NodeContext
from nexusd.planning.registry import compile_registry
from tests.support.runs import CallNode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.databases.database import Database, Session
    from tests.support.runs import Body

OUTSIDE = Effects(outside=True)
"""Those of nodes that have nothing to do with a database."""


class NoDatabase:
    """Stands where no node asks for a database."""

    def session(self, _deadline: float) -> Session:
        return cast("Session", None)


async def run(
    bodies: Mapping[str, Body],
    needs: Mapping[str, Mapping[str, object]],
    *,
    inputs: bytes = b"{}",
    timeout_s: float = 5.0,
    connections: tuple[Connection, ...] = (),
) -> dict[str, object]:
    nodes = tuple(Node(id=name, type="CallNode", params=needs.get(name, {})) for name in bodies)
    workflow = Workflow(name="w", nodes=nodes, connections=connections)
    plan = compile_registry(Registry(workflows={"w": workflow}), {"CallNode": CallNode(bodies, OUTSIDE)})["w"]
    return await InlineEngine().run(
        Run(
            id="run",
            plan=plan,
            inputs=plan.decode(inputs),
            invocation=Invocation(workflow="w", inputs=inputs, channel="test", request_id="r"),
            now="2026-01-31T00:00:00.000000Z",
            deadline=asyncio.get_running_loop().time() + timeout_s,
            database=cast("Database", NoDatabase()),
            observe=ignore,
        )
    )


def gives(value: object) -> Body:
    async def body(_params: Mapping[str, object], _context: NodeContext) -> object:
        return value

    return body


async def echoes(params: Mapping[str, object], context: NodeContext) -> object:
    return dict(params) | ({"input": context.input} if context.input is not None else {})


async def test_results_flow_through_templates_and_connections() -> None:
    outputs = await run(
        {"a": gives({"id": 7}), "b": echoes, "c": echoes},
        {"b": {"x": "{{a.id}}"}},
        connections=(Connection("b", "x", "c", "y"), Connection("a", "result", "c", "input")),
    )

    assert outputs == {"a": {"id": 7}, "b": {"x": 7}, "c": {"y": 7, "input": {"id": 7}}}


async def test_a_connection_that_delivers_nothing_is_an_error_that_names_both_ends() -> None:
    with pytest.raises(InvalidInput, match=r"a\.records\[0\]\.id, which is connected to x of node b, is undefined"):
        await run(
            {"a": gives({"records": []}), "b": echoes}, {}, connections=(Connection("a", "records[0].id", "b", "x"),)
        )


async def test_independent_nodes_run_at_the_same_time() -> None:
    barrier = asyncio.Barrier(2)

    async def meets(_params: Mapping[str, object], _context: NodeContext) -> object:
        await barrier.wait()
        return "met"

    assert await run({"a": meets, "b": meets}, {}) == {"a": "met", "b": "met"}


async def test_the_first_failure_cancels_its_siblings_and_stops_what_depends_on_it() -> None:
    ended: list[str] = []
    started = asyncio.Event()

    async def fails(_params: Mapping[str, object], _context: NodeContext) -> object:
        await started.wait()
        raise RecordNotFound

    async def waits(_params: Mapping[str, object], _context: NodeContext) -> object:
        started.set()
        try:
            return await asyncio.Event().wait()
        finally:
            ended.append("sibling")

    async def never(_params: Mapping[str, object], _context: NodeContext) -> object:
        ended.append("dependent")
        return None

    with pytest.raises(RecordNotFound) as caught:
        await run({"a": fails, "b": waits, "c": never}, {"c": {"x": "{{a.id}}"}})

    assert caught.value.node == "a"
    assert ended == ["sibling"]


async def test_of_two_failures_the_first_of_the_plan_is_raised() -> None:
    barrier = asyncio.Barrier(2)

    def fails(detail: str) -> Body:
        async def body(_params: Mapping[str, object], _context: NodeContext) -> object:
            await barrier.wait()
            raise RecordNotFound(detail)

        return body

    with pytest.raises(RecordNotFound, match="of a"):
        await run({"b": fails("of b"), "a": fails("of a")}, {})


async def test_the_deadline_ends_a_run() -> None:
    async def waits(_params: Mapping[str, object], _context: NodeContext) -> object:
        return await asyncio.Event().wait()

    with pytest.raises(DeadlineExceeded):
        await run({"a": waits}, {}, timeout_s=0.01)


async def test_a_fault_in_a_param_points_at_the_input_that_fills_it() -> None:
    async def refuses(_params: Mapping[str, object], _context: NodeContext) -> object:
        raise InvalidInput(faults=[Fault("/records/3/email", "type", "x"), Fault("/limit", "type", "y")])

    with pytest.raises(InvalidInput) as caught:
        await run({"a": refuses}, {"a": {"records": "{{rows}}", "limit": 5}}, inputs=b'{"rows": []}')

    assert [fault.pointer for fault in caught.value.faults] == ["/inputs/rows/3/email", "/nodes/a/params/limit"]


async def test_now_and_uuid_are_fixed_for_a_run() -> None:
    twice = {"x": "{{uuid}}", "t": "{{now}}"}

    first = await run({"a": echoes, "b": echoes}, {"a": twice, "b": twice})
    again = await run({"a": echoes, "b": echoes}, {"a": twice, "b": twice})

    assert first == again
    assert first["a"] != first["b"]
