from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from nexusd.definitions.workflow import Connection, Retry, TransactionMode
from nexusd.embedding.builder import WorkflowBuilder
from nexusd.embedding.misuse import UsageError
from nexusd.errors import ConfigurationError


def test_built_workflow_is_what_the_registry_would_declare() -> None:
    workflow = (
        WorkflowBuilder(description="Both.", transaction="all", outputs={"id": "{{create.id}}"})
        .add_node("ContactCreateNode", "create", {"name": "{{name}}"}, timeout_s=5)
        .add_node("ContactListNode", "search", retry={"attempts": 2})
        .add_connection("create", "result", "search", "input")
        .build()
    )
    assert [(node.id, node.type, node.params) for node in workflow.nodes] == [
        ("create", "ContactCreateNode", {"name": "{{name}}"}),
        ("search", "ContactListNode", {}),
    ]
    assert workflow.nodes[0].timeout_s == 5.0
    assert workflow.nodes[1].retry == Retry(attempts=2)
    assert workflow.connections == (Connection("create", "result", "search", "input"),)
    assert (workflow.description, workflow.transaction) == ("Both.", TransactionMode.ALL)
    assert workflow.outputs == {"id": "{{create.id}}"}


def test_python_values_in_params_become_wire_values() -> None:
    params = {"a": Decimal("1.10"), "b": (date(2020, 1, 2),), "c": {"d": None}}
    workflow = WorkflowBuilder().add_node("X", "x", params).build()
    assert workflow.nodes[0].params == {"a": "1.10", "b": ["2020-01-02"], "c": {"d": None}}


def test_later_changes_of_params_do_not_reach_the_workflow() -> None:
    params: dict[str, object] = {"tags": ["a"]}
    workflow = WorkflowBuilder().add_node("X", "x", params).build()
    params["tags"] = None
    assert workflow.nodes[0].params == {"tags": ["a"]}


def test_from_is_written_with_an_underscore() -> None:
    workflow = WorkflowBuilder().add_node("MergeNode", "m", from_=["a", "b"]).build()
    assert workflow.nodes[0].options == {"from": ["a", "b"]}


def plain_function() -> None:
    """Stands at the top of its module."""


def test_call_takes_a_function_that_can_be_found_again() -> None:
    workflow = WorkflowBuilder().add_node("FunctionNode", "f", call=plain_function, pure=True).build()
    assert workflow.nodes[0].options == {"call": f"{__name__}:plain_function", "pure": True}
    with pytest.raises(UsageError, match="at the top of a module, not"):
        WorkflowBuilder().add_node("FunctionNode", "f", call=lambda: None)


def test_taken_node_id_is_refused_at_once() -> None:
    builder = WorkflowBuilder().add_node("X", "x")
    with pytest.raises(UsageError, match="a node 'x' already"):
        builder.add_node("Y", "x")


def test_value_that_json_lacks_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match=r"node x\.when: set is not a value"):
        WorkflowBuilder().add_node("X", "x", {}, when={1})
    with pytest.raises(UsageError, match=r"node x\.a\[1\]: float is not a value"):
        WorkflowBuilder().add_node("X", "x", {"a": [1.0, float("inf")]})


def test_every_mistake_is_told_at_once() -> None:
    builder = WorkflowBuilder(descripton="x").add_node("X", "x", {}, timeout_s=-1).add_node("Y", "no-word")
    with pytest.raises(ConfigurationError) as caught:
        builder.build()
    assert [problem.message for problem in caught.value.problems] == [
        "workflow.descripton: unknown key 'descripton' in a workflow",
        "workflow.nodes.x.timeout_s: must be a number above 0",
        "workflow.nodes.no-word: 'no-word' cannot be a node's id",
    ]
    assert caught.value.problems[0].hint == "did you mean 'description'?"


def test_workflow_needs_a_node() -> None:
    with pytest.raises(ConfigurationError, match="at least one node"):
        WorkflowBuilder().build()


def test_key_that_this_version_does_not_build_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="schedule is not part of this version"):
        WorkflowBuilder(schedule={"cron": "* * * * *"}).add_node("X", "x").build()
