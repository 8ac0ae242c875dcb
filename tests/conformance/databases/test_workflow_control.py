"""Control flow of workflows over real rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nexusd.errors import NodeFailed, UniqueViolation
from tests.support.workflows import flow

if TYPE_CHECKING:
    from tests.support.workflows import Flows


async def test_a_late_failure_leaves_no_row(flows: Flows) -> None:
    three = (
        flow()
        .add_node("CompanyCreateNode", "a", {"name": "A"})
        .add_node("CompanyCreateNode", "b", {"name": "B"})
        .add_node("CompanyCreateNode", "c", {"name": "{{ a.name }}"})
        .build()
    )

    with pytest.raises(UniqueViolation) as caught:
        await flows.run(three)

    assert caught.value.node == "c"
    assert await flows.names() == []


async def test_a_failure_of_a_node_without_statements_undoes_the_write_before_it(flows: Flows) -> None:
    two = (
        flow()
        .add_node("CompanyCreateNode", "a", {"name": "A"})
        .add_node("TransformNode", "b", {"x": "{{ a.name | int }}"})
        .build()
    )

    with pytest.raises(Exception, match="filter int"):
        await flows.run(two)

    assert await flows.names() == []


async def test_with_continue_exactly_the_failing_nodes_work_is_gone(flows: Flows) -> None:
    built = (
        flow()
        .add_node("CompanyCreateNode", "a", {"name": "A"})
        .add_node("CompanyCreateNode", "b", {"name": "{{ item }}"}, foreach=["B", "A"], on_error="continue")
        .add_node("CompanyCreateNode", "c", {"name": "C"})
        .add_node("TransformNode", "d", {"x": "{{ b[0].name }}"})
        .build()
    )

    outputs = await flows.run(built)

    assert isinstance(outputs, dict)
    assert (outputs["b"], outputs["d"]) == (None, None)
    assert await flows.names() == ["A", "C"]


async def test_with_continue_a_foreach_by_itself_leaves_nothing_of_the_node(flows: Flows) -> None:
    """Where the nodes share no transaction it has one of its own, and where it fails for good each item has."""
    for on_error, names in (("continue", []), ("fail", ["A", "B"])):
        built = (
            flow(transaction="none")
            .add_node(
                "CompanyCreateNode",
                "a",
                {"name": "{{ item }}"},
                foreach=["A", "B", "A", "C"],
                on_error=on_error,
                concurrency=1,
            )
            .build()
        )
        if on_error == "fail":
            with pytest.raises(UniqueViolation):
                await flows.run(built)
        else:
            assert await flows.run(built) == {"a": None}
        assert await flows.names() == names


async def test_a_node_takes_over_where_another_failed(flows: Flows) -> None:
    built = (
        flow()
        .add_node("CompanyCreateNode", "a", {"name": "A"})
        .add_node("CompanyCreateNode", "b", {"name": "{{ name }}"}, on_error="rescue")
        .add_node("TransformNode", "rescue", {"code": "{{ input.code }}", "node": "{{ input.node }}"})
        .add_node("MergeNode", "end", from_=["b", "rescue"])
        .add_connection("a", "result", "b", "input")
        .build()
    )

    failed = await flows.run(built, name="A")
    assert isinstance(failed, dict)
    assert failed["end"] == failed["rescue"] == {"code": "unique_violation", "node": "b"}
    assert await flows.names() == ["A"]


async def test_a_retried_node_leaves_nothing_of_the_attempts_that_failed(flows: Flows) -> None:
    built = (
        flow()
        .add_node("CompanyCreateNode", "a", {"name": "A"})
        .add_node(
            "CompanyBulkCreateNode",
            "b",
            {"records": [{"name": "B"}, {"name": "A"}]},
            retry={"attempts": 2, "backoff_s": 0.001},
            on_error="continue",
        )
        .build()
    )

    await flows.run(built)

    assert await flows.names() == ["A"]


async def test_foreach_writes_all_or_nothing(flows: Flows) -> None:
    built = flow().add_node("CompanyCreateNode", "a", {"name": "{{ item.name }}"}, foreach="{{ companies }}").build()

    made = await flows.run(built, companies=[{"name": "B"}, {"name": "A"}])
    assert isinstance(made, dict)
    assert [each["name"] for each in made["a"]] == ["B", "A"]

    with pytest.raises(UniqueViolation) as caught:
        await flows.run(built, companies=[{"name": "C"}, {"name": "A"}])
    assert [fault.pointer for fault in caught.value.faults] == ["/inputs/companies/1/name"]
    assert await flows.names() == ["A", "B"]


async def test_a_workflow_inside_another_shares_its_transaction(flows: Flows) -> None:
    inner = replace(flow().add_node("CompanyCreateNode", "make", {"name": "{{ name }}"}).build(), name="inner")
    outer = (
        flow()
        .add_node("WorkflowNode", "first", {"name": "{{ one }}"}, workflow="inner")
        .add_node("WorkflowNode", "second", {"name": "{{ two }}"}, workflow="inner")
        .build()
    )

    outputs = await flows.run(outer, inner, one="A", two="B")
    assert isinstance(outputs, dict)
    assert outputs["second"]["make"]["name"] == "B"

    with pytest.raises(NodeFailed, match="the workflow inner failed") as caught:
        await flows.run(outer, inner, one="C", two="A")
    assert caught.value.node == "second.make"
    assert await flows.names() == ["A", "B"]


async def test_conditions_compare_decimals_as_numbers(flows: Flows) -> None:
    built = (
        flow()
        .add_node("ContactCreateNode", "a", {"name": "A", "score": "{{ score }}"})
        .add_node("SwitchNode", "size", cases={"big": "a.score > 9", "small": "a.score == 2.5"}, default="odd")
        .add_node("TransformNode", "big", {"x": 1}, when="size.case == 'big'")
        .add_node("TransformNode", "after", {"x": "{{ big.x }}"})
        .build()
    )

    cases = []
    for score in ("10", "2.5", "3"):
        outputs = await flows.run(built, score=score)
        assert isinstance(outputs, dict)
        cases.append((outputs["size"]["case"], outputs["after"]))

    assert cases == [("big", {"x": 1}), ("small", None), ("odd", None)]


async def test_a_node_with_a_limit_of_its_own_runs_within_the_transaction(flows: Flows) -> None:
    built = (
        flow()
        .add_node("CompanyCreateNode", "a", {"name": "A"})
        .add_node(
            "CompanyCreateNode", "b", {"name": "{{ item }}"}, foreach="{{ names }}", timeout_s=5, on_error="continue"
        )
        .add_node("CompanyCountNode", "c", when="a.name == 'A'")
        .build()
    )

    outputs = await flows.run(built, names=["B", "C"])

    assert isinstance(outputs, dict)
    assert outputs["c"] == {"count": 3}


async def test_a_dry_run_keeps_nothing(flows: Flows) -> None:
    built = flow().add_node("CompanyCreateNode", "a", {"name": "{{ item }}"}, foreach=["A", "B"]).build()

    await flows.run(built, dry_run=True)

    assert await flows.names() == []
