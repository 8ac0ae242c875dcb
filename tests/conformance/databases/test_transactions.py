"""What a run's transaction keeps, and what happens where two runs meet."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from nexusd.definitions.shape import ANYTHING, Shape
from nexusd.errors import NodeFailed, UniqueViolation
from nexusd.nodes.node import Binding, Choice, Effects, FirstOf, NodeContext, Slot
from tests.support.connections import WAIT_S
from tests.support.models import COMPANY, CONTACT
from tests.support.nodes import Nodes, create_tables
from tests.support.workflows import Flows, flow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.workflow import Node, Workflow
    from nexusd.embedding.builder import WorkflowBuilder
    from nexusd.nodes.node import Runner
    from tests.support.connections import OpenDatabase

THREE: Final = ("A", "B", "A")


class MeetNode:
    """Waits, the first time that it runs in a run, until as many runs stand here as are expected.

    Attributes:
        seen: the params of every time.
    """

    name = "MeetNode"
    keys: frozenset[str] = frozenset()

    def __init__(self, runs: int, *, outside: bool = False) -> None:
        self.seen: list[Mapping[str, object]] = []
        self._barrier = asyncio.Barrier(runs)
        self._runs = runs
        self._outside = outside

    def derived(self, _node: Node) -> Mapping[str, Choice | FirstOf]:
        return {}

    def effects(self, _node: Node) -> Effects:
        return Effects(idempotent=True, outside=self._outside)

    def bind(self, _node: Node, params: Mapping[str, object], _connected: frozenset[str]) -> Binding:
        return Binding(slots={(name,): Slot(ANYTHING) for name in params})

    def result(self, _node: Node) -> Shape:
        return ANYTHING

    def build(self, _node: Node) -> Runner:
        async def meet(params: Mapping[str, object], _context: NodeContext) -> object:
            self.seen.append(dict(params))
            if len(self.seen) <= self._runs:
                async with asyncio.timeout(WAIT_S):
                    await self._barrier.wait()
            return params

        return meet


class BreakNode(MeetNode):
    """Fails, as something outside would."""

    name = "BreakNode"

    def build(self, _node: Node) -> Runner:
        async def fail(_params: Mapping[str, object], _context: NodeContext) -> object:
            raise NodeFailed

        return fail


def three(**keys: object) -> Workflow:
    """Three companies, of which the last cannot be made."""
    builder = flow(**keys)
    for i, name in enumerate(THREE):
        builder.add_node("CompanyCreateNode", f"n{i}", {"name": name})
    return builder.add_connection("n0", "result", "n1", "input").add_connection("n1", "result", "n2", "input").build()


async def test_three_nodes_of_which_the_last_fails_leave_no_row(flows: Flows) -> None:
    for mode in ("auto", "all"):
        with pytest.raises(UniqueViolation) as caught:
            await flows.run(three(transaction=mode))
        assert caught.value.node == "n2"
        assert await flows.names() == []


async def test_without_a_transaction_each_node_that_succeeded_stays(flows: Flows) -> None:
    with pytest.raises(UniqueViolation):
        await flows.run(three(transaction="none"))

    assert await flows.names() == ["A", "B"]


async def test_a_dry_run_is_one_transaction_whatever_the_workflow_says(flows: Flows) -> None:
    with pytest.raises(UniqueViolation):
        await flows.run(three(transaction="none"), dry_run=True)

    assert await flows.names() == []


async def test_with_all_a_failure_outside_undoes_the_rows(crm: Nodes) -> None:
    flows = Flows(crm, BreakNode(1, outside=True))

    def built(mode: str) -> Workflow:
        return (
            flow(transaction=mode)
            .add_node("CompanyCreateNode", "a", {"name": mode})
            .add_node("BreakNode", "b", {"x": "{{ a.id }}"})
            .build()
        )

    for mode in ("all", "none"):
        with pytest.raises(NodeFailed):
            await flows.run(built(mode))

    assert await flows.names() == ["none"]


async def test_a_failure_that_a_workflow_survives_undoes_all_that_the_node_did(flows: Flows) -> None:
    inner = (
        flow()
        .add_node("CompanyCreateNode", "x", {"name": "{{ one }}"})
        .add_node("CompanyCreateNode", "y", {"name": "{{ two }}"})
    )
    outer = (
        flow()
        .add_node("CompanyCreateNode", "a", {"name": "A"})
        .add_node("WorkflowNode", "b", {"one": "B", "two": "A"}, workflow="inner", on_error="continue")
        .add_node("CompanyBulkCreateNode", "c", {"records": [{"name": "C"}, {"name": "A"}]}, on_error="rescue")
        .add_node("CompanyCreateNode", "rescue", {"name": "{{ input.code }}"})
        .build()
    )

    outputs = await flows.run(outer, named(inner, "inner"))

    assert isinstance(outputs, dict)
    assert (outputs["b"], outputs["c"]) == (None, None)
    assert await flows.names() == ["A", "unique_violation"]


def named(builder: WorkflowBuilder, name: str) -> Workflow:
    return replace(builder.build(), name=name)


async def open_flows(open_database: OpenDatabase, url: str, meet: MeetNode) -> Flows:
    database = await open_database(url)
    await create_tables(database, (COMPANY, CONTACT))
    return Flows(Nodes(database, (COMPANY, CONTACT)), meet)


async def test_two_serializable_runs_that_conflict_both_succeed_by_replay(
    open_database: OpenDatabase, postgres_url: str
) -> None:
    meet = MeetNode(2)
    flows = await open_flows(
        open_database, f"{postgres_url}?options=-c%20default_transaction_isolation=serializable", meet
    )
    # Each reads what the other writes: no order of the two would give both the same number.
    built = (
        flow()
        .add_node("CompanyCountNode", "before")
        .add_node("MeetNode", "meet", {"now": "{{ now }}", "uuid": "{{ uuid }}", "before": "{{ before.count }}"})
        .add_node("CompanyCreateNode", "make", {"name": "{{ name }} {{ meet.before }}"})
        .build()
    )

    await asyncio.gather(*(flows.run(built, name=name) for name in ("a", "b")))

    first, second = await flows.names()
    assert {first[0], second[0]} == {"a", "b"}
    assert {first[2], second[2]} == {"0", "1"}
    assert len(meet.seen) == 3
    # The replay has the time and the ids of the run; all runs here have one id.
    assert len({(seen["now"], seen["uuid"]) for seen in meet.seen}) == 1


async def test_two_runs_that_deadlock_both_succeed_by_replay(open_database: OpenDatabase, postgres_url: str) -> None:
    meet = MeetNode(2)
    flows = await open_flows(open_database, postgres_url, meet)
    await flows.run(flow().add_node("CompanyBulkCreateNode", "x", {"records": [{"name": "A"}, {"name": "B"}]}).build())
    touch = {"where": {"name": "{{ first }}"}, "name": "{{ first }}"}
    built = (
        flow()
        .add_node("CompanyUpdateNode", "one", touch)
        .add_node("MeetNode", "meet", {"x": "{{ one.version }}"})
        .add_node(
            "CompanyUpdateNode",
            "two",
            {"where": {"name": "{{ second }}"}, "name": "{{ second }}"},
            on_error="continue",
            retry={"attempts": 3},
        )
        .add_connection("meet", "result", "two", "input")
        .build()
    )

    outputs = await asyncio.gather(flows.run(built, first="A", second="B"), flows.run(built, first="B", second="A"))

    versions = sorted(each[node]["version"] for each in outputs if isinstance(each, dict) for node in ("one", "two"))
    assert versions == [2, 2, 3, 3]
    assert len(meet.seen) == 3
