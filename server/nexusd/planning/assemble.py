"""The last step to a plan: everything is checked, and is put together."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.definitions.access import access_to
from nexusd.definitions.field_schema import portable
from nexusd.definitions.model import MISSING
from nexusd.definitions.workflow import TransactionMode
from nexusd.planning.control import FAIL, rescues
from nexusd.planning.inputs import compile_decoder, inputs_schema
from nexusd.planning.plan import Plan, PlannedNode, Strategy
from nexusd.planning.render import compile_outputs, compile_params, compile_path, compile_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nexusd.definitions.shape import Record, Shape
    from nexusd.definitions.workflow import Node, Workflow
    from nexusd.nodes.node import Effects, NodeType
    from nexusd.planning.control import Control
    from nexusd.planning.graph import Graph
    from nexusd.planning.names import Names
    from nexusd.planning.plan import Render, Scope
    from nexusd.planning.render import Getter

MODE_NEEDED: Final = (
    "the workflow writes to the database and calls what a rollback cannot undo",
    "say `transaction: all` (held open meanwhile, rolled back as a whole) or `none` (each node by itself)",
)


@dataclass(slots=True)
class Part:
    """A node on its way into a plan."""

    node: Node
    type: NodeType
    effects: Effects
    result: Shape
    params: dict[str, object]
    control: Control
    foreach: object = None
    pointers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the nodes of a workflow share."""

    names: Names
    graph: Graph
    callees: Mapping[str, Plan]
    inputs: Record
    outputs: Record
    mapping: Mapping[str, object] | None


def assemble(workflow: Workflow, parts: Sequence[Part], around: Surroundings) -> Plan:
    """The plan; `parts` are in its order."""
    order = [part.node.id for part in parts]
    callees = {name: around.callees[name] for name in called_by(parts)}
    transaction = _transaction(workflow, parts, callees)
    effects = [part.effects for part in parts]
    defaults = {
        name: declared.field.default
        for name, declared in workflow.inputs.items()
        if declared.field.default is not MISSING
    }
    is_statement = len(parts) == 1 and parts[0].foreach is None and not callees and not effects[0].outside
    linear = transaction or len(parts) == 1 or around.graph.is_chain(order)
    places = _Places.of(workflow, order, around.graph)
    mapping = around.mapping
    return Plan(
        name=workflow.name,
        workflow=workflow,
        nodes=tuple(_planned(part, places, around) for part in parts),
        inputs=around.inputs,
        outputs=around.outputs,
        inputs_schema=inputs_schema(around.inputs, defaults),
        outputs_schema=portable(around.outputs.schema()),
        decode=compile_decoder(around.inputs, defaults),
        strategy=Strategy.LINEAR if linear else Strategy.PARALLEL,
        transaction=transaction,
        keeps_parts=not transaction and not is_statement and any(effect.writes for effect in effects),
        read_only=not any(effect.writes for effect in effects),
        destructive=any(effect.destructive for effect in effects),
        idempotent=all(effect.idempotent for effect in effects),
        render_outputs=None if mapping is None else compile_outputs(mapping, around.names),
        access=access_to(workflow),
        callees=callees,
        hash=_hash(workflow, callees),
    )


def asks_for_mode(workflow: Workflow, parts: Iterable[Part]) -> bool:
    """Whether the author must say what becomes of the rows when a call outside fails."""
    effects = [part.effects for part in parts]
    writes = any(effect.database and effect.writes for effect in effects)
    return workflow.transaction is TransactionMode.AUTO and writes and any(effect.outside for effect in effects)


def called_by(parts: Iterable[Part]) -> list[str]:
    """The workflows that nodes run."""
    names = [part.node.options["workflow"] for part in parts if "workflow" in part.type.keys]
    return [name for name in names if isinstance(name, str)]


def _transaction(workflow: Workflow, parts: Sequence[Part], callees: Mapping[str, Plan]) -> bool:
    """Whether all database nodes of a run share one transaction."""
    mode = workflow.transaction
    databases = [part for part in parts if part.effects.database]
    if mode is TransactionMode.NONE or not databases:
        return False
    if mode is TransactionMode.AUTO and any(part.effects.outside for part in parts):
        return False
    if any(callee.transaction for callee in callees.values()) or any(part.foreach is not None for part in databases):
        return True
    if callees and mode is TransactionMode.ALL:
        return True
    # One write alone commits by itself; beside another node that may fail after it, it must be possible to undo.
    return len(databases) > 1 or (len(parts) > 1 and any(part.effects.writes for part in databases))


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the nodes stand in the order, and among each other.

    Attributes:
        needs: for each node the nodes it waits for; `followers` the indexes of those that wait for it.
        rescues: for nodes that take over those whose failure starts them.
    """

    index: Mapping[str, int]
    needs: Mapping[str, frozenset[str]]
    followers: Mapping[str, tuple[int, ...]]
    rescues: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, workflow: Workflow, order: Sequence[str], graph: Graph) -> _Places:
        """Everything at once, so that no node has to look through all others."""
        needs = graph.needs()
        followers: dict[str, list[int]] = {name: [] for name in order}
        for i, name in enumerate(order):
            for needed in needs[name]:
                followers[needed].append(i)
        index = {name: i for i, name in enumerate(order)}
        return cls(index, needs, {name: tuple(found) for name, found in followers.items()}, rescues(workflow))


def _planned(part: Part, places: _Places, around: Surroundings) -> PlannedNode:
    node = part.node
    names = around.names
    inside = names if part.foreach is None else replace(names, has_item=True)
    where = f"node {node.id}"
    needs = places.needs[node.id]
    rescued = places.rescues.get(node.id, frozenset())
    gathers = frozenset(name for first in part.control.sources.values() for name in first.nodes)
    when = part.control.compiled.get(("when",))
    foreach = None if part.foreach is None else compile_value(part.foreach, names, f"{where}, foreach")
    return PlannedNode(
        index=places.index[node.id],
        id=node.id,
        type=node.type,
        effects=part.effects,
        render=_with_derived(compile_params(part.params, inside, where), part.control.derived()),
        connections={
            edge.input: compile_path(edge.source, around.graph.steps(edge), f"{edge.input} of {where}")
            for _, edge in around.graph.into(node.id)
        },
        run=part.type.build(node),
        needs=tuple(sorted(places.index[name] for name in needs)),
        followers=places.followers[node.id],
        timeout_s=node.timeout_s,
        pointers=part.pointers,
        when=when,
        waits_for=frozenset() if gathers else needs - rescued,
        rescues=rescued,
        gathers=gathers,
        foreach=foreach,
        concurrency=node.concurrency or 1,
        retry=node.retry,
        on_error=node.on_error,
        is_plain=when is None
        and foreach is None
        and node.retry is None
        and node.on_error == FAIL
        and not rescued
        and not gathers,
    )


def _with_derived(render: Render, derived: Mapping[str, Getter]) -> Render:
    if not derived:
        return render

    def render_all(scope: Scope) -> dict[str, object]:
        return {**render(scope), **{name: get(scope) for name, get in derived.items()}}

    return render_all


def _hash(workflow: Workflow, callees: Mapping[str, Plan]) -> str:
    def plain(value: object) -> object:
        return str(value)

    called = {name: callee.hash for name, callee in callees.items()}
    text = msgspec.json.encode((workflow, called) if called else workflow, order="sorted", enc_hook=plain)
    return hashlib.sha256(text).hexdigest()
